package db

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// heartbeatAge is how long a finding is kept, so that probes cost little however many there
	// are.
	heartbeatAge = time.Second
	// newSessionEvery is how often the heartbeat opens a session of its own: those of the pool may
	// work while the server can no longer start others.
	newSessionEvery = 10 * time.Second
)

// Heartbeat proves for /readyz that the database takes writes: it calls the function heartbeat of
// the schema, which updates a row and writes a temporary file, in PL/pgSQL. So it fails when the
// database is read-only, when its disk is full and when new sessions cannot load PL/pgSQL. Nothing
// is written unless somebody asks.
type Heartbeat struct {
	pool *Pool

	mu         sync.Mutex
	at         time.Time // of the last finding
	err        error
	newSession time.Time // the last that was good
}

// NewHeartbeat makes the check of the database of pool.
func NewHeartbeat(pool *Pool) *Heartbeat { return &Heartbeat{pool: pool} }

// Check returns why the database takes no writes, nil when it does. Its finding may be a second
// old.
func (h *Heartbeat) Check(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.at.IsZero() && time.Since(h.at) < heartbeatAge {
		return h.err
	}
	err := h.beat(ctx)
	if ctx.Err() != nil {
		return err // which may say only that the caller gave up
	}
	h.at, h.err = time.Now(), err
	return err
}

func (h *Heartbeat) beat(ctx context.Context) error {
	if h.newSession.IsZero() || time.Since(h.newSession) >= newSessionEvery {
		err := h.beatInNewSession(ctx)
		if pe, ok := errors.AsType[*pgconn.PgError](err); !ok || pe.Code != "53300" { // too_many_connections
			if err == nil {
				h.newSession = time.Now()
			}
			return err
		}
	}
	_, err := h.pool.Exec(ctx, `SELECT heartbeat()`)
	return err
}

func (h *Heartbeat) beatInNewSession(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, h.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err = conn.PgConn().Exec(ctx, `SELECT heartbeat()`).ReadAll(); err != nil {
		return fmt.Errorf("a new session: %w", err)
	}
	return nil
}
