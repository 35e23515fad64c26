package session

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/limit"
	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func cache(t *testing.T) *Cache { return NewCache(client(t, testkit.Redis(t).URL())) }

func client(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	rdb, err := limit.OpenRedis(limit.RedisConfig{URL: config.Secret(url)})
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

// late is a Redis that stood still: it carries commands out some time after they were sent.
type late struct{ by time.Duration }

func (l late) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		time.Sleep(l.by)
		return next(context.WithoutCancel(ctx), cmd)
	}
}

func (l late) DialHook(next redis.DialHook) redis.DialHook { return next }

func (l late) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestAStateThatRedisTakesLateLivesNoLonger(t *testing.T) {
	t.Parallel()
	url := testkit.Redis(t).URL()
	rdb, held := client(t, url), client(t, url)
	held.AddHook(late{by: 300 * time.Millisecond})
	sent := time.Now()
	if err := NewCache(held).Put(t.Context(), "k", State{Alive: true, UserID: "u"}); err != nil {
		t.Fatal(err)
	}
	if left := rdb.PTTL(t.Context(), "k").Val(); left > stateTTL-time.Since(sent)+100*time.Millisecond || left <= 0 {
		t.Errorf("%v after it was sent the state lives for %v more, want %v in all", time.Since(sent), left, stateTTL)
	}
}
