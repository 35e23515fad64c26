//go:build unix

package localpg_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/localpg"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestAnUpgradeOfThePackageRestartsTheServer replaces the programs of a running server as a package
// manager does: by renaming, one after the other.
func TestAnUpgradeOfThePackageRestartsTheServer(t *testing.T) {
	t.Parallel()
	bin, library := testkit.PostgresPrograms(t)
	log := &lines{}
	o := options(t, folder(t))
	o.BinDir, o.Log = bin, slog.New(slog.NewTextHandler(log, nil))
	c := start(t, o)
	url := c.URL("postgres")
	ask(t, url, `CREATE TABLE kept AS SELECT 42`)
	started := ask(t, url, `SELECT pg_postmaster_start_time()::text`)

	plpgsql := filepath.Join(library, "plpgsql.so")
	rename(t, plpgsql, plpgsql+".away")
	if err := os.WriteFile(plpgsql, []byte("of another version"), 0o755); err != nil {
		t.Fatal(err)
	}
	ask(t, url, `DO $$ BEGIN PERFORM 1; END $$`) // in a new session
	log.await(t, "PostgreSQL goes on with its old programs")
	rename(t, plpgsql, plpgsql+".broken")
	replace(t, filepath.Join(bin, "postgres"))
	time.Sleep(3 * localpg.WatchEvery)
	if got := ask(t, url, `SELECT pg_postmaster_start_time()::text`); got != started {
		t.Error("the server was restarted while a part of it was missing")
	}

	rename(t, plpgsql+".away", plpgsql)
	log.await(t, "PostgreSQL was restarted")
	if got := ask(t, url, `SELECT pg_postmaster_start_time()::text`); got == started {
		t.Error("the old server still runs")
	}
	ask(t, url, `DO $$ BEGIN PERFORM 1; END $$`)
	if got := ask(t, url, `SELECT * FROM kept`); got != "42" {
		t.Errorf("after the restart: got %q, want 42", got)
	}
	select {
	case <-c.Done():
		t.Error("the restart counts as the end of the server")
	default:
	}
}

// TestAStopWhileProgramsAreReplaced checks that Stop leaves no server running.
func TestAStopWhileProgramsAreReplaced(t *testing.T) {
	t.Parallel()
	bin, _ := testkit.PostgresPrograms(t)
	log := &lines{}
	o := options(t, folder(t))
	o.BinDir, o.Log = bin, slog.New(slog.NewTextHandler(log, nil))
	c := start(t, o)
	replace(t, filepath.Join(bin, "postgres"))
	log.await(t, "PostgreSQL's programs are being replaced")
	stop(t, c)
	select {
	case <-c.Done():
	default:
		t.Error("the server has not ended")
	}
}

// lines collects a log; a test can wait for a line.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) await(t *testing.T, part string) {
	t.Helper()
	said := func() string {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.text.String()
	}
	for end := time.Now().Add(testkit.Patience); !strings.Contains(said(), part); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the log does not say %q: %s", part, said())
		}
	}
}

// replace replaces the file by a copy of itself, by renaming as package managers do.
func replace(t *testing.T, file string) {
	t.Helper()
	if err := testkit.CopyFile(file, file+".new"); err != nil {
		t.Fatal(err)
	}
	rename(t, file+".new", file)
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
