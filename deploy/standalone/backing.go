package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/realmgate/realmgate/pkg/localpg"
)

// backing holds the servers that the services need. It stops the embedded ones; external servers
// are left running.
type backing struct {
	// databaseURL returns the address at which a service reaches its schema.
	databaseURL       func(schema string) string
	natsURL, redisURL string
	data              string // folder of the embedded PostgreSQL
	closers           []func(context.Context) error
	// failed receives the error of an embedded server that stopped unexpectedly.
	failed chan error
}

func (b *backing) close(ctx context.Context) error {
	var all []error
	for i := len(b.closers) - 1; i >= 0; i-- {
		all = append(all, b.closers[i](ctx))
	}
	b.closers = nil
	return errors.Join(all...)
}

// openBacking starts an embedded server for each one that cfg does not name. The caller closes the
// result, also after an error.
func openBacking(ctx context.Context, cfg Config, dir *dataDir, log *slog.Logger) (*backing, error) {
	b := &backing{natsURL: cfg.NATSURL.Reveal(), redisURL: cfg.RedisURL.Reveal(), failed: make(chan error, 1)}
	if b.redisURL == "" {
		if err := b.startRedis(); err != nil {
			return b, fmt.Errorf("embedded Redis: %w", err)
		}
	}
	if b.natsURL == "" {
		if err := b.startNATS(dir, log); err != nil {
			return b, fmt.Errorf("embedded NATS: %w", err)
		}
	}
	if given := cfg.DatabaseURL.Reveal(); given != "" {
		b.databaseURL = func(string) string { return given }
		return b, nil
	}
	return b, b.startPostgres(ctx, cfg, dir, log)
}

// clockTick is how often miniredis's clock is advanced: it does not run by itself.
const clockTick = 500 * time.Millisecond

func (b *backing) startRedis() error {
	password, err := randomText()
	if err != nil {
		return err
	}
	redis := miniredis.NewMiniRedis()
	redis.RequireAuth(password)
	if err := redis.StartAddr("127.0.0.1:0"); err != nil {
		return err
	}
	ticker, done := time.NewTicker(clockTick), make(chan struct{})
	go func() {
		for {
			select {
			case <-ticker.C:
				redis.FastForward(clockTick)
			case <-done:
				return
			}
		}
	}()
	b.redisURL = (&url.URL{Scheme: "redis", User: url.UserPassword("", password), Host: redis.Addr()}).String()
	b.closers = append(b.closers, func(context.Context) error {
		ticker.Stop()
		close(done)
		redis.Close()
		return nil
	})
	return nil
}

func (b *backing) startNATS(dir *dataDir, log *slog.Logger) error {
	password, err := randomText()
	if err != nil {
		return err
	}
	nats, err := openNATS(dir.sub("nats"), password, log)
	watching, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	b.closers = append(b.closers, func(context.Context) error {
		stop()
		nats.close()
		<-done
		return nil
	})
	go func() {
		defer close(done)
		if err == nil {
			nats.watch(watching)
		}
	}()
	b.natsURL = nats.url()
	return err
}

// databaseName is the one database of the embedded PostgreSQL.
const databaseName = "realmgate"

func (b *backing) startPostgres(ctx context.Context, cfg Config, dir *dataDir, log *slog.Logger) error {
	pg, err := localpg.Start(ctx, localpg.Options{Dir: dir.sub("postgres"), BinDir: cfg.PostgresBin, Log: log})
	if err != nil {
		return fmt.Errorf("PostgreSQL: %w (POSTGRES_BIN names the folder of its programs, DATABASE_URL another "+
			"server)", err)
	}
	b.closers, b.data = append(b.closers, pg.Stop), pg.Data()
	var stopping atomic.Bool
	b.closers = append(b.closers, func(context.Context) error { stopping.Store(true); return nil })
	go func() {
		<-pg.Done()
		if !stopping.Load() {
			b.failed <- errors.New("PostgreSQL ended by itself: the log above has its last words, and with " +
				"LOG_LEVEL=debug everything that it says")
		}
	}()
	if err := pg.CreateDatabase(ctx, databaseName); err != nil {
		return err
	}
	passwords, err := createRoles(ctx, pg.URL(databaseName), dir)
	if err != nil {
		return fmt.Errorf("database roles: %w", err)
	}
	b.databaseURL = func(schema string) string {
		u, err := url.Parse(pg.URL(databaseName))
		if err != nil {
			return ""
		}
		u.User = url.UserPassword(schema, passwords[schema])
		return u.String()
	}
	return nil
}
