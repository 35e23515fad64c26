package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/realmgate/realmgate/pkg/localpg"
)

// databaseName is the one database of the run.
const databaseName = "realmgate"

// backing holds the servers that the product needs: PostgreSQL, NATS with JetStream, and Redis.
type backing struct {
	cluster           *localpg.Cluster
	postgresPID       int
	said              *listener
	nats, redis       *process
	natsURL, redisURL string
	redisName         string
}

// startBacking starts the three servers. PostgreSQL flushes each commit to disk, as in production.
func (b *bench) startBacking(ctx context.Context) error {
	k := &b.backing
	k.said = &listener{}
	var err error
	k.cluster, err = localpg.Start(ctx, localpg.Options{Dir: filepath.Join(b.dir, "postgres"), Log: slog.New(k.said)})
	if err != nil {
		return err
	}
	b.onStop(func(ctx context.Context) { _ = k.cluster.Remove(ctx) })
	if err := k.cluster.CreateDatabase(ctx, databaseName); err != nil {
		return err
	}
	if k.postgresPID, err = prepareDatabase(ctx, k.cluster.URL(databaseName)); err != nil {
		return err
	}
	if err := b.startNATS(ctx); err != nil {
		return err
	}
	return b.startRedis(ctx)
}

func (b *bench) startNATS(ctx context.Context) error {
	program, err := b.tools.install(ctx, natsModule, "nats-server")
	if err != nil {
		return err
	}
	addr, err := b.freeAddr()
	if err != nil {
		return err
	}
	config, err := writeFile(filepath.Join(b.dir, "nats"), "nats.conf",
		fmt.Sprintf("listen: %s\njetstream { store_dir: %q, max_file_store: 8GB }\n", addr,
			filepath.Join(b.dir, "nats", "store")))
	if err != nil {
		return err
	}
	b.backing.natsURL = "nats://" + addr
	if b.backing.nats, err = b.start("nats-server", program, nil, "-c", config); err != nil {
		return err
	}
	return b.backing.nats.listening(ctx, addr)
}

// startRedis starts redis-server if it is installed, else miniredis, which runs the scripts of the
// rate limits at a ninth of the speed.
func (b *bench) startRedis(ctx context.Context) error {
	addr, err := b.freeAddr()
	if err != nil {
		return err
	}
	host, port, _ := strings.Cut(addr, ":")
	if program, missing := b.tools.debian(ctx, "redis-server", "redis-server"); missing == nil {
		b.backing.redisName = "redis-server"
		b.backing.redis, err = b.start("redis-server", program, nil, "--bind", host, "--port", port, "--save", "",
			"--appendonly", "no")
	} else {
		b.note("Redis is miniredis in a process of its own: %v", missing)
		if program, err = b.tools.generate(ctx, "miniredis", miniredisModule); err != nil {
			return err
		}
		b.backing.redisName = "miniredis"
		b.backing.redis, err = b.start("miniredis", program, nil, addr)
	}
	if err != nil {
		return err
	}
	b.backing.redisURL = "redis://" + addr
	return b.backing.redis.listening(ctx, addr)
}

// listener is a slog.Handler that keeps messages of PostgreSQL on request: the plans of
// auto_explain.
type listener struct {
	mu     sync.Mutex
	wanted bool
	lines  []string
}

// Enabled implements slog.Handler.
func (l *listener) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements slog.Handler.
func (l *listener) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements slog.Handler.
func (l *listener) WithGroup(string) slog.Handler { return l }

// Handle stores the message if messages are wanted.
func (l *listener) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wanted {
		l.lines = append(l.lines, r.Message)
	}
	if r.Level >= slog.LevelError {
		fmt.Fprintln(os.Stderr, "bench:", r.Message)
	}
	return nil
}

// listen starts to keep messages, or stops and returns them.
func (l *listener) listen(wanted bool) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines, l.wanted = nil, wanted
	return lines
}
