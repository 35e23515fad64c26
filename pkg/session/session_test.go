package session

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/limit"
	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func cache(t *testing.T) *Cache {
	t.Helper()
	rdb, err := limit.OpenRedis(limit.RedisConfig{URL: config.Secret(testkit.Redis(t).URL())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	return NewCache(rdb)
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
