package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// startBacking starts PostgreSQL, NATS and Redis, each behind a network that can be cut.
func (w *world) startBacking(ctx context.Context) error {
	log, err := os.Create(filepath.Join(w.logs(), "postgres.log"))
	if err != nil {
		return err
	}
	w.onClose(func(context.Context) error { return log.Close() })
	port, err := w.ports.Take(loopback)
	if err != nil {
		return err
	}
	w.postgres = &postgres{dir: filepath.Join(w.dir, "postgres"), port: port,
		log: slog.New(slog.NewTextHandler(log, nil))}
	w.onClose(w.postgres.remove)
	if err := w.postgres.start(); err != nil {
		return err
	}
	at, err := url.Parse(w.postgres.url())
	if err != nil {
		return err
	}
	if w.nets.postgres, err = w.network(at.Host); err != nil {
		return err
	}
	at.Host = w.nets.postgres.addr()
	w.databaseURL = at.String()
	if err := w.startNATS(ctx); err != nil {
		return err
	}
	return w.startRedis(ctx)
}

// startNATS builds nats-server at the version in deploy/go.mod and starts it.
func (w *world) startNATS(ctx context.Context) error {
	port, err := w.freePort(loopback)
	if err != nil {
		return err
	}
	addr := net.JoinHostPort(loopback, port)
	conf := filepath.Join(w.dir, "nats.conf")
	text := fmt.Sprintf("listen: %s\njetstream { store_dir: %q, max_file_store: 4GB }\n", addr,
		filepath.Join(w.dir, "nats"))
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return err
	}
	w.nats = w.process("nats-server", filepath.Join(w.bin(), "nats-server"), nil, "-c", conf)
	w.nats.check = listens(addr)
	if w.nets.nats, w.nets.natsUsers, err = w.twoNetworks(addr); err != nil {
		return err
	}
	return startAndWait(ctx, w.nats)
}

// startRedis starts redis-server if it is installed, else miniredis in a process of its own.
func (w *world) startRedis(ctx context.Context) error {
	port, err := w.freePort(loopback)
	if err != nil {
		return err
	}
	addr := net.JoinHostPort(loopback, port)
	if program, missing := exec.LookPath("redis-server"); missing == nil {
		w.redisName = "redis-server"
		w.redis = w.process("redis-server", program, nil, "--bind", loopback, "--port", port, "--save", "",
			"--appendonly", "no", "--dir", w.dir)
	} else {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		w.redisName = "miniredis (redis-server is not installed)"
		w.redis = w.process("miniredis", self, nil, miniredisRole, addr)
	}
	w.redis.check = listens(addr)
	if w.nets.redis, w.nets.redisUsers, err = w.twoNetworks(addr); err != nil {
		return err
	}
	return startAndWait(ctx, w.redis)
}

// miniredisRole is the argument with which this program runs miniredis.
const miniredisRole = "run-miniredis"

// serveMiniredis serves until the process is killed. It advances miniredis's clock, which does not
// run by itself.
func serveMiniredis(addr string) error {
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr(addr); err != nil {
		return err
	}
	const tick = 100 * time.Millisecond
	for range time.Tick(tick) {
		m.FastForward(tick)
	}
	return nil
}
