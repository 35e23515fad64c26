//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package localpg

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// attributes gives the child its own process group, so that Ctrl-C in a terminal reaches it through
// Stop only. These systems have no parent-death signal; the next Start stops a PostgreSQL that
// outlives its parent.
func attributes(a *account) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// isPostmaster reports whether the process serves this data folder, which is on the command line
// that serverCommand makes.
func isPostmaster(pid int, data string) bool {
	out, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), "postgres -D "+data+" ")
}
