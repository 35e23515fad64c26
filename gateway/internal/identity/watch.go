package identity

import (
	"context"
	"errors"
	"sync"
	"time"
)

// How often the states of open streams are read again. Announcements of changes end a stream at
// once; reading again is for changes whose announcement was lost. Up to watchRate·watchEvery
// streams are within the second that the contract gives a revocation; with more of them, the round
// takes longer, so that open streams cost a bounded number of look-ups.
const (
	watchEvery = 700 * time.Millisecond
	watchTick  = 50 * time.Millisecond
	watchRate  = 1500 // look-ups a second
)

// maxWatchReads bounds the look-ups at the same time.
const maxWatchReads = 32

// maxUnknown is how long a stream goes on while its state cannot be read.
const maxUnknown = 10 * time.Second

// ErrUnknown says that the state of a credential could not be read for maxUnknown.
var ErrUnknown = errors.New("the state of the credential has not been known for too long")

// Watch is the credential of an open stream.
type Watch struct {
	check  func(*Principal, error)
	before *Principal
	key    *watchedKey
}

// watchedKey is a session or an auth token with open streams.
type watchedKey struct {
	key, id, userID string
	token           bool
	watches         map[*Watch]struct{}
	reading         bool
	again           bool      // a change was announced during the reading
	readAt          time.Time // the last time when the state was known
	place           int       // in watcher.ring
}

// watcher reads the states of the credentials of open streams again and again.
type watcher struct {
	states *states
	now    func() time.Time
	reads  chan struct{} // bounds the look-ups

	mu     sync.Mutex
	byKey  map[string]*watchedKey
	byUser map[string]map[*watchedKey]struct{}
	ring   []*watchedKey
	next   int // in ring
	wait   sync.WaitGroup
}

func newWatcher(s *states, now func() time.Time) *watcher {
	return &watcher{states: s, now: now, reads: make(chan struct{}, maxWatchReads), byKey: map[string]*watchedKey{},
		byUser: map[string]map[*watchedKey]struct{}{}}
}

// Watch calls check with every newer state of the credential of p until stop is called: with nil
// when the credential is not valid any more, and with ErrUnknown when its state has not been known
// for maxUnknown. A JWT that expires stays valid here, because its session is asked. check must not
// block.
func (s *Service) Watch(p *Principal, check func(*Principal, error)) (stop func()) {
	w := s.watcher
	watch := &Watch{check: check, before: p}
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.byKey[p.key]
	if k == nil {
		k = &watchedKey{key: p.key, id: p.id, token: p.token, userID: p.state.UserID, watches: map[*Watch]struct{}{},
			readAt: time.Now(), place: len(w.ring)}
		w.byKey[k.key] = k
		w.ring = append(w.ring, k)
		if w.byUser[k.userID] == nil {
			w.byUser[k.userID] = map[*watchedKey]struct{}{}
		}
		w.byUser[k.userID][k] = struct{}{}
	}
	k.watches[watch], watch.key = struct{}{}, k
	if !s.states.current(p) { // changed since the request was authenticated
		w.read(k)
	}
	return func() { w.remove(watch) }
}

func (w *watcher) remove(watch *Watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := watch.key
	delete(k.watches, watch)
	if len(k.watches) > 0 || w.byKey[k.key] != k {
		return
	}
	delete(w.byKey, k.key)
	if delete(w.byUser[k.userID], k); len(w.byUser[k.userID]) == 0 {
		delete(w.byUser, k.userID)
	}
	last := len(w.ring) - 1
	w.ring[k.place] = w.ring[last]
	w.ring[k.place].place = k.place
	w.ring[last] = nil
	w.ring = w.ring[:last]
}

// changed reads the states of a user whose change was announced.
func (w *watcher) changed(userID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k := range w.byUser[userID] {
		w.read(k)
	}
}

// run reads a part of the states at every tick, so that the look-ups are spread over time.
func (w *watcher) run(ctx context.Context) error {
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	defer w.wait.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			w.readNext()
		}
	}
}

func (w *watcher) readNext() {
	w.mu.Lock()
	defer w.mu.Unlock()
	const ticks = int(watchEvery / watchTick)
	n := min((len(w.ring)+ticks-1)/ticks, int(watchRate*watchTick/time.Second))
	for range n {
		if w.next >= len(w.ring) {
			w.next = 0
		}
		w.read(w.ring[w.next])
		w.next++
	}
}

// read reads the state in the background. The caller holds mu.
func (w *watcher) read(k *watchedKey) {
	if k.reading {
		k.again = true
		return
	}
	k.reading = true
	w.wait.Go(func() {
		for again := true; again; {
			w.reads <- struct{}{}
			p, err := w.states.load(context.Background(), k.key, k.token, k.id)
			<-w.reads
			again = w.tell(k, p, err)
		}
	})
}

// tell passes the result of a reading on, and reports whether the state must be read once more.
func (w *watcher) tell(k *watchedKey, p *Principal, err error) (again bool) {
	w.mu.Lock()
	if err == nil {
		k.readAt = time.Now()
	} else if time.Since(k.readAt) >= maxUnknown {
		err = ErrUnknown
	} else {
		p, err = nil, nil
	}
	known := p != nil || err != nil
	var watches []*Watch
	for watch := range k.watches {
		watches = append(watches, watch)
	}
	again = k.again && known // a failed reading is repeated in the next round
	k.reading, k.again = again, false
	w.mu.Unlock()
	for _, watch := range watches {
		switch {
		case !known && w.expired(watch.before), p != nil && !w.valid(watch.before, p):
			watch.check(nil, nil)
		case known:
			watch.check(p, err)
		}
	}
	return again
}

// valid reports whether p is still the credential that it was before.
func (w *watcher) valid(before, p *Principal) bool {
	old, state := &before.state, &p.state
	return state.Alive && state.UserID == old.UserID && (state.Token == nil) == (old.Token == nil) && !w.expired(p)
}

// expired reports whether an auth token has reached its own end.
func (w *watcher) expired(p *Principal) bool {
	return p.state.Token != nil && !p.state.ExpiresAt.IsZero() && !w.now().Before(p.state.ExpiresAt)
}

// RunWatches reads the states of open streams until ctx ends.
func (s *Service) RunWatches(ctx context.Context) error { return s.watcher.run(ctx) }
