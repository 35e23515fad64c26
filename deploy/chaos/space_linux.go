package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// The run has its own mount namespace. In it a name can stand for two addresses (/etc/hosts) and a
// journal can have a small disk (tmpfs), and nothing remains on the machine, however this command
// ends. Without root it gets the right to mount from a user namespace.

const insideVariable = "REALMGATE_CHAOS_INSIDE"

func insideSpace() bool { return os.Getenv(insideVariable) != "" }

// enterSpace runs this program again inside the namespace and returns its exit code.
func enterSpace(args []string, stderr io.Writer) int {
	runtime.LockOSThread() // the signal for the parent's death is tied to the thread
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, stderr
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN}
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(stderr, "chaos: no mount namespace of its own (run it as root, or allow user namespaces):", err)
		return 1
	}
	go func() {
		for s := range signals {
			if s == syscall.SIGTERM { // Ctrl-C reaches the other process directly
				_ = cmd.Process.Signal(s)
			}
		}
	}()
	err := cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode()
	}
	return 1
}

// ownHosts mounts the file at path over /etc/hosts for the processes of this run, with the system's
// entries in it.
func ownHosts(path string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	there, err := os.ReadFile("/etc/hosts")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, there, 0o644); err != nil {
		return err
	}
	return unix.Mount(path, "/etc/hosts", "", unix.MS_BIND, "")
}

// smallDisk mounts a disk of the given size at path.
func smallDisk(path string, bytes int) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return unix.Mount("tmpfs", path, "tmpfs", 0, fmt.Sprintf("size=%d", bytes))
}

// removeDisk unmounts path.
func removeDisk(path string) { _ = unix.Unmount(path, unix.MNT_DETACH) }

// leaveHosts undoes ownHosts, so that the file can be removed.
func leaveHosts() { _ = unix.Unmount("/etc/hosts", unix.MNT_DETACH) }

// child starts a process in its own group, so that Ctrl-C reaches only this command, and has it
// killed when this command dies.
func child() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
