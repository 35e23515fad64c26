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

// supported says that /proc has CPU times and memory sizes.
const supported = true

// ownGroup starts a child in its own process group, so that Ctrl-C reaches only this program, and
// ends it with the thread that forked it.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

func freeze(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

func thaw(p *os.Process) error { return p.Signal(syscall.SIGCONT) }

// pinnedVariable tells the program that it already runs on the chosen CPUs.
const pinnedVariable = "REALMGATE_BENCH_PINNED"

// pin runs this program again on the given CPUs, such as "0,1", which its children inherit. It
// returns nil if the program already runs there.
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
	runtime.LockOSThread() // the pinned thread must be the one that executes the program
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, append(os.Environ(), pinnedVariable+"="+cpus))
}
