// Package watch provides the changes of users' keys as they happen, to any number of watchers of a
// process. A change is announced within the process and over NATS; what an announcement misses is
// found in the database, which all watchers read from. Start reading at Hub and Follower.
package watch

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/id"
)

// Subject is where replicas announce that users' keys changed. An announcement is a list of user
// ids without separators, which says nothing but that there is something to read.
const Subject = "realmgate.vault.changed"

// PollEvery is how often the revisions of all users with watchers are read, with one query, so that
// a lost announcement delays a change by no more.
const PollEvery = 2 * time.Second

const (
	readTimeout     = 5 * time.Second
	gatherTime      = 2 * time.Millisecond // in which changes are announced together
	shareTime       = time.Millisecond     // in which watchers of a user join a query
	maxAnnounced    = 1000                 // user ids of one announcement
	maxPending      = 100_000              // user ids that wait for NATS; the database has the rest
	maxRead         = 500                  // changes of one query
	maxPolled       = 1000                 // users of one query
	announceLogging = 30 * time.Second
)

// Hub tells watchers when they have something to read.
type Hub struct {
	store    store
	announce func(data []byte) error
	log      *slog.Logger
	reads    singleflight.Group
	wake     chan struct{}
	failures rate.Sometimes

	mu      sync.Mutex
	users   map[string]*user // with watchers
	pending map[string]struct{}
}

// user is a user with watchers.
type user struct {
	watchers int
	changed  chan struct{} // closed at the next change
	known    int64         // the revision that the watchers were told about
}

// NewHub returns a hub that reads from pool. announce sends an announcement to the other replicas;
// it may fail. Run must run.
func NewHub(pool *db.Pool, announce func(data []byte) error, log *slog.Logger) *Hub {
	return &Hub{store: store{pool}, announce: announce, log: log, wake: make(chan struct{}, 1),
		failures: rate.Sometimes{Interval: announceLogging}, users: map[string]*user{}, pending: map[string]struct{}{}}
}

// Changed announces committed changes of the user's keys. It does not wait.
func (h *Hub) Changed(userID string) {
	h.mu.Lock()
	if u := h.users[userID]; u != nil {
		u.tell()
	}
	if len(h.pending) < maxPending {
		h.pending[userID] = struct{}{}
	}
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (u *user) tell() {
	close(u.changed)
	u.changed = make(chan struct{})
}

// Announced takes an announcement of another replica.
func (h *Hub) Announced(data []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ids := string(data); len(ids) >= id.Len; ids = ids[id.Len:] {
		if u := h.users[ids[:id.Len]]; u != nil {
			u.tell()
		}
	}
}

// Gap makes all watchers read, because announcements may have been missed.
func (h *Hub) Gap() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, u := range h.users {
		u.tell()
	}
}

// RunAnnouncements sends announcements until ctx ends.
func (h *Hub) RunAnnouncements(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.wake:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(gatherTime):
		}
		for data := h.gather(); data != nil; data = h.gather() {
			if err := h.announce(data); err != nil && ctx.Err() == nil {
				h.failures.Do(func() {
					h.log.Warn("changes are not announced; watchers read them a moment later", "error", err.Error())
				})
			}
		}
	}
}

// gather takes the next announcement, nil when there is none.
func (h *Hub) gather() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	var data []byte
	for userID := range h.pending {
		if data = append(data, userID...); len(data) >= maxAnnounced*id.Len {
			break
		}
	}
	for ids := string(data); len(ids) >= id.Len; ids = ids[id.Len:] {
		delete(h.pending, ids[:id.Len])
	}
	return data
}

// Poll compares the revisions in the database with those that watchers were told about.
func (h *Hub) Poll(ctx context.Context) error {
	h.mu.Lock()
	all := make([]string, 0, len(h.users))
	for userID := range h.users {
		all = append(all, userID)
	}
	h.mu.Unlock()
	for len(all) > 0 {
		n := min(len(all), maxPolled)
		if err := h.poll(ctx, all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

func (h *Hub) poll(ctx context.Context, userIDs []string) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	revisions, err := h.store.revisions(ctx, userIDs)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for userID, revision := range revisions {
		if u := h.users[userID]; u != nil && revision > u.known {
			u.known = revision
			u.tell()
		}
	}
	return nil
}

// Follower is a watcher of one user's changes.
type Follower struct {
	hub    *Hub
	userID string
}

// Follow begins to watch the user. Close must be called.
func (h *Hub) Follow(userID string) *Follower {
	userID = strings.Clone(userID)
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.users[userID]
	if u == nil {
		u = &user{changed: make(chan struct{})}
		h.users[userID] = u
	}
	u.watchers++
	return &Follower{h, userID}
}

// Close ends the watching.
func (f *Follower) Close() {
	f.hub.mu.Lock()
	defer f.hub.mu.Unlock()
	u := f.hub.users[f.userID]
	if u.watchers--; u.watchers == 0 {
		delete(f.hub.users, f.userID)
	}
}

// Changed returns a channel that is closed at the next change. Called before Read, it misses none.
func (f *Follower) Changed() <-chan struct{} {
	f.hub.mu.Lock()
	defer f.hub.mu.Unlock()
	return f.hub.users[f.userID].changed
}

// Read returns the changes after a revision, oldest first; more says that there are others.
// Watchers that read at the same time share the query, and must not alter its result.
func (f *Follower) Read(ctx context.Context, after int64) (changes []Change, more bool, err error) {
	key := f.userID + strconv.FormatInt(after, 10)
	result := f.hub.reads.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		defer cancel()
		time.Sleep(shareTime)
		f.hub.reads.Forget(key) // a later reader must see what was committed before it asked
		return f.hub.store.after(ctx, f.userID, after, maxRead)
	})
	select {
	case <-ctx.Done():
		return nil, false, ctx.Err()
	case r := <-result:
		if r.Err != nil {
			return nil, false, r.Err
		}
		changes = r.Val.([]Change)
		return changes, len(changes) == maxRead, nil
	}
}

// Position is where a stream begins.
type Position struct {
	Revision int64
	Current  int64 // the user's revision now
	Reset    bool  // the changes after the asked position are not all there
}

// Position returns where a stream begins that resumes after last, the text of a revision; "" begins
// now. A position that is malformed, unknown or older than the changes that are kept is replaced by
// the current one.
func (f *Follower) Position(ctx context.Context, last string) (Position, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	after, err := strconv.ParseInt(last, 10, 64)
	valid := err == nil && after >= 0 && strconv.FormatInt(after, 10) == last
	current, kept, err := f.hub.store.position(ctx, f.userID, after)
	if err != nil {
		return Position{}, err
	}
	switch {
	case last == "":
		return Position{Revision: current, Current: current}, nil
	case !valid || after > current || after < current && !kept:
		return Position{Revision: current, Current: current, Reset: true}, nil
	}
	return Position{Revision: after, Current: current}, nil
}
