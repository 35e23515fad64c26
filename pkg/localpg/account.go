package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"time"
)

// account is the user of the PostgreSQL process; nil is the current user. PostgreSQL refuses to run
// as root, so root gives the folder and the process to an unprivileged user. (A user namespace
// would avoid the change of owner, but PostgreSQL would then own root's files, and most containers
// forbid it.)
type account struct {
	name     string
	uid, gid uint32
}

// newAccount chooses the owner of an existing data folder, so that a cluster that an ordinary user
// created still opens when root starts it.
func newAccount(data string) (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if uid, gid, err := owner(data); err == nil && uid != 0 {
		return &account{name: fmt.Sprintf("with id %d", uid), uid: uid, gid: gid}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if errUID == nil && errGID == nil && uid != 0 {
			return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL refuses to run as root and there is no other user; add one (useradd " +
		"--system postgres) or do not run as root")
}

// own makes the account the owner of path.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}

// command returns the command that runs a PostgreSQL program as the account. It does not inherit
// the environment, which may hold the services' secrets and PG* variables that change the behaviour
// of PostgreSQL, nor the working folder, which the account may not be allowed to enter.
func (a *account) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.SysProcAttr = attributes(a)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// canEnter reports whether the account can enter the folder. It tries, because mode bits alone do
// not decide it (ACLs, mounts, security modules).
func (a *account) canEnter(ctx context.Context, folder string, bin binaries) bool {
	if a == nil {
		return true
	}
	cmd := a.command(ctx, bin.postgres(), "--version")
	cmd.Dir = folder
	return cmd.Run() == nil
}

// String returns the account's name for messages.
func (a *account) String() string {
	if a == nil {
		return "of this process"
	}
	return a.name
}
