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
	// heartbeatAge is how long a result is cached, so that many probes cost little.
	heartbeatAge = time.Second
	// newSessionEvery is the pause between heartbeats that open a session of their own: the pool's
	// sessions may work while the server can no longer start others.
	newSessionEvery = 10 * time.Second
)

// Heartbeat checks for /readyz that the database accepts writes. It calls the function heartbeat of
// the schema, which updates a row and writes a temporary file, in PL/pgSQL. So it fails when the
// database is read-only, when its disk is full and when new sessions cannot load PL/pgSQL. It
// writes nothing unless Check is called.
type Heartbeat struct {
	pool *Pool

	mu         sync.Mutex
	at         time.Time // of the last result
	err        error
	newSession time.Time // of the last successful check with a new session
}

// NewHeartbeat returns a heartbeat of the database of pool.
func NewHeartbeat(pool *Pool) *Heartbeat { return &Heartbeat{pool: pool} }

// Check returns an error when the database does not accept writes. Its result may be a second old.
func (h *Heartbeat) Check(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.at.IsZero() && time.Since(h.at) < heartbeatAge {
		return h.err
	}
	err := h.beat(ctx)
	if ctx.Err() != nil {
		return err // not cached: it may only mean that the caller gave up
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
