package db

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestAServiceWaitsForTheDatabaseAsLongAsItTakes, unlike a command, which gives up.
func TestAServiceWaitsForTheDatabaseAsLongAsItTakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		away, atMost time.Duration
		fails        bool
	}{
		"a service, for an hour":              {time.Hour, 0, false},
		"a command, for a short time":         {migrateWait / 2, migrateWait, false},
		"a command, for longer than it waits": {time.Hour, migrateWait, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, away := time.Now(), errors.New("connection refused")
				err := waitFor(t.Context(), func(context.Context) error {
					if time.Since(start) < c.away {
						return away
					}
					return nil
				}, slog.New(slog.DiscardHandler), c.atMost)
				if c.fails != errors.Is(err, away) || !c.fails && (err != nil || time.Since(start) < c.away) {
					t.Errorf("after %s: %v", time.Since(start), err)
				}
			})
		})
	}
}

// TestMigrationsAreLogged checks that the log names each applied migration once, even when a later
// one fails.
func TestMigrationsAreLogged(t *testing.T) {
	t.Parallel()
	pool := open(t, testkit.Postgres(t), "some_svc")
	files := fstest.MapFS{
		"migrations/00001_first.sql":  {Data: []byte("-- +goose Up\nCREATE TABLE one (id int);\n")},
		"migrations/00002_second.sql": {Data: []byte("-- +goose Up\nCREATE TABLE two (id int);\n")},
		"migrations/00003_broken.sql": {Data: []byte("-- +goose Up\nCREATE TABLE;\n")},
	}
	for _, run := range []struct {
		repaired bool
		logs     []string
	}{
		{false, []string{"00001_first.sql", "00002_second.sql"}},
		{true, []string{"00003_broken.sql"}},
		{true, nil},
	} {
		if run.repaired {
			files["migrations/00003_broken.sql"].Data = []byte("-- +goose Up\nCREATE TABLE three (id int);\n")
		}
		log := &testkit.Buffer{}
		err := Migrate(t.Context(), pool, "some_svc", files, slog.New(slog.NewTextHandler(log, nil)))
		if run.repaired != (err == nil) {
			t.Fatalf("repaired: %v: %v", run.repaired, err)
		}
		if n := strings.Count(log.String(), "msg=migrated schema=some_svc"); n != len(run.logs) {
			t.Errorf("%d migrations are logged, want %v:\n%s", n, run.logs, log.String())
		}
		for _, file := range run.logs {
			if !strings.Contains(log.String(), "migration="+file) {
				t.Errorf("%s is not logged:\n%s", file, log.String())
			}
		}
	}
}
