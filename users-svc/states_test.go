package users_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/redisdb"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// gatewayView is the data that a gateway has: the copies in Redis and the announcements. A stream
// of JetStream stores the announcements, so that none is lost when users-svc is connected again
// before the view is. A gateway that was disconnected asks for all states anew instead.
type gatewayView struct {
	cache   *sessionstate.Cache
	changes chan sessionstate.Change
}

func newGatewayView(h *harness) *gatewayView {
	h.t.Helper()
	rdb, err := redisdb.Open(redisdb.Config{URL: config.Secret(h.redis.URL())})
	if err != nil {
		h.t.Fatal(err)
	}
	conn, err := bus.Connect(h.cfg.Bus, "test-gateway", testkit.Log(h.t))
	if err != nil {
		h.t.Fatal(err)
	}
	g := &gatewayView{cache: sessionstate.NewCache(rdb, h.internalKeys), changes: make(chan sessionstate.Change, 100)}
	announcements := bus.StreamConfig{Name: "ANNOUNCEMENTS", Subjects: []string{sessionstate.SealedSubject}}
	eventually(h.t, "announcements are stored", func() bool {
		return conn.EnsureStream(h.t.Context(), announcements) == nil
	})
	ctx, stop := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		_ = conn.Consume(ctx, bus.ConsumerConfig{
			Stream: announcements, Durable: "test-gateway", MaxBatch: 1, MaxWait: time.Second, AckWait: time.Second,
		}, g.handle)
	})
	h.t.Cleanup(func() { stop(); ended.Wait(); conn.Close(); rdb.Close() })
	return g
}

// handle passes announcements to awaitChange.
func (g *gatewayView) handle(_ context.Context, batch []bus.Message) error {
	for _, m := range batch {
		if ch, ok := g.cache.OpenChange(m.Data); ok {
			g.changes <- ch
		}
		if err := m.Ack(); err != nil {
			return err
		}
	}
	return nil
}

// awaitChange waits for the announcement of a change of the user.
func (g *gatewayView) awaitChange(t testing.TB, userID string) sessionstate.Change {
	t.Helper()
	for end := time.After(testkit.Patience); ; {
		select {
		case ch := <-g.changes:
			if ch.UserID == userID {
				return ch
			}
		case <-end:
			t.Fatal("no announcement came")
		}
	}
}

func TestEveryChangeReachesTheGateways(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	g := newGatewayView(h)
	root := h.admin()
	for name, change := range map[string]func(p testUser){
		"logout": func(p testUser) { h.do(p.identity, "POST", logoutPath, nil).mustStatus(200) },
		"session end": func(p testUser) {
			h.do(p.identity, "DELETE", ownSessions+"/"+p.identity.SessionID, nil).mustStatus(200)
		},
		"ban": func(p testUser) {
			h.do(root.identity, "PATCH", "/api/v1/users/"+p.id, `{"is_banned":true}`).mustStatus(200)
		},
		"admin flag": func(p testUser) {
			h.do(root.identity, "PATCH", "/api/v1/users/"+p.id, `{"is_admin":true}`).mustStatus(200)
		},
		"password": func(p testUser) {
			h.do(root.identity, "PATCH", "/api/v1/users/"+p.id, map[string]string{"password": "Another-horse-2"}).mustStatus(200)
		},
	} {
		p := h.signUp()
		before := h.do(system, "GET", "/internal/sessions/"+p.identity.SessionID, nil).mustStatus(200)
		if _, err := g.cache.Get(t.Context(), sessionstate.SessionKey(p.identity.SessionID)); err != nil {
			t.Errorf("%s: the state is not in Redis after it was asked for: %v", name, err)
		}
		change(p)
		if _, err := g.cache.Get(t.Context(), sessionstate.SessionKey(p.identity.SessionID)); !errors.Is(err,
			sessionstate.ErrMiss) {
			t.Errorf("%s: the old state in Redis: got %v, want a miss", name, err)
		}
		if ch := g.awaitChange(t, p.id); float64(ch.Version) <= before.field("version").(float64) {
			t.Errorf("%s: announced version %d, want above %v", name, ch.Version, before.field("version"))
		}
	}
}

func TestChangeIsAnnouncedAfterOutage(t *testing.T) {
	t.Parallel()
	h := start(t)
	g := newGatewayView(h)
	ann := h.signUp()
	h.do(system, "GET", "/internal/sessions/"+ann.identity.SessionID, nil).mustStatus(200)
	h.redis.Stop()
	h.broker.Stop()
	h.do(ann.identity, "POST", logoutPath, nil).want(200, "", "Logout successful")
	if h.alive(ann) {
		t.Error("PostgreSQL should know of the logout at once")
	}
	h.redis.Restart()
	h.broker.Restart()
	g.awaitChange(t, ann.id)
	eventually(t, "Redis has heard", func() bool {
		_, err := g.cache.Get(t.Context(), sessionstate.SessionKey(ann.identity.SessionID))
		return errors.Is(err, sessionstate.ErrMiss) &&
			strings.Contains(strings.Join(h.redis.Keys(), " "), "rg:version:"+ann.id)
	})
}

func TestLoginWorksWithoutRedisAndNATS(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.redis.Stop()
	h.broker.Stop()
	ann := h.signUp()
	h.refresh(ann.refresh).want(200, "", "")
	if !h.alive(ann) {
		t.Error("the state must come from PostgreSQL")
	}
	h.baseURL = h.startReplica() // it starts too
	h.signIn(ann.email, password)
}
