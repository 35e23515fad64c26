package users

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/realmgate/realmgate/pkg/ratelimit"
)

// turns lets only as many passwords be checked at the same time for one key as may still be wrong,
// so that guesses which come at once, and wait for a hash together, are counted as if they came one
// after the other. Within a process no guess passes the limit; of several replicas each learns with
// the next failure of its own what the others have counted, so it is passed by fewer than the
// hashes that they make at once.
type turns struct {
	rate     ratelimit.Rate
	parallel int // hashes at the same time
	now      func() time.Time

	mu      sync.Mutex
	keys    map[string]*turn // of those that somebody holds
	changes uint64           // how often the failures of any key changed
	last    [places]uint64   // the change that came last to the keys of a place
}

// places bounds what is remembered of keys that nobody holds. Two that share a place, by chance,
// are read again for each other's changes.
const places = 4096

func place(key []byte) int { return int(binary.BigEndian.Uint16(key)) % places }

// turn is a key whose passwords are being checked, or wait for it.
type turn struct {
	holders  int           // who checks or waits
	checking int           // who checks: neither known to be right, nor counted
	at       standing      // now
	changed  chan struct{} // closed when one who waits should look again
}

func newTurns(rate ratelimit.Rate, parallel int, now func() time.Time) *turns {
	return &turns{rate: rate, parallel: parallel, now: now, keys: map[string]*turn{}}
}

// uncounted are the failures when a wrong password could not be counted, or nobody knows whether it
// was.
const uncounted = -1

// errOld says that failures of the key may have been counted since its standing was read.
var errOld = errors.New("the standing is old")

// moment is to be taken before a standing is read: it is the number of the last change.
func (t *turns) moment() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changes
}

// wait returns when a password may be checked for the key of at; the turn ends with done. 429
// RATE_LIMITED when the account is closed, errOld when at is to be read again.
func (t *turns) wait(ctx context.Context, at standing) (*turn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k, err := t.hold(at)
	if err != nil {
		return nil, err
	}
	for {
		if err := k.at.refusal(t.rate, t.now()); err != nil {
			t.leave(k)
			return nil, err
		}
		if k.checking < min(t.parallel, max(1, t.rate.Count-k.at.failures)) {
			k.checking++
			return k, nil
		}
		changed := k.changed
		t.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		t.mu.Lock()
		if ctx.Err() != nil {
			t.leave(k)
			return nil, ctx.Err()
		}
	}
}

// hold finds or makes the turn of a key. Who read of more failures than are known here is believed:
// they were counted by other replicas.
func (t *turns) hold(at standing) (*turn, error) {
	k := t.keys[string(at.key)]
	if k == nil {
		if t.last[place(at.key)] > at.moment {
			return nil, errOld // of those who held the key meanwhile nobody is left to ask
		}
		k = &turn{at: at, changed: make(chan struct{})}
		t.keys[string(at.key)] = k
	}
	if at.failures > k.at.failures {
		k.at.failures, k.at.until = at.failures, at.until
	}
	k.holders++
	return k, nil
}

func (t *turns) leave(k *turn) {
	if k.holders--; k.holders == 0 {
		delete(t.keys, string(k.at.key))
	}
}

// done ends a turn, after which the failures stand like at; nil when nothing became of it. No
// failures are those that a right password ended; of others the most count, because those who
// counted them come here in any order.
func (t *turns) done(k *turn, at *standing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at != nil {
		t.changes++
		t.last[place(k.at.key)] = t.changes
		switch {
		case at.failures == uncounted:
			k.at.failures++
		case at.failures == 0 || at.failures > k.at.failures:
			k.at.failures, k.at.until = at.failures, at.until
		}
	}
	k.checking--
	close(k.changed)
	k.changed = make(chan struct{})
	t.leave(k)
}
