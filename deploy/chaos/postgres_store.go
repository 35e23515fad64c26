package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/localpg"
)

// databaseName is the one database of the run.
const databaseName = "realmgate"

// postgres is a PostgreSQL cluster that flushes every commit to disk, as in production.
type postgres struct {
	dir  string
	port int
	log  *slog.Logger

	mu      sync.Mutex
	cluster *localpg.Cluster
	pid     int // of the server; its sessions are child processes
	held    []int
}

func (p *postgres) start() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	cluster, err := localpg.Start(ctx, localpg.Options{Dir: p.dir, Port: p.port, Log: p.log})
	if err != nil {
		return err
	}
	if err := cluster.CreateDatabase(ctx, databaseName); err != nil {
		return errors.Join(err, cluster.Stop(ctx))
	}
	pid, err := prepareDatabase(ctx, cluster.URL(databaseName))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cluster, p.pid = cluster, pid
	return err
}

// prepareDatabase creates the schemas and returns the process id of the server.
func prepareDatabase(ctx context.Context, url string) (int, error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer c.Close(context.WithoutCancel(ctx))
	for _, schema := range []string{"users_svc", "vault_svc", "activity_svc"} {
		if _, err := c.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema); err != nil {
			return 0, err
		}
	}
	return parentOf(int(c.PgConn().PID()))
}

// ready returns at once: start has waited until queries are answered.
func (p *postgres) ready(context.Context) error { return nil }

// url is the address of the database without a proxy.
func (p *postgres) url() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cluster.URL(databaseName)
}

func (p *postgres) running() (*localpg.Cluster, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cluster, p.pid
}

// kill kills the server and all of its sessions at once, so that none of them can clean up.
func (p *postgres) kill() error {
	cluster, pid := p.running()
	all := append([]int{pid}, childrenOf(pid)...)
	for _, one := range all {
		_ = syscall.Kill(one, syscall.SIGKILL) // a session may have ended meanwhile
	}
	<-cluster.Done()
	return cluster.Stop(context.Background())
}

func (p *postgres) stop(ctx context.Context) error {
	cluster, _ := p.running()
	return cluster.Stop(ctx)
}

// freeze stops the server first, so that it starts no more sessions, and then its sessions.
func (p *postgres) freeze() error {
	_, pid := p.running()
	err := syscall.Kill(pid, syscall.SIGSTOP)
	children := childrenOf(pid)
	for _, one := range children {
		_ = syscall.Kill(one, syscall.SIGSTOP)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = append(children, pid)
	return err
}

func (p *postgres) thaw() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.held {
		_ = syscall.Kill(one, syscall.SIGCONT)
	}
	p.held = nil
	return nil
}

// remove stops the cluster and deletes its data.
func (p *postgres) remove(ctx context.Context) error {
	cluster, _ := p.running()
	if cluster == nil {
		return nil
	}
	_ = p.thaw()
	return cluster.Remove(ctx)
}

// parentOf returns the process id of the parent of a process.
func parentOf(pid int) (int, error) {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	// The program's name, in parentheses, may contain any character.
	_, rest, _ := strings.Cut(string(raw[strings.LastIndexByte(string(raw), ')'):]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/%d/stat cannot be read", pid)
	}
	return strconv.Atoi(fields[1])
}

// childrenOf returns the process ids of the children of a process.
func childrenOf(pid int) []int {
	entries, _ := os.ReadDir("/proc")
	var out []int
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if parent, err := parentOf(child); err == nil && parent == pid {
			out = append(out, child)
		}
	}
	return out
}
