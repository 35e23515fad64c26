package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/realmgate/realmgate/pkg/atomicfile"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/users-svc"
)

// adminCommands are the commands of users-svc that standalone offers too.
var adminCommands = []string{"admin create", "admin password", "logins failed"}

// findAdminCommand returns the command that args begin with and its remaining arguments, or nil if
// args name none.
func findAdminCommand(args []string) (*service.Command[users.Config], []string) {
	if len(args) < 2 || !slices.Contains(adminCommands, args[0]+" "+args[1]) {
		return nil, nil
	}
	for _, c := range users.Program().Commands {
		if c.Name == args[0]+" "+args[1] {
			return &c, args[2:]
		}
	}
	return nil, nil
}

// runAdmin runs a command of users-svc on this installation. It uses the servers of the running
// process, or starts its own if none is running.
func runAdmin(ctx context.Context, cfg Config, environ []string, c *service.Command[users.Config], args []string, out,
	logTo io.Writer) (err error) {
	path, err := cfg.dataDir()
	if err != nil {
		return err
	}
	environ = with(environ, placeholders(cfg, environ)...)
	dir, err := openDataDir(path)
	if errors.Is(err, errRunning) {
		servers, readErr := os.ReadFile(filepath.Join(path, serversFile))
		if readErr != nil {
			return fmt.Errorf("%w; if it is starting, try again: %w", err, readErr)
		}
		return runUsers(ctx, with(environ, strings.Fields(string(servers))...), c, args, out, logTo)
	}
	if err != nil {
		return err
	}
	st := &stack{cfg: cfg, dir: dir}
	defer func() { err = errors.Join(err, st.close(context.WithoutCancel(ctx))) }()
	if _, missing := os.Stat(dir.sub("postgres")); missing != nil && cfg.DatabaseURL == "" {
		return fmt.Errorf("%s holds no database yet: start standalone once, or set DATABASE_URL as it is set there",
			dir.path)
	}
	log, err := st.logger(environ, logTo)
	if err != nil {
		return err
	}
	if st.backing, err = openBacking(ctx, cfg, dir, log); err != nil {
		return err
	}
	return runUsers(ctx, with(environ, st.serversForUsers()...), c, args, out, logTo)
}

// runUsers runs a command of users-svc with the settings in environ.
func runUsers(ctx context.Context, environ []string, c *service.Command[users.Config], args []string, out,
	logTo io.Writer) error {
	var cfg users.Config
	if err := config.Load(&cfg, environ); err != nil {
		return err
	}
	return c.Run(ctx, cfg, service.NewRuntime(cfg.Service, logTo), args, out)
}

// serversFile holds the settings with which commands reach the servers of the running process. It
// has passwords in it, so only its owner can read it.
const serversFile = "servers.env"

// serversForUsers returns the settings with which users-svc reaches the servers.
func (st *stack) serversForUsers() []string {
	return []string{"DATABASE_URL=" + st.backing.databaseURL("users_svc"), "NATS_URL=" + st.backing.natsURL,
		"REDIS_URL=" + st.backing.redisURL}
}

func (st *stack) writeServersFile() error {
	return atomicfile.Write(st.dir.sub(serversFile), []byte(strings.Join(st.serversForUsers(), "\n")+"\n"))
}

func (st *stack) removeServersFile() error {
	if err := os.Remove(st.dir.sub(serversFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
