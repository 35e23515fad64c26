//go:build unix

package localpg_test

import (
	"bytes"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/localpg"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestAnUpgradeOfThePackageRestartsTheServer replaces the programs of a running server as a package manager
// does: by renaming, one after the other.
func TestAnUpgradeOfThePackageRestartsTheServer(t *testing.T) {
	t.Parallel()
	bin, library := copyOfPrograms(t)
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
	replaced := filepath.Join(bin, "postgres")
	copyFile(t, replaced, replaced+".new")
	rename(t, replaced+".new", replaced)
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

// TestAStopWhileProgramsAreReplaced ends whatever runs.
func TestAStopWhileProgramsAreReplaced(t *testing.T) {
	t.Parallel()
	bin, _ := copyOfPrograms(t)
	log := &lines{}
	o := options(t, folder(t))
	o.BinDir, o.Log = bin, slog.New(slog.NewTextHandler(log, nil))
	c := start(t, o)
	replaced := filepath.Join(bin, "postgres")
	copyFile(t, replaced, replaced+".new")
	rename(t, replaced+".new", replaced)
	log.await(t, "PostgreSQL's programs are being replaced")
	stop(t, c)
	select {
	case <-c.Done():
	default:
		t.Error("the server has not ended")
	}
}

// lines is a log that can be waited for.
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

// copyOfPrograms copies the PostgreSQL that tests use, whose parts find each other by their relative places.
func copyOfPrograms(t *testing.T) (bin, library string) {
	t.Helper()
	c := start(t, options(t, folder(t)))
	conn, err := pgx.Connect(t.Context(), c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	at := map[string]string{}
	rows, err := conn.Query(t.Context(), `SELECT name, setting FROM pg_config WHERE name IN ('BINDIR', 'PKGLIBDIR', 'SHAREDIR')`)
	if err != nil {
		t.Fatal(err)
	}
	var name, setting string
	if _, err := pgx.ForEachRow(rows, []any{&name, &setting}, func() error { at[name] = setting; return nil }); err != nil {
		t.Fatal(err)
	}
	root := folder(t)
	bin, library = filepath.Join(root, at["BINDIR"]), filepath.Join(root, at["PKGLIBDIR"])
	for _, program := range []string{"postgres", "initdb"} {
		copyFile(t, filepath.Join(at["BINDIR"], program), filepath.Join(bin, program))
	}
	err = filepath.WalkDir(at["PKGLIBDIR"], func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "bitcode" {
			return fs.SkipDir
		}
		if err == nil && d.Type().IsRegular() && !strings.HasPrefix(d.Name(), "llvm") {
			copyFile(t, path, filepath.Join(root, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	share := filepath.Join(root, at["SHAREDIR"])
	if err := os.MkdirAll(filepath.Dir(share), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(at["SHAREDIR"], share); err != nil {
		t.Fatal(err)
	}
	return bin, library
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, content, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
