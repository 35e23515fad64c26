// Package localpg provides a PostgreSQL cluster on this machine: it finds the programs, creates the
// data folder, starts the server, recovers it after a crash of either process, and stops it. Only
// deploy/standalone and tests use it; production has an address of PostgreSQL instead.
//
// Start reading at [Start]. Then: binaries.go chooses the PostgreSQL programs, folder.go lays out
// the files, account.go chooses the user of the server, survivor.go cleans up after kill -9,
// process.go runs and stops the server, upgrade.go restarts it when its programs were replaced.
package localpg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	superuser = "postgres"
	loopback  = "127.0.0.1"

	startAttempts = 8
	pollEvery     = 2 * time.Millisecond
)

// Options configure a cluster. Only Dir is required.
type Options struct {
	// Dir is the folder of the cluster's data, password, port and lock. It is created when missing;
	// a folder with other content is refused.
	Dir string
	// BinDir is the folder of postgres and initdb. Empty: they are searched for, and downloaded
	// when none are found.
	BinDir string
	// Port on 127.0.0.1. 0: a free port, stored in Dir and used again while it is free.
	Port int
	// Settings are PostgreSQL parameters; they override the package's own. See [Disposable].
	Settings map[string]string
	// CacheDir keeps downloaded PostgreSQL programs. Empty: the user's cache folder.
	CacheDir string
	// Mirror is a Maven repository to download from, for a machine that cannot
	// reach the public one. Empty: the public one.
	Mirror string
	// Log receives the log of PostgreSQL. Nil: nothing is logged.
	Log *slog.Logger
}

// Cluster is a running PostgreSQL. Its methods are safe for concurrent use.
type Cluster struct {
	folder   *folder
	bin      binaries
	library  string // the folder of plpgsql.so
	options  Options
	process  atomic.Pointer[process]
	port     int
	password string
	log      *slog.Logger

	changing sync.Mutex // held while the server is stopped or restarted
	cancel   context.CancelFunc
	ended    chan struct{}
}

func (c *Cluster) current() *process { return c.process.Load() }

// Start starts the cluster in o.Dir and returns when it answers queries. It creates the cluster
// first when Dir is new or empty. It stops a PostgreSQL that outlived the process that started it.
// It waits until ctx ends for a crashed server to recover; ctx does not bound the life of the
// cluster. Every error is one line that says what to do.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if !supported {
		return nil, errors.New("localpg: a local PostgreSQL needs a Unix system; give the address of a PostgreSQL " +
			"server instead")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c, err := start(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("localpg: %w", flat{err})
	}
	return c, nil
}

func start(ctx context.Context, o Options) (_ *Cluster, err error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil || o.Dir == "" {
		return nil, errors.New("no folder given; set the folder that shall hold the PostgreSQL data")
	}
	f, err := openFolder(dir, o.Log)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	major, err := f.major()
	if err != nil {
		return nil, err
	}
	bin, err := findBinaries(ctx, o, major, f.account)
	if err != nil {
		return nil, err
	}
	if err := f.place(ctx, bin); err != nil {
		return nil, err
	}
	password, err := f.password()
	if err != nil {
		return nil, err
	}
	if major == 0 {
		if err := f.initialize(ctx, bin, password, o.Settings["fsync"] == "off"); err != nil {
			return nil, err
		}
	}
	c := &Cluster{folder: f, bin: bin, options: o, password: password, log: o.Log, ended: make(chan struct{})}
	if err := c.launch(ctx, o); err != nil {
		return nil, err
	}
	return c, c.watch(ctx)
}

// watch starts to supervise the server that was launched.
func (c *Cluster) watch(ctx context.Context) (err error) {
	if c.library, err = c.libraryFolder(ctx); err == nil {
		var running programs
		if running, err = c.programs(); err == nil {
			ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
			go c.supervise(ctx, running)
			return nil
		}
	}
	return errors.Join(err, c.current().stop(ctx))
}

// launch starts the server. It tries again on another port when the chosen port was taken
// meanwhile, and tries again later while a killed predecessor is still starting or stopping.
func (c *Cluster) launch(ctx context.Context, o Options) error {
	for attempt := 1; ; attempt++ {
		if err := stopSurvivor(ctx, c.folder.data(), c.log); err != nil {
			return err
		}
		port, err := c.folder.port(o.Port, attempt > 1)
		if err != nil {
			return err
		}
		c.port = port
		p, err := startProcess(c.folder.serverCommand(c.bin, port, o.Settings), c.log)
		if err != nil {
			return err
		}
		c.process.Store(p)
		err = c.waitReady(ctx, p)
		if err == nil {
			p.serving.Store(true)
			return c.folder.keepPort(port)
		}
		err = errors.Join(err, p.stop(ctx))
		taken := p.said("could not bind")
		busy := p.said("still in use") || p.said(postmasterFile)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("PostgreSQL was not ready in time (%w); allow more, it may be recovering: %s", ctx.Err(),
				p.lastWords())
		case taken && o.Port != 0:
			return fmt.Errorf("port %d on %s is taken; stop what listens there or choose another port", port, loopback)
		case (taken || busy) && attempt < startAttempts:
			time.Sleep(time.Duration(attempt) * 50 * time.Millisecond)
		default:
			return err
		}
	}
}

// waitReady polls postmaster.pid rather than the port. The file proves that this server is ready
// and not another one, and connecting too early would fill PostgreSQL's log with refusals.
func (c *Cluster) waitReady(ctx context.Context, p *process) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("PostgreSQL did not start: %s", p.lastWords())
		case <-tick.C:
		}
		pm, err := readPostmaster(c.folder.data())
		if err != nil || pm.pid != p.pid() || !pm.ready {
			continue
		}
		return c.ping(ctx)
	}
}

func (c *Cluster) ping(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.URL(superuser))
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "28P01" {
		return fmt.Errorf("PostgreSQL refuses the password in %s; put the right one back, or remove %s to start empty",
			c.folder.path(passwordFile), c.folder.data())
	}
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return conn.Ping(ctx)
}

// libraryFolder asks the server for the folder of its libraries.
func (c *Cluster) libraryFolder(ctx context.Context) (dir string, err error) {
	conn, err := pgx.Connect(ctx, c.URL(superuser))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	return dir, conn.QueryRow(ctx, "SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR'").Scan(&dir)
}

// Data returns the folder of PostgreSQL's files. It is inside of Options.Dir unless the user of
// PostgreSQL may not enter that.
func (c *Cluster) Data() string { return c.folder.data() }

// URL returns the address of the named database, for pgx or any libpq client, over loopback TCP
// with the superuser and its password.
func (c *Cluster) URL(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, c.password),
		Host:     net.JoinHostPort(loopback, strconv.Itoa(c.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// CreateDatabase creates the named database unless it exists.
func (c *Cluster) CreateDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, c.URL(superuser))
	if err != nil {
		return fmt.Errorf("localpg: create database %s: %w", name, err)
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	var refused *pgconn.PgError
	if errors.As(err, &refused) && (refused.Code == "42P04" || refused.Code == "23505") {
		// 23505: another caller has created the database at the same time.
		return nil
	}
	if err != nil {
		return fmt.Errorf("localpg: create database %s: %w", name, err)
	}
	return nil
}

// Done is closed when PostgreSQL has ended, whether it was told to or not. A restart because its
// programs were replaced does not close it.
func (c *Cluster) Done() <-chan struct{} { return c.ended }

// Stop ends the cluster with PostgreSQL's fast shutdown: it closes open connections and writes a
// checkpoint. When ctx ends first, the server quits at once and recovers at the next Start. Stop
// may be called again, and after PostgreSQL has ended by itself.
func (c *Cluster) Stop(ctx context.Context) error {
	c.cancel()
	c.changing.Lock()
	err := c.current().stop(ctx)
	c.changing.Unlock()
	c.folder.close()
	if err != nil {
		return fmt.Errorf("localpg: stop: %w", err)
	}
	<-c.ended
	return nil
}

// Remove stops the cluster at once and deletes its folder with all data.
func (c *Cluster) Remove(ctx context.Context) error {
	c.current().quit()
	return errors.Join(c.Stop(ctx), c.folder.remove())
}

// Remove deletes the cluster in dir with all data; it fails when a process uses the cluster. It
// stops a PostgreSQL that outlived its process.
func Remove(ctx context.Context, dir string, log *slog.Logger) error {
	f, err := openFolder(dir, log)
	if err != nil {
		return fmt.Errorf("localpg: remove: %w", err)
	}
	defer f.close()
	if err := stopSurvivor(ctx, f.data(), log); err != nil {
		return fmt.Errorf("localpg: remove: %w", err)
	}
	return f.remove()
}
