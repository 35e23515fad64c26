package testkit

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// leash runs a command beside a watcher in the same process group. The watcher reads a pipe whose
// other end only the test binary has. The pipe closes at the end of the test, and also when the
// test binary panics, times out or is killed. Then the watcher kills the group, itself included.
const leash = `(cat <&3; kill -9 0) >/dev/null 2>&1 & exec "$@" 3<&-`

// Command returns a command that ends with t, as do all processes that it starts, such as the
// compilers of "go build". It runs in a process group of its own; its process id and its exit code
// are the program's.
func Command(t testing.TB, program string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	watched, held, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { held.Close(); watched.Close() })
	cmd := exec.Command("/bin/sh", append([]string{"-c", leash, "sh", path}, args...)...)
	cmd.ExtraFiles = []*os.File{watched}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}
