package sessionstate

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/redisdb"
	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func cache(t *testing.T) *Cache { return NewCache(client(t, testkit.Redis(t).URL()), keys(t, "a")) }

func keys(t *testing.T, letters ...string) *auth.InternalKeys {
	t.Helper()
	var list []string
	for _, l := range letters {
		list = append(list, strings.Repeat(l, 32))
	}
	k, err := auth.NewInternalKeys(strings.Join(list, ","), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func client(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	rdb, err := redisdb.Open(redisdb.Config{URL: config.Secret(url)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func TestAStateOlderThanTheUsersLastChangeIsNotUsed(t *testing.T) {
	t.Parallel()
	c, ctx := cache(t), t.Context()
	key := SessionKey("s1")
	if _, err := c.Get(ctx, key); !errors.Is(err, ErrMiss) {
		t.Errorf("an empty cache says %v", err)
	}
	old := State{Alive: true, UserID: "u1", SessionID: "s1", Version: 7}
	if err := c.Put(ctx, key, old); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(ctx, key); err != nil || !got.Alive || got.Version != 7 {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := c.Invalidate(ctx, Change{UserID: "u1", Version: 8}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(ctx, key); !errors.Is(err, ErrMiss) {
		t.Errorf("after the change: %+v, %v", got, err)
	}
	// A reader that had read version 7 before the change writes it back after it.
	if err := c.Put(ctx, key, old); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(ctx, key); !errors.Is(err, ErrMiss) {
		t.Errorf("a stale state written late is used: %+v, %v", got, err)
	}
	fresh := old
	fresh.Version, fresh.Banned = 8, true
	if err := c.Put(ctx, key, fresh); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(ctx, key); err != nil || !got.Banned {
		t.Errorf("the fresh state: %+v, %v", got, err)
	}
}

func TestTheLowestVersionNeverGoesBack(t *testing.T) {
	t.Parallel()
	c := cache(t)
	var wait sync.WaitGroup
	for v := range int64(20) {
		wait.Go(func() { _ = c.Invalidate(context.Background(), Change{UserID: "u", Version: v + 1}) })
	}
	wait.Wait()
	if err := c.Put(t.Context(), "k", State{Alive: true, UserID: "u", Version: 19}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(t.Context(), "k"); !errors.Is(err, ErrMiss) {
		t.Errorf("version 19 after 20 changes: %+v, %v", got, err)
	}
}

// late imitates a Redis that stalled: it executes commands some time after they were sent.
type late struct {
	by   time.Duration
	sent *time.Time // of the last command
}

func (l late) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		*l.sent = time.Now()
		time.Sleep(l.by)
		return next(context.WithoutCancel(ctx), cmd)
	}
}

func (l late) DialHook(next redis.DialHook) redis.DialHook { return next }

func (l late) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestAStateThatRedisStoresLateExpiresOnTime(t *testing.T) {
	t.Parallel()
	url := testkit.Redis(t).URL()
	rdb, held := client(t, url), client(t, url)
	var sent time.Time
	held.AddHook(late{by: 300 * time.Millisecond, sent: &sent})
	if err := NewCache(held, keys(t, "a")).Put(t.Context(), "k", State{Alive: true, UserID: "u"}); err != nil {
		t.Fatal(err)
	}
	asked := time.Now()
	if left := rdb.PTTL(t.Context(), "k").Val(); left <= 0 ||
		asked.Add(left).After(sent.Add(stateTTL).Add(time.Millisecond)) {
		t.Errorf("%v after it was sent the state lives for %v more, want %v in all", asked.Sub(sent), left, stateTTL)
	}
}

// TestAStateNeedsTheKeys checks that write access to Redis is not enough to make a valid state.
func TestAStateNeedsTheKeys(t *testing.T) {
	t.Parallel()
	rdb := client(t, testkit.Redis(t).URL())
	c, ctx := NewCache(rdb, keys(t, "a", "b")), t.Context()
	key, own := SessionKey("victim"), SessionKey("own")
	admin := State{Alive: true, UserID: "u", SessionID: "victim", Admin: true}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	plain, err := json.Marshal(admin)
	must(err)
	must(c.Put(ctx, own, State{Alive: true, UserID: "u", SessionID: "own"}))
	sealed, err := rdb.Get(ctx, own).Bytes()
	must(err)
	altered := append([]byte{}, sealed...)
	altered[len(altered)-2] ^= 1
	for name, raw := range map[string][]byte{
		"without a code": plain, "a code of zeros": append(make([]byte, 32), plain...),
		"another key's code":          keys(t, "c").Seal(key, plain),
		"the copy of another session": sealed, "nothing": {}, "half a code": sealed[:16],
	} {
		must(rdb.Set(ctx, key, raw, time.Minute).Err())
		if got, err := c.Get(ctx, key); !errors.Is(err, ErrMiss) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	must(rdb.Set(ctx, own, altered, time.Minute).Err())
	if got, err := c.Get(ctx, own); !errors.Is(err, ErrMiss) {
		t.Errorf("an altered copy: %+v, %v", got, err)
	}
	must(rdb.Set(ctx, own, sealed, time.Minute).Err())
	if _, err := c.Get(ctx, own); err != nil {
		t.Errorf("the copy itself: %v", err)
	}
	c.now = func() time.Time { return time.Now().Add(stateTTL) }
	if got, err := c.Get(ctx, own); !errors.Is(err, ErrMiss) {
		t.Errorf("a copy that was kept beyond its time: %+v, %v", got, err)
	}
}

func TestStatesAreReadWhileTheKeysChange(t *testing.T) {
	t.Parallel()
	rdb := client(t, testkit.Redis(t).URL())
	for name, c := range map[string]struct{ writer, reader *auth.InternalKeys }{
		"the reader has the new key":         {keys(t, "a"), keys(t, "a", "b")},
		"the writer seals with the new one":  {keys(t, "b", "a"), keys(t, "a", "b")},
		"the reader has dropped the old one": {keys(t, "b", "a"), keys(t, "b")},
	} {
		if err := NewCache(rdb, c.writer).Put(t.Context(), "k", State{Alive: true, UserID: "u"}); err != nil {
			t.Fatal(err)
		}
		if got, err := NewCache(rdb, c.reader).Get(t.Context(), "k"); err != nil || !got.Alive {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
