//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package localpg

import (
	"fmt"
	"os"
	"syscall"
)

const supported = true

// PostgreSQL's shutdown modes: fast ends the sessions and writes a
// checkpoint, immediate leaves that to the recovery at the next start.
const (
	fast      = syscall.SIGINT
	immediate = syscall.SIGQUIT
)

// lockFile locks the file until it is closed or this process dies. It fails at once when another
// process holds the lock.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

func owner(path string) (uid, gid uint32, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	stat := info.Sys().(*syscall.Stat_t)
	return stat.Uid, stat.Gid, nil
}

func signal(pid int, s syscall.Signal) error { return syscall.Kill(pid, s) }
