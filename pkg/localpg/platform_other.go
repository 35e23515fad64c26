//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package localpg

import (
	"errors"
	"os"
	"syscall"
)

// On other systems Start fails before it calls the following functions. They exist so that programs
// that can also use a remote PostgreSQL still compile.
const supported = false

const (
	fast      = syscall.SIGTERM
	immediate = syscall.SIGKILL
)

func attributes(*account) *syscall.SysProcAttr  { return nil }
func isPostmaster(int, string) bool             { return false }
func lockFile(string) (*os.File, error)         { return nil, errors.ErrUnsupported }
func owner(string) (uid, gid uint32, err error) { return 0, 0, errors.ErrUnsupported }
func signal(int, syscall.Signal) error          { return errors.ErrUnsupported }
