package localpg

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// attributes gives the child its own process group, so that Ctrl-C in a terminal reaches it only
// through Stop, and a signal for a fast shutdown when this process dies. The kernel sends that
// signal when the thread that started the child ends: see process.run.
func attributes(a *account) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// isPostmaster reports whether the process serves this data folder:
// a postmaster's working folder is its data folder.
func isPostmaster(pid int, data string) bool {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	cwd, err := os.Stat(filepath.Join(proc, "cwd"))
	if err != nil {
		return false
	}
	here, err := os.Stat(data)
	return err == nil && os.SameFile(cwd, here)
}
