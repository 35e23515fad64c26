package db

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/pkg/trace"
)

// traced returns a pool whose statements are traced, its provider, and the collector of the spans.
func traced(t *testing.T) (*testkit.Collector, *trace.Provider, *Pool) {
	t.Helper()
	to := testkit.Traces(t)
	var c trace.Config
	environ := []string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT=" + to.URL}
	if err := config.Load(&c, environ); err != nil {
		t.Fatal(err)
	}
	p, err := trace.New(c, "test", "1", testkit.Log(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := Open(t.Context(),
		Config{URL: config.Secret(testkit.Postgres(t)), MaxConns: 2, Timeout: 10 * time.Second},
		"public", nil, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return to, p, pool
}

// TestStatementsAreTracedWithoutTheirArguments makes statements fail in every way in which the
// error quotes an argument.
func TestStatementsAreTracedWithoutTheirArguments(t *testing.T) {
	t.Parallel()
	to, p, pool := traced(t)
	const secret = "s3cret"
	ctx, request := p.Serve(t.Context(), "GET", "", false)
	failWith(t, ctx, pool, secret)
	request.End()
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}

	type outcome struct{ name, reason string }
	seen := map[outcome]int{}
	for _, s := range to.Spans() {
		seen[outcome{s.Name, s.Reason}]++
		for name, value := range s.Attributes {
			if strings.Contains(value, secret) || strings.Contains(value, "untraced") {
				t.Errorf("%s: %s is %q", s.Name, name, value)
			}
		}
		if s.Name == "SELECT public" && s.Reason == "22P02" &&
			s.Attributes["db.query.text"] != "SELECT name::int FROM things WHERE name = $1" {
			t.Errorf("got %+v", s)
		}
		if s.Name == "BATCH public" &&
			(s.Attributes["db.operation.batch.size"] != "2" || s.Attributes["db.response.status_code"] != "23505") {
			t.Errorf("got %+v", s)
		}
	}
	for _, want := range []outcome{
		{"CREATE public", ""}, {"BEGIN public", ""}, {"COPY public", ""}, {"COMMIT public", ""},
		{"SELECT public", "22P02"},
		{"SELECT public", "no answer"},
		{"BATCH public", "23505"}, {"GET", ""},
	} {
		if seen[want] != 1 {
			t.Errorf("%d spans %v, want one; all: %v", seen[want], want, seen)
		}
	}
	if len(seen) != 8 {
		t.Errorf("got %v", seen)
	}
}

// failWith runs statements that fail, with secret as their argument.
func failWith(t *testing.T, ctx context.Context, pool *Pool, secret string) {
	t.Helper()
	var n int
	if err := pool.QueryRow(ctx, "CREATE TABLE things (name text PRIMARY KEY)").Scan(); !IsNoRows(err) {
		t.Fatal(err)
	}
	if err := InTx(ctx, pool, func(tx pgx.Tx) error {
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"things"}, []string{"name"}, pgx.CopyFromRows([][]any{{secret}}))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := pool.QueryRow(ctx, "SELECT name::int\n\t FROM things WHERE name = $1", secret).Scan(&n); err == nil ||
		!strings.Contains(err.Error(), secret) {
		t.Fatalf("got %v, want an error that quotes the row", err)
	}
	if err := pool.QueryRow(ctx, "SELECT $1::int", []string{secret}).Scan(&n); err == nil ||
		!strings.Contains(err.Error(), secret) {
		t.Fatalf("got %v, want an error that quotes the argument", err)
	}
	b := &pgx.Batch{}
	b.Queue("INSERT INTO things VALUES ($1)", secret)
	b.Queue("SELECT 1")
	if err := pool.SendBatch(ctx, b).Close(); Constraint(err) == "" {
		t.Fatalf("got %v, want a constraint broken", err)
	}
	if err := pool.QueryRow(t.Context(), "SELECT 1 AS untraced").Scan(&n); err != nil {
		t.Fatal(err)
	}
}
