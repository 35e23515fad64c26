package vault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// slow is a store of a test in which every item is there whose key does not begin with "no"; a
// statement waits for the test.
type slow struct {
	*together[itemRead]
	begun chan []string // the keys of each statement
	end   chan error    // lets it end
}

func newSlow(most int, apart func(*itemRead) string) *slow {
	s := &slow{begun: make(chan []string, 100), end: make(chan error, 100)}
	s.together = newTogether(most, mostTogether, apart, func(ctx context.Context, batch []*itemRead) error {
		var keys []string
		for _, b := range batch {
			keys = append(keys, b.ref.Key)
		}
		s.begun <- keys
		if err := <-s.end; err != nil {
			if err == errPanic {
				panic(err)
			}
			return err
		}
		for _, b := range batch {
			b.key, b.found = b.ref.Key, !strings.HasPrefix(b.ref.Key, "no")
		}
		return ctx.Err()
	})
	return s
}

var errPanic = errors.New("a bug")

type got struct {
	key   string
	found bool
	err   error
}

// ask reads an item in the background, and returns when it is under way or waits.
func (s *slow) ask(t *testing.T, ctx context.Context, key string) <-chan got {
	t.Helper()
	s.mu.Lock()
	before := s.running + len(s.waiting)
	s.mu.Unlock()
	out := make(chan got, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				out <- got{err: fmt.Errorf("panic: %v", p)}
			}
		}()
		r := &itemRead{ref: sealing.Ref{User: key[:1], Key: key}}
		err := s.do(ctx, r)
		out <- got{r.key, r.found, err}
	}()
	for deadline := time.Now().Add(testkit.Patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		now := s.running + len(s.waiting)
		s.mu.Unlock()
		if now > before {
			return out
		}
	}
	t.Fatalf("%s is neither done nor does it wait", key)
	return nil
}

func TestWhatComesWhileAStatementIsUnderWayIsDoneTogether(t *testing.T) {
	t.Parallel()
	s := newSlow(1, nil)
	first := s.ask(t, t.Context(), "first")
	if keys := <-s.begun; fmt.Sprint(keys) != "[first]" {
		t.Fatalf("one waits for company: %v", keys)
	}
	ctx, cancel := context.WithCancel(t.Context())
	leaves := s.ask(t, ctx, "leaves")
	var all []<-chan got
	for i := range mostTogether + 1 {
		all = append(all, s.ask(t, t.Context(), fmt.Sprintf("k%d", i)))
	}
	missing := s.ask(t, t.Context(), "none")
	cancel()
	if g := <-leaves; !errors.Is(g.err, context.Canceled) {
		t.Errorf("who leaves: %+v", g)
	}
	s.end <- nil
	if g := <-first; g != (got{"first", true, nil}) {
		t.Errorf("the first: %+v", g)
	}
	if keys := <-s.begun; len(keys) != mostTogether || keys[0] != "k0" {
		t.Errorf("%d together, %v first; want %d", len(keys), keys[0], mostTogether)
	}
	s.end <- nil
	if keys := <-s.begun; fmt.Sprint(keys) != fmt.Sprintf("[k%d none]", mostTogether) {
		t.Errorf("the rest: %v", keys)
	}
	s.end <- nil
	for i, c := range all {
		if g := <-c; g != (got{fmt.Sprintf("k%d", i), true, nil}) {
			t.Errorf("k%d: %+v", i, g)
		}
	}
	if g := <-missing; g.found || g.err != nil {
		t.Errorf("what is not there: %+v", g)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != 0 || len(s.waiting) != 0 {
		t.Errorf("%d under way and %d waiting after all", s.running, len(s.waiting))
	}
}

func TestASharedStatementThatFailsIsToldToAllAndDoesNotStopTheNext(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{errors.New("no database"), errPanic} {
		s := newSlow(1, nil)
		first := s.ask(t, t.Context(), "first")
		<-s.begun
		ctx, cancel := context.WithCancel(t.Context())
		lead, follow := s.ask(t, ctx, "lead"), s.ask(t, t.Context(), "follow")
		s.end <- nil
		<-first
		<-s.begun
		cancel() // the others' statement does not end with the request that leads
		last := s.ask(t, t.Context(), "last")
		s.end <- failure
		for _, c := range []<-chan got{lead, follow} {
			if g := <-c; g.err == nil {
				t.Errorf("%v: %+v", failure, g)
			}
		}
		<-s.begun
		s.end <- nil
		if g := <-last; g != (got{"last", true, nil}) {
			t.Errorf("after %v: %+v", failure, g)
		}
	}
}

func TestASlowStatementIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := newSlow(2, nil)
	all := []<-chan got{s.ask(t, t.Context(), "first")}
	<-s.begun
	all = append(all, s.ask(t, t.Context(), "second"))
	if keys := <-s.begun; fmt.Sprint(keys) != "[second]" {
		t.Errorf("beside a slow statement: %v", keys)
	}
	all = append(all, s.ask(t, t.Context(), "third"), s.ask(t, t.Context(), "fourth"))
	time.Sleep(4 * overdue)
	select {
	case keys := <-s.begun:
		t.Errorf("a third statement, for %v", keys)
	default:
	}
	s.end <- nil
	if keys := <-s.begun; fmt.Sprint(keys) != "[third fourth]" {
		t.Errorf("then: %v", keys)
	}
	s.end <- nil
	s.end <- nil
	for _, c := range all {
		if g := <-c; g.err != nil || !g.found {
			t.Errorf("%+v", g)
		}
	}
}

func TestWhatMustStayApartIsNotDoneTogether(t *testing.T) {
	t.Parallel()
	s := newSlow(2, func(r *itemRead) string { return r.ref.User })
	var all []<-chan got
	ask := func(keys ...string) {
		for _, key := range keys {
			all = append(all, s.ask(t, t.Context(), key))
		}
	}
	begun := func(want string) {
		t.Helper()
		if keys := <-s.begun; fmt.Sprint(keys) != want {
			t.Errorf("a statement for %v, want %s", keys, want)
		}
	}
	ask("a1")
	begun("[a1]")
	ask("a2", "a3") // there is room for another statement, but not for one about a
	s.end <- nil
	begun("[a2]")
	s.mu.Lock()
	s.most = 1
	s.mu.Unlock()
	ask("b1", "b2", "c1")
	s.end <- nil
	begun("[a3 b1 c1]")
	s.end <- nil
	begun("[b2]")
	s.end <- nil
	for _, c := range all {
		if g := <-c; g.err != nil || !g.found {
			t.Errorf("%+v", g)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != 0 || len(s.waiting) != 0 || len(s.busy) != 0 {
		t.Errorf("after all %d are under way, %d wait, %v are busy", s.running, len(s.waiting), s.busy)
	}
}

// TestConcurrentReadsAndWritesOfManyUsers: everybody reads what they wrote last, theirs and nobody
// else's, also what shares a statement.
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
	if items, statements := s.metric("vault_writes_total"), s.metric("vault_write_statements_total"); statements >= items {
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

// withMetadata is the body of a write that sets the metadata, or takes it away.
func withMetadata(value string, set bool) []byte {
	b := body(value)
	b = b[:len(b)-1]
	if set {
		return fmt.Appendf(b, `,"metadata":{"n":%d}}`, len(value))
	}
	return append(b, `,"metadata":null}`...)
}

// TestWhoSharesAStatementKeepsTheirOwnFate: of writes that are done together some are over quota,
// one waits for its account; the others do not mind.
func TestWhoSharesAStatementKeepsTheirOwnFate(t *testing.T) {
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
	if _, err := tx.Exec(t.Context(), `SELECT FROM vault_usage WHERE user_id = $1 FOR UPDATE`, stuck.UserID); err != nil {
		t.Fatal(err)
	}
	blocked := make(chan reply, 3)
	for range cap(blocked) {
		go func() {
			r, _ := s.try(stuck, "PUT", "/api/v1/vault/keys/k", body("a longer one"))
			blocked <- r
		}()
	}
	time.Sleep(5 * overdue) // the first of them is under way before all others
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
				if r, err := s.try(full, "PUT", "/api/v1/vault/keys/more", body(strings.Repeat("x", 50_000))); err != nil ||
					r.status != 413 || r.Code != "VAULT_LIMIT_EXCEEDED" {
					t.Errorf("a write over quota: %v %d %.200s", err, r.status, r.raw)
				}
			}
		})
	}
	wait.Wait()
	select {
	case r := <-blocked:
		t.Errorf("written under somebody's lock: %d %s", r.status, r.raw)
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

// TestASharedWriteLeavesItsConnectionAsItWas: its bound on waiting for locks must not become that
// of the next statement.
func TestASharedWriteLeavesItsConnectionAsItWas(t *testing.T) {
	t.Parallel()
	s := start(t)
	cfg := s.cfg.DB
	cfg.MaxConns = 1
	pool, err := db.Open(t.Context(), cfg, schema, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var batch []*itemWrite
	for range 2 {
		w := sealedWrite{Ref: sealing.Ref{User: user().UserID, Key: "k"}, value: []byte("sealed"), version: sealing.NewVersion(),
			valueBytes: 6}
		batch = append(batch, &itemWrite{sealedWrite: w, max: limits{bytes: 100, items: 1}})
	}
	for _, round := range []string{"done", "refused"} {
		if round == "refused" {
			batch[1].Key = "\x00" // no text of PostgreSQL
		}
		err := (&itemStore{pool}).putTogether(t.Context(), batch)
		if round == "done" && (err != nil || batch[0].alone || !batch[0].created || !batch[1].created) {
			t.Fatalf("two writes: %v, %+v, %+v", err, batch[0], batch[1])
		}
		if round == "refused" && (err != nil || !batch[0].alone || !batch[1].alone) {
			t.Errorf("one that PostgreSQL refuses: %v, alone %v and %v", err, batch[0].alone, batch[1].alone)
		}
		var timeout string
		if err := pool.QueryRow(t.Context(), `SHOW lock_timeout`).Scan(&timeout); err != nil || timeout != "0" {
			t.Errorf("%s: lock_timeout is %q afterwards, %v", round, timeout, err)
		}
	}
}
