package main

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/realmgate/realmgate/pkg/localpg"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestARoleReachesItsOwnSchemaOnly creates the roles of a first start and tries with each role
// statements that only another role may run.
func TestARoleReachesItsOwnSchemaOnly(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pg, err := localpg.Start(ctx,
		localpg.Options{Dir: filepath.Join(t.TempDir(), "postgres"), Settings: localpg.Disposable(),
			Log: testkit.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := pg.Remove(ctx); err != nil {
			t.Error(err)
		}
	})
	dir := &dataDir{path: t.TempDir()}
	if err := pg.CreateDatabase(ctx, databaseName); err != nil {
		t.Fatal(err)
	}
	first, err := createRoles(ctx, pg.URL(databaseName), dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := createRoles(ctx, pg.URL(databaseName), dir) // as every start does
	if err != nil || again["vault_svc"] != first["vault_svc"] || first["vault_svc"] == first["users_svc"] {
		t.Fatalf("the second start: %v; passwords must stay, and differ", err)
	}
	conns := map[string]*pgx.Conn{}
	for _, role := range schemas {
		u, err := url.Parse(pg.URL(databaseName))
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(role, first[role])
		if conns[role], err = pgx.Connect(ctx, u.String()); err != nil {
			t.Fatal(err)
		}
		defer conns[role].Close(context.Background())
		if _, err := conns[role].Exec(ctx,
			"CREATE TABLE "+role+".own (id int); INSERT INTO "+role+".own VALUES (1)"); err != nil {
			t.Fatalf("%s in its own schema: %v", role, err)
		}
	}
	for _, role := range schemas {
		for _, sql := range forbiddenTo(role) {
			_, err := conns[role].Exec(ctx, sql)
			// 42501 is insufficient_privilege.
			if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "42501" {
				t.Errorf("%s: %s: got %v, want that it is refused", role, sql, err)
			}
		}
	}
}

// forbiddenTo returns statements that a service's role must not run.
func forbiddenTo(role string) []string {
	forbidden := []string{
		"CREATE TABLE public.mine (id int)", "CREATE SCHEMA mine", "CREATE ROLE mine", "CREATE DATABASE mine",
		"SELECT * FROM pg_authid",
		"SELECT pg_read_file('/etc/hostname')", "COPY " + role + ".own TO PROGRAM 'true'",
		"ALTER ROLE " + role + " SUPERUSER",
	}
	for _, owner := range schemas {
		if owner != role {
			forbidden = append(forbidden, "SELECT * FROM "+owner+".own", "UPDATE "+owner+".own SET id = 2",
				"DROP TABLE "+owner+".own",
				"CREATE TABLE "+owner+".mine (id int)", "SET ROLE "+owner, "DROP SCHEMA "+owner+" CASCADE")
		}
	}
	return forbidden
}
