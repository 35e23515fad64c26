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

// account is the user as which PostgreSQL runs; nil is the current one.
// PostgreSQL refuses to run as root, so root gives the folder and the process
// to an unprivileged user. (A user namespace would avoid the change of owner,
// but would leave PostgreSQL as the owner of root's files, and most containers
// forbid it.)
type account struct {
	name     string
	uid, gid uint32
}

// newAccount chooses for an existing data folder its owner, so that a cluster
// made by a person still opens when root starts it.
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
	return nil, errors.New("PostgreSQL refuses to run as root and there is no other user; add one (useradd --system postgres) or do not run as root")
}

// own gives path to the account.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}

// command runs a PostgreSQL program as the account. The environment is not
// inherited: it may hold the services' secrets, and PG* variables that change
// what PostgreSQL does. Nor is the working folder, which may be closed to the
// account.
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

// canEnter reports whether the account gets into the folder, by trying: mode
// bits alone do not tell (ACLs, mounts, security modules).
func (a *account) canEnter(ctx context.Context, folder string, bin binaries) bool {
	if a == nil {
		return true
	}
	cmd := a.command(ctx, bin.postgres(), "--version")
	cmd.Dir = folder
	return cmd.Run() == nil
}

// String is the account's name in messages.
func (a *account) String() string {
	if a == nil {
		return "of this process"
	}
	return a.name
}
