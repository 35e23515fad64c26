package testkit_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func TestTwoDatabasesDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	a, b := connect(t, testkit.Postgres(t)), connect(t, testkit.Postgres(t))
	for _, conn := range []*pgx.Conn{a, b} {
		if _, err := conn.Exec(t.Context(), "CREATE TABLE item (id int PRIMARY KEY)"); err != nil {
			t.Fatalf("the database was not empty: %v", err)
		}
	}
	if _, err := a.Exec(t.Context(), "INSERT INTO item VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := b.QueryRow(t.Context(), "SELECT count(*) FROM item").Scan(&n); err != nil || n != 0 {
		t.Errorf("rows in the other database: got %d, %v; want 0", n, err)
	}
}

func TestDatabaseIsDroppedAlthoughConnectionsAreOpen(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("a test that leaks its connection", func(t *testing.T) {
		conn, err := pgx.Connect(t.Context(), testkit.Postgres(t))
		if err != nil {
			t.Fatal(err)
		}
		name = conn.Config().Database
	})
	var n int
	err := connect(t, testkit.Postgres(t)).QueryRow(t.Context(), "SELECT count(*) FROM pg_database WHERE datname = $1",
		name).Scan(&n)
	if err != nil || n != 0 || name == "" {
		t.Errorf("databases named %q: got %d, %v; want 0", name, n, err)
	}
}

func TestRestartedNATSKeepsPortAndStream(t *testing.T) {
	t.Parallel()
	broker := testkit.StartNATS(t)
	url := broker.URL()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	config := jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}
	if _, err := js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s.1", []byte("kept")); err != nil {
		t.Fatal(err)
	}

	broker.Stop()
	if err := nc.FlushTimeout(200 * time.Millisecond); err == nil {
		t.Error("the stopped broker still answers")
	}
	broker.Restart()
	if broker.URL() != url {
		t.Errorf("address after restart: got %s, want %s", broker.URL(), url)
	}
	stream, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatalf("the stream is gone: %v", err)
	}
	msg, err := stream.GetMsg(t.Context(), 1)
	if err != nil || string(msg.Data) != "kept" {
		t.Errorf("message after restart: got %v, %v; want \"kept\"", msg, err)
	}
}

func TestTwoNATSServersAreSeparate(t *testing.T) {
	t.Parallel()
	if a, b := testkit.NATS(t), testkit.NATS(t); a == b {
		t.Errorf("both servers have the address %s", a)
	}
}

func TestRedisKeyExpiresByItself(t *testing.T) {
	t.Parallel()
	client := redisClient(t, testkit.Redis(t))
	if err := client.Set(t.Context(), "k", "v", 150*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	if got, err := client.Get(t.Context(), "k").Result(); got != "v" {
		t.Fatalf("before its end: got %q, %v; want \"v\"", got, err)
	}
	time.Sleep(200 * time.Millisecond)
	if got, err := client.Get(t.Context(), "k").Result(); !errors.Is(err, redis.Nil) {
		t.Errorf("after its end: got %q, %v; want none", got, err)
	}
}

func TestRestartedRedisKeepsPortAndData(t *testing.T) {
	t.Parallel()
	server := testkit.Redis(t)
	client, url := redisClient(t, server), server.URL()
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	if err := client.Ping(t.Context()).Err(); err == nil {
		t.Error("the stopped Redis still answers")
	}
	server.Restart()
	if server.URL() != url {
		t.Errorf("address after restart: got %s, want %s", server.URL(), url)
	}
	if got, err := client.Get(t.Context(), "k").Result(); got != "v" {
		t.Errorf("after restart: got %q, %v; want \"v\"", got, err)
	}
	go func() {
		time.Sleep(20 * time.Millisecond)
		_, _ = server.Miniredis.Push("list", "x")
	}()
	if got, err := client.BLPop(t.Context(), 5*time.Second, "list").Result(); err != nil || got[1] != "x" {
		t.Errorf("a blocking command after restart: got %v, %v; want x", got, err)
	}
}

func redisClient(t testing.TB, server *testkit.RedisServer) *redis.Client {
	t.Helper()
	var _ *miniredis.Miniredis = server.Miniredis
	options, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	options.MaxRetries = -1
	client := redis.NewClient(options)
	t.Cleanup(func() { client.Close() })
	return client
}

func TestLogMayBeUsedAfterTheTest(t *testing.T) {
	t.Parallel()
	var late func()
	t.Run("a test with a goroutine that outlives it", func(t *testing.T) {
		log := testkit.Log(t)
		log.Debug("during the test")
		late = func() { log.Info("after the test") }
	})
	late()
}

// TestMainKeepsTheExitCodeAndCleansUp runs this binary again with a test that fails, and with one
// that panics, both after they used PostgreSQL.
func TestMainKeepsTheExitCodeAndCleansUp(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"fail", "panic"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			tmp, err := os.MkdirTemp("", "testkit-tmp-")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(tmp)
			if err := os.Chmod(tmp, 0o711); err != nil {
				t.Fatal(err)
			}
			out, code := rerun(t, tmp, how)
			left, _ := filepath.Glob(filepath.Join(tmp, "realmgate-*"))
			want := 1
			if how == "panic" {
				want = 2 // exit code of the Go runtime; the next run removes the folder
				if len(left) != 1 {
					t.Fatalf("folders after a panic: got %v, want one", left)
				}
				long := time.Now().Add(-time.Hour)
				if err := os.Chtimes(left[0], long, long); err != nil {
					t.Fatal(err)
				}
				_, _ = rerun(t, tmp, "fail")
				left, _ = filepath.Glob(filepath.Join(tmp, "realmgate-*"))
			}
			if code != want {
				t.Errorf("exit code: got %d, want %d\n%s", code, want, out)
			}
			if len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func rerun(t *testing.T, tmp, how string) (string, int) {
	t.Helper()
	cmd := testkit.Command(t, os.Args[0], "-test.run=^TestInner$", "-test.v")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "TESTKIT_INNER="+how, "TEST_DATABASE_URL=")
	out, _ := cmd.CombinedOutput() // only the exit code matters here
	if !strings.Contains(string(out), "--- FAIL: TestInner") {
		t.Fatalf("the inner test did not run:\n%s", out)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestInner(t *testing.T) {
	how := os.Getenv("TESTKIT_INNER")
	if how == "" {
		return // only as part of TestMainKeepsTheExitCodeAndCleansUp
	}
	connect(t, testkit.Postgres(t))
	if how == "panic" {
		panic("on purpose")
	}
	t.Fail()
}

func BenchmarkPostgres(b *testing.B) {
	for b.Loop() {
		testkit.Postgres(b)
	}
}
