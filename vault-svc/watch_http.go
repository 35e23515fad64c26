package vault

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/vault-svc/internal/keyrange"
	"github.com/realmgate/realmgate/vault-svc/internal/watch"
)

// watchRetry is the pause after a failed read of changes, during which the stream stays open.
const watchRetry = time.Second

// change is the data of an event of a watch. It never has a value.
type change struct {
	Key      string   `json:"key"`
	RealmID  string   `json:"realm_id"`
	Version  int64    `json:"version"`
	Revision int64    `json:"revision"`
	At       api.Time `json:"at"`
}

// watch streams the changes of the keys of a realm that the caller may read.
func (h *handler) watch(c *fiber.Ctx) error {
	s, err := h.scope(c)
	if err != nil {
		return err
	}
	w := watcher{realm: s.realm, keys: keyrange.Of(s.keys, strings.Clone(c.Query("prefix")))}
	if c.Method() == fiber.MethodHead {
		return httpx.Events(c, nil)
	}
	follower := h.hub.Follow(s.user)
	last, _ := httpx.LastEventID(c)
	w.position, err = follower.Position(c.UserContext(), last)
	if err != nil {
		follower.Close()
		return err
	}
	err = httpx.Events(c, func(ctx context.Context, to *httpx.EventWriter) error { return w.run(ctx, follower, to) })
	httpx.OnStreamEnd(c, func(time.Duration, httpx.EndReason) { follower.Close() })
	return err
}

// watcher is the part of a user's changes that one stream sends.
type watcher struct {
	realm    string
	keys     keyrange.Ranges
	position watch.Position
}

func revisionID(revision int64) string { return strconv.FormatInt(revision, 10) }

// run sends the changes after the position until ctx ends.
func (w *watcher) run(ctx context.Context, f *watch.Follower, to *httpx.EventWriter) error {
	at := &w.position.Revision
	if w.position.Reset {
		if err := to.Write(httpx.EventReset, revisionID(*at), struct{}{}); err != nil {
			return err
		}
	}
	if err := to.Sync(revisionID(*at)); err != nil {
		return err
	}
	tick := httpx.NewSyncTimer()
	defer tick.Stop()
	for {
		changed := f.Changed()
		changes, more, err := f.Read(ctx, *at)
		if err := w.send(to, changes); err != nil {
			return err
		}
		var retry <-chan time.Time
		switch {
		case err != nil:
			retry = time.After(watchRetry)
		case more && ctx.Err() == nil:
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-retry:
		case <-tick.C:
			if err := to.Sync(revisionID(*at)); err != nil {
				return err
			}
			tick.Next()
		}
	}
}

// send sends those of the changes that the watcher may see, and moves its position behind all.
func (w *watcher) send(to *httpx.EventWriter, changes []watch.Change) error {
	for _, one := range changes {
		w.position.Revision = one.Revision
		if one.Realm != w.realm || !w.keys.Contain(one.Key) {
			continue
		}
		data := change{one.Key, one.Realm, one.Version, one.Revision, api.Time(one.At)}
		if err := to.Write(one.Event, revisionID(one.Revision), data); err != nil {
			return err
		}
	}
	return to.Flush()
}
