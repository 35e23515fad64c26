//go:build unix

package localpg_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
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

// TestMain lets the tests run this binary as the process that they kill.
func TestMain(m *testing.M) {
	if dir := os.Getenv("LOCALPG_HELPER"); dir != "" {
		runHelper(dir)
	}
	os.Exit(m.Run())
}

// folder returns a new folder that any user can enter, unlike t.TempDir.
func folder(t testing.TB) string {
	t.Helper()
	base, err := os.MkdirTemp("", "localpg-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(base, "postgres")
}

func options(t testing.TB, dir string) localpg.Options {
	return localpg.Options{Dir: dir, Settings: localpg.Disposable(), Log: testkit.Log(t)}
}

func start(t testing.TB, o localpg.Options) *localpg.Cluster {
	t.Helper()
	c, err := localpg.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, c) })
	return c
}

func stop(t testing.TB, c *localpg.Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// ask runs one statement and returns the first column of its first row.
func ask(t testing.TB, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	texts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		return string(row.RawValues()[0]), nil
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return strings.Join(texts, " ")
}

func TestASecondStartKeepsDataAndAddress(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	c := start(t, localpg.Options{Dir: dir, Log: testkit.Log(t)}) // durable
	if err := c.CreateDatabase(t.Context(), "kept"); err != nil {
		t.Fatal(err)
	}
	url := c.URL("kept")
	ask(t, url, "CREATE TABLE item AS SELECT 'there' AS name")
	stop(t, c)
	select {
	case <-c.Done():
	default:
		t.Error("Done is open after Stop")
	}
	stop(t, c) // again: no error

	c = start(t, localpg.Options{Dir: dir, Log: testkit.Log(t)})
	if got := c.URL("kept"); got != url {
		t.Errorf("address: got %s, want %s as before", got, url)
	}
	if got := ask(t, c.URL("kept"), "SELECT name FROM item"); got != "there" {
		t.Errorf("row: got %q, want \"there\"", got)
	}
	for setting, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "max_connections": "200", "listen_addresses": "127.0.0.1",
		"unix_socket_directories": "", "server_encoding": "UTF8", "password_encryption": "scram-sha-256",
		"timezone": "UTC",
	} {
		if got := ask(t, c.URL("kept"), "SHOW "+setting); got != want {
			t.Errorf("%s: got %q, want %q", setting, got, want)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "password"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("password file: got %v, %v; want mode 0600", info.Mode(), err)
	}
}

func TestALoginNeedsThePassword(t *testing.T) {
	t.Parallel()
	c := start(t, options(t, folder(t)))
	config, err := pgx.ParseConfig(c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{"", "postgres"} {
		config.Password = password
		if conn, err := pgx.ConnectConfig(t.Context(), config); err == nil {
			conn.Close(t.Context())
			t.Errorf("password %q was accepted", password)
		}
	}
}

func TestConcurrentCallersMayCreateTheSameDatabase(t *testing.T) {
	t.Parallel()
	c := start(t, options(t, folder(t)))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := c.CreateDatabase(t.Context(), `odd "name"`); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := ask(t, c.URL(`odd "name"`), "SELECT current_database()"); got != `odd "name"` {
		t.Errorf("got %q", got)
	}
}

func TestAPortInUseIsReportedOrReplaced(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	c := start(t, options(t, dir))
	kept := c.URL("postgres")
	stop(t, c)
	config, err := pgx.ParseConfig(kept)
	if err != nil {
		t.Fatal(err)
	}
	squatter, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", config.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer squatter.Close()

	o := options(t, dir)
	o.Port = int(config.Port)
	_, err = localpg.Start(t.Context(), o)
	refused(t, err, "is taken; stop what listens there")

	c = start(t, options(t, dir))
	if got := c.URL("postgres"); got == kept {
		t.Errorf("got the taken address %s", got)
	}
	ask(t, c.URL("postgres"), "SELECT 1")
}

func TestAFolderBelongsToOneProcess(t *testing.T) {
	t.Parallel()
	dir, log := folder(t), testkit.Log(t)
	var wg sync.WaitGroup
	started := make(chan *localpg.Cluster, 4)
	for range cap(started) {
		wg.Go(func() {
			c, err := localpg.Start(t.Context(), options(t, dir))
			if err != nil {
				refused(t, err, "in use by another process")
				return
			}
			started <- c
		})
	}
	wg.Wait()
	close(started)
	if len(started) != 1 {
		t.Errorf("started: got %d, want 1", len(started))
	}
	for c := range started {
		refused(t, localpg.Remove(t.Context(), dir, log), "in use by another process")
		ask(t, c.URL("postgres"), "SELECT 1")
		if err := c.Remove(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("after Remove: got %v, want no folder", err)
	}
}

// refused checks that an error is one line with the advice in it.
func refused(t testing.TB, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\n\r") {
		t.Errorf("error: got %v, want one line with %q", err, want)
	}
}

func TestUnsuitableFoldersAreRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		prepare func(t *testing.T, o *localpg.Options)
		want    string
	}{
		{"no folder named", func(_ *testing.T, o *localpg.Options) { o.Dir = "" }, "set the folder"},
		{"somebody's folder", func(t *testing.T, o *localpg.Options) { write(t, o.Dir, "thesis.txt", "") },
			"choose an empty or new folder"},
		{"another PostgreSQL's folder", func(t *testing.T, o *localpg.Options) {
			write(t, o.Dir, "PG_VERSION", "15\n")
		},
			"choose an empty or new folder"},
		{"data without PG_VERSION", func(t *testing.T, o *localpg.Options) {
			write(t, o.Dir, "localpg.lock", "")
			write(t, filepath.Join(o.Dir, "data"), "base", "")
		}, "move it away or restore it"},
		{"data of another major version", func(t *testing.T, o *localpg.Options) {
			write(t, o.Dir, "localpg.lock", "")
			write(t, filepath.Join(o.Dir, "data"), "PG_VERSION", "9\n")
		}, "install PostgreSQL 9, or dump"},
		{"a damaged PG_VERSION", func(t *testing.T, o *localpg.Options) {
			write(t, o.Dir, "localpg.lock", "")
			write(t, filepath.Join(o.Dir, "data"), "PG_VERSION", "?")
		}, "restore the folder"},
		{"a pointer to data that is gone", func(t *testing.T, o *localpg.Options) {
			write(t, o.Dir, "localpg.lock", "")
			write(t, o.Dir, "data-is-in", filepath.Join(o.Dir, "nowhere")+"\n")
		}, "put the folder back"},
		{"a file in its place", func(t *testing.T, o *localpg.Options) {
			write(t, filepath.Dir(o.Dir), filepath.Base(o.Dir), "")
		}, "choose a folder"},
		{"no programs", func(_ *testing.T, o *localpg.Options) { o.BinDir = filepath.Dir(o.Dir) },
			"install the PostgreSQL server"},
		{"programs that are something else", func(t *testing.T, o *localpg.Options) {
			o.BinDir = filepath.Join(filepath.Dir(o.Dir), "bin")
			for _, name := range []string{"postgres", "initdb"} {
				write(t, o.BinDir, name, "#!/bin/sh\necho hello\n")
			}
		}, "is no PostgreSQL; give another folder"},
		{"a setting that PostgreSQL does not know", func(_ *testing.T, o *localpg.Options) {
			o.Settings["no_such_setting"] = "1"
		}, "no_such_setting"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := options(t, folder(t))
			test.prepare(t, &o)
			c, err := localpg.Start(t.Context(), o)
			if err == nil {
				stop(t, c)
			}
			refused(t, err, test.want)
		})
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestALostPasswordIsReportedBeforeAnythingIsChanged(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	stop(t, start(t, options(t, dir)))
	if err := os.Remove(filepath.Join(dir, "password")); err != nil {
		t.Fatal(err)
	}
	_, err := localpg.Start(t.Context(), options(t, dir))
	refused(t, err, "restore it from a backup")
	write(t, dir, "password", "another one")
	_, err = localpg.Start(t.Context(), options(t, dir))
	refused(t, err, "refuses the password")
}

// TestAFolderThatOnlyItsOwnerMayEnter uses t.TempDir, which is below a folder of mode 0700, as
// DATA_DIR in /root would be.
func TestAFolderThatOnlyItsOwnerMayEnter(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "postgres")
	c := start(t, options(t, dir))
	ask(t, c.URL("postgres"), "CREATE TABLE item AS SELECT 'there' AS name")
	stop(t, c)
	c = start(t, options(t, dir))
	if got := ask(t, c.URL("postgres"), "SELECT name FROM item"); got != "there" {
		t.Errorf("row: got %q, want \"there\"", got)
	}
	data := ask(t, c.URL("postgres"), "SHOW data_directory")
	if err := c.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{dir, data, filepath.Dir(data)} {
		if _, err := os.Stat(gone); !os.IsNotExist(err) {
			t.Errorf("%s after Remove: got %v, want it gone", gone, err)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	dir := folder(b)
	o := localpg.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)}
	stop(b, start(b, o))
	var stopping time.Duration
	for b.Loop() {
		c, err := localpg.Start(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		began := time.Now()
		stop(b, c)
		stopping += time.Since(began)
		b.StartTimer()
	}
	b.ReportMetric(float64(stopping.Milliseconds())/float64(b.N), "ms-stop/op")
}
