package vault

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
	"github.com/realmgate/realmgate/vault-svc/internal/store"
)

// TestConcurrentReadsAndWritesOfManyUsers checks that each user reads their own last write when
// statements are shared.
func TestConcurrentReadsAndWritesOfManyUsers(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *Config) { c.DB.MaxConns = 3 }) // one statement at a time
	values := []string{"", "short", strings.Repeat("é", 3000), strings.Repeat("x", smallBody),
		strings.Repeat("y", smallBody+1)}
	var wait sync.WaitGroup
	for range 24 {
		wait.Go(func() {
			u := user()
			for round := range 12 {
				s.writeAndRead(u, fmt.Sprint(rand.IntN(3)), []string{"", "?realm_id=" + realmA}[round%2],
					fmt.Sprint(round, values[rand.IntN(len(values))]))
			}
		})
	}
	wait.Wait()
	if items, statements := s.metric("vault_reads_total"), s.metric("vault_read_statements_total"); items != 24*12*2 ||
		statements >= items {
		t.Errorf("%v items were read by %v statements: none shared one", items, statements)
	}
	items, statements := s.metric("vault_writes_total"), s.metric("vault_write_statements_total")
	if statements >= items {
		t.Errorf("%v items were written by %v statements: none shared one", items, statements)
	}
	s.checkAccounts()
}

func (s *stack) writeAndRead(u auth.Identity, key, query, value string) {
	path := "/api/v1/vault/keys/" + key + query
	if r, err := s.try(u, "PUT", path, withMetadata(value, len(value)%2 == 0)); err != nil || r.status != 200 &&
		r.status != 201 {
		s.t.Errorf("PUT: %v %d %.200s", err, r.status, r.raw)
		return
	}
	r, err := s.try(u, "GET", path, nil)
	if err != nil || r.status != 200 {
		s.t.Errorf("GET: %v %d %.200s", err, r.status, r.raw)
		return
	}
	want := "null"
	if len(value)%2 == 0 {
		want = fmt.Sprintf(`{"n":%d}`, len(value))
	}
	if i := r.item(s.t); i.Value == nil || *i.Value != value || i.Key != key || string(i.Metadata) != want {
		s.t.Errorf("GET %s: %.100s, want %.20s and %s", path, r.raw, value, want)
	}
	if r, err := s.try(u, "GET", "/api/v1/vault/keys/none"+query, nil); err != nil || r.status != 404 {
		s.t.Errorf("GET of nothing: %v %d %.200s", err, r.status, r.raw)
	}
}

// withMetadata returns the body of a write that sets the metadata or clears it.
func withMetadata(value string, set bool) []byte {
	b := body(value)
	b = b[:len(b)-1]
	if set {
		return fmt.Appendf(b, `,"metadata":{"n":%d}}`, len(value))
	}
	return append(b, `,"metadata":null}`...)
}

// TestWritesInOneBatchSucceedOrFailIndependently sends writes that share batches. Some are over
// quota and one waits for the lock of its account; the others must succeed without delay.
func TestWritesInOneBatchSucceedOrFailIndependently(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *Config) { c.DB.MaxConns, c.QuotaMB = 4, 1 })
	full, stuck := user(), user()
	for i := range 20 {
		s.put(full, fmt.Sprint("k", i), "", strings.Repeat("x", 50_000))
	}
	s.put(stuck, "k", "", "before")
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = tx.Exec(t.Context(), `SELECT FROM vault_usage WHERE user_id = $1 FOR UPDATE`, stuck.UserID)
	if err != nil {
		t.Fatal(err)
	}
	blocked := make(chan reply, 3)
	for range cap(blocked) {
		go func() {
			r, _ := s.try(stuck, "PUT", "/api/v1/vault/keys/k", body("a longer one"))
			blocked <- r
		}()
	}
	time.Sleep(10 * time.Millisecond) // the first blocked write starts before all others
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			for range 10 {
				if r, err := s.try(user(), "PUT", "/api/v1/vault/keys/k", body("fits")); err != nil || r.status != 201 {
					t.Errorf("a write that fits: %v %d %.200s", err, r.status, r.raw)
				}
			}
		})
		wait.Go(func() {
			for range 3 {
				r, err := s.try(full, "PUT", "/api/v1/vault/keys/more", body(strings.Repeat("x", 50_000)))
				if err != nil || r.status != 413 || r.Code != "VAULT_LIMIT_EXCEEDED" {
					t.Errorf("a write over quota: %v %d %.200s", err, r.status, r.raw)
				}
			}
		})
	}
	wait.Wait()
	select {
	case r := <-blocked:
		t.Errorf("written while another transaction holds the lock: %d %s", r.status, r.raw)
	default:
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range cap(blocked) {
		if r := <-blocked; r.status != 200 {
			t.Errorf("after the lock: %d %s", r.status, r.raw)
		}
	}
	s.checkAccounts()
}

// TestABatchOfWritesRestoresTheLockTimeout checks that the lock timeout of a batch does not apply
// to the next statement of its connection.
func TestABatchOfWritesRestoresTheLockTimeout(t *testing.T) {
	t.Parallel()
	s := start(t)
	cfg := s.cfg.DB
	cfg.MaxConns = 1
	pool, err := db.Open(t.Context(), cfg, schema, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var batch []*store.Write
	for range 2 {
		batch = append(batch, &store.Write{
			Ref:    sealing.Ref{User: user().UserID, Key: "k"},
			Sealed: store.Sealed{Number: 1, Value: []byte("sealed"), Version: sealing.NewVersion(1)}, ValueBytes: 6,
			Limits: store.Limits{Bytes: 100, Items: 1},
		})
	}
	for _, round := range []string{"done", "refused"} {
		if round == "refused" {
			batch[1].Key = "\x00" // PostgreSQL refuses NUL in text
		}
		err := store.New(pool).WriteBatch(t.Context(), batch)
		if round == "done" && (err != nil || batch[0].RolledBack || !batch[0].Fresh || !batch[1].Fresh) {
			t.Fatalf("two writes: %v, %+v, %+v", err, batch[0], batch[1])
		}
		if round == "refused" && (err != nil || !batch[0].RolledBack || !batch[1].RolledBack) {
			t.Errorf("a batch that PostgreSQL refuses: %v, RolledBack %v and %v", err, batch[0].RolledBack,
				batch[1].RolledBack)
		}
		var timeout string
		if err := pool.QueryRow(t.Context(), `SHOW lock_timeout`).Scan(&timeout); err != nil || timeout != "0" {
			t.Errorf("%s: lock_timeout is %q afterwards, %v", round, timeout, err)
		}
	}
}
