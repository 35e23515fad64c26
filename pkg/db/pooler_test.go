package db

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// pooler imitates PgBouncer with pool_mode=transaction and one connection to PostgreSQL.
type pooler struct {
	refuses string // parameter of a new connection that the pooler refuses

	mu     sync.Mutex // held for a transaction
	server *pgproto3.Frontend
}

// startPooler returns the address of a pooler in front of PostgreSQL.
func startPooler(t *testing.T, refuses, searchPath string) string {
	t.Helper()
	to := testkit.Postgres(t)
	server, err := pgconn.Connect(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Exec(t.Context(), "SET search_path = "+searchPath).ReadAll(); err != nil {
		t.Fatal(err)
	}
	held, err := server.Hijack()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &pooler{refuses: refuses, server: held.Frontend}
	var serving sync.WaitGroup
	t.Cleanup(func() { listener.Close(); held.Conn.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { defer client.Close(); p.serve(pgproto3.NewBackend(client, client)) })
		}
	})
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = listener.Addr().String()
	return u.String()
}

func (p *pooler) serve(client *pgproto3.Backend) {
	first, err := client.ReceiveStartupMessage()
	if err != nil {
		return
	}
	start, ok := first.(*pgproto3.StartupMessage)
	if !ok {
		return
	}
	if _, asked := start.Parameters[p.refuses]; asked {
		client.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "08P01",
			Message: "unsupported startup parameter: " + p.refuses})
		_ = client.Flush()
		return
	}
	client.Send(&pgproto3.AuthenticationOk{})
	for name, value := range map[string]string{"standard_conforming_strings": "on", "client_encoding": "UTF8"} {
		client.Send(&pgproto3.ParameterStatus{Name: name, Value: value})
	}
	client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for client.Flush() == nil && p.transaction(client) == nil {
	}
}

// transaction forwards the messages of one transaction.
func (p *pooler) transaction(client *pgproto3.Backend) error {
	m, err := client.Receive()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch p.server.Send(m); m.(type) {
		case *pgproto3.Terminate:
			return net.ErrClosed
		case *pgproto3.Query, *pgproto3.Sync:
			if idle, err := p.answer(client); idle || err != nil {
				return err
			}
		}
		if m, err = client.Receive(); err != nil {
			return err
		}
	}
}

func (p *pooler) answer(client *pgproto3.Backend) (idle bool, err error) {
	if err := p.server.Flush(); err != nil {
		return false, err
	}
	for {
		m, err := p.server.Receive()
		if err != nil {
			return false, err
		}
		client.Send(m)
		if ready, ok := m.(*pgproto3.ReadyForQuery); ok {
			return ready.TxStatus == 'I', client.Flush()
		}
	}
}

func TestAPoolerThatSharesSessionsIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ refuses, searchPath string }{
		"as PgBouncer is installed":             {"statement_timeout", "public"},
		"with ignore_startup_parameters":        {"", "public"},
		"with the role's search_path set right": {"", "some_svc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := Config{URL: config.Secret(startPooler(t, c.refuses, c.searchPath)), MaxConns: 2}
			pool, err := Open(t.Context(), cfg, "some_svc", nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
			defer cancel()
			err = Prepare(ctx, cfg, pool, "some_svc", fstest.MapFS{}, slog.New(slog.DiscardHandler))
			if !errors.Is(err, errPooler) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line that names the setting", err)
			}
		})
	}
}

func TestPostgreSQLItselfIsNotTakenForAPooler(t *testing.T) {
	t.Parallel()
	pool := open(t, testkit.Postgres(t), "some_svc")
	if err := sessions(pool, "some_svc")(t.Context()); err != nil {
		t.Error(err)
	}
}
