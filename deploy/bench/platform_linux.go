package main

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// supported says that /proc tells CPU times and memory.
const supported = true

// ownGroup makes a child the head of a process group of its own, so that Ctrl-C reaches only us,
// and ends it when the thread that forked it ends.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

func freeze(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

func thaw(p *os.Process) error { return p.Signal(syscall.SIGCONT) }

// pinnedVariable tells the program that it runs on the CPUs already.
const pinnedVariable = "REALMGATE_BENCH_PINNED"

// pin runs this program anew on the given CPUs, such as "0,1"; all that it starts inherits them. It
// returns when it runs there.
func pin(cpus string) error {
	if cpus == "" || slices.Contains(os.Environ(), pinnedVariable+"="+cpus) {
		return nil
	}
	var set unix.CPUSet
	for field := range strings.SplitSeq(cpus, ",") {
		cpu, err := strconv.Atoi(field)
		if err != nil {
			return err
		}
		set.Set(cpu)
	}
	runtime.LockOSThread() // the thread that is pinned must be the one that executes the program
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, append(os.Environ(), pinnedVariable+"="+cpus))
}
