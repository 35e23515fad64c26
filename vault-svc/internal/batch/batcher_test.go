package batch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// maxSize is the largest batch in these tests.
const maxSize = 64

// read is an operation that reads an item of a user.
type read struct {
	user, key string
	found     bool
}

// blockingStore is a store whose statements run until the test ends them. It has every item whose
// key does not begin with "no".
type blockingStore struct {
	*Batcher[read]
	begun chan []string // receives the keys of each statement
	end   chan error    // ends a statement with this error
}

func newBlockingStore(maxRunning int, conflictKey func(*read) string) *blockingStore {
	s := &blockingStore{begun: make(chan []string, 100), end: make(chan error, 100)}
	s.Batcher = New(maxRunning, maxSize, conflictKey, func(ctx context.Context, batch []*read) error {
		var keys []string
		for _, b := range batch {
			keys = append(keys, b.key)
		}
		s.begun <- keys
		if err := <-s.end; err != nil {
			if errors.Is(err, errPanic) {
				panic(err)
			}
			return err
		}
		for _, b := range batch {
			b.found = !strings.HasPrefix(b.key, "no")
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

// ask starts a read in the background. It returns when the read runs or waits.
func (s *blockingStore) ask(t *testing.T, ctx context.Context, key string) <-chan got {
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
		r := &read{user: key[:1], key: key}
		err := s.Do(ctx, r)
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

func TestOperationsThatArriveDuringAStatementShareTheNext(t *testing.T) {
	t.Parallel()
	s := newBlockingStore(1, nil)
	first := s.ask(t, t.Context(), "first")
	if keys := <-s.begun; fmt.Sprint(keys) != "[first]" {
		t.Fatalf("a single read waits for others: %v", keys)
	}
	ctx, cancel := context.WithCancel(t.Context())
	leaves := s.ask(t, ctx, "leaves")
	var all []<-chan got
	for i := range maxSize + 1 {
		all = append(all, s.ask(t, t.Context(), fmt.Sprintf("k%d", i)))
	}
	missing := s.ask(t, t.Context(), "none")
	cancel()
	if g := <-leaves; !errors.Is(g.err, context.Canceled) {
		t.Errorf("the canceled read: %+v", g)
	}
	s.end <- nil
	if g := <-first; g != (got{"first", true, nil}) {
		t.Errorf("the first: %+v", g)
	}
	if keys := <-s.begun; len(keys) != maxSize || keys[0] != "k0" {
		t.Errorf("%d together, %v first; want %d", len(keys), keys[0], maxSize)
	}
	s.end <- nil
	if keys := <-s.begun; fmt.Sprint(keys) != fmt.Sprintf("[k%d none]", maxSize) {
		t.Errorf("the rest: %v", keys)
	}
	s.end <- nil
	for i, c := range all {
		if g := <-c; g != (got{fmt.Sprintf("k%d", i), true, nil}) {
			t.Errorf("k%d: %+v", i, g)
		}
	}
	if g := <-missing; g.found || g.err != nil {
		t.Errorf("the missing item: %+v", g)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != 0 || len(s.waiting) != 0 {
		t.Errorf("%d under way and %d waiting after all", s.running, len(s.waiting))
	}
}

func TestAFailedStatementFailsItsBatchAndNotTheNext(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{errors.New("no database"), errPanic} {
		s := newBlockingStore(1, nil)
		first := s.ask(t, t.Context(), "first")
		<-s.begun
		ctx, cancel := context.WithCancel(t.Context())
		lead, follow := s.ask(t, ctx, "lead"), s.ask(t, t.Context(), "follow")
		s.end <- nil
		<-first
		<-s.begun
		cancel() // the end of the leading request does not cancel the shared statement
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

func TestABatchStartsBesideASlowStatement(t *testing.T) {
	t.Parallel()
	s := newBlockingStore(2, nil)
	all := []<-chan got{s.ask(t, t.Context(), "first")}
	<-s.begun
	all = append(all, s.ask(t, t.Context(), "second"))
	if keys := <-s.begun; fmt.Sprint(keys) != "[second]" {
		t.Errorf("beside a slow statement: %v", keys)
	}
	all = append(all, s.ask(t, t.Context(), "third"), s.ask(t, t.Context(), "fourth"))
	time.Sleep(4 * slowStatement)
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

func TestOperationsThatConflictNeverRunTogether(t *testing.T) {
	t.Parallel()
	s := newBlockingStore(2, func(r *read) string { return r.user })
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
	ask("a2", "a3") // another statement may run, but not one for user a
	s.end <- nil
	begun("[a2]")
	s.mu.Lock()
	s.maxRunning = 1
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
	if s.running != 0 || len(s.waiting) != 0 || len(s.reserved) != 0 {
		t.Errorf("after all %d are under way, %d wait, %v are busy", s.running, len(s.waiting), s.reserved)
	}
}
