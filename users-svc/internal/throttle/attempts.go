package throttle

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/realmgate/realmgate/pkg/ratelimit"
)

// inFlightAttempts lets only as many passwords be checked at the same time for one key as may still
// be wrong, so that guesses which come at once, and wait for a hash together, are counted as if
// they came one after the other. Within a process no guess passes the limit; of several replicas
// each learns with the next failure of its own what the others have counted, so it is passed by
// fewer than the hashes that they make at once.
type inFlightAttempts struct {
	rate     ratelimit.Rate
	parallel int // hashes at the same time
	now      func() time.Time

	mu         sync.Mutex
	keys       map[string]*keyAttempts // of those that somebody holds
	changes    uint64                  // how often the failures of any key changed
	lastChange [buckets]uint64         // the change that came last to the keys of a place
}

// buckets bounds what is remembered of keys that nobody holds. Two that share a place, by chance,
// are read again for each other's changes.
const buckets = 4096

func bucket(key []byte) int { return int(binary.BigEndian.Uint16(key)) % buckets }

// keyAttempts is a key whose passwords are being checked, or wait for it.
type keyAttempts struct {
	holders  int           // who checks or waits
	checking int           // who checks: neither known to be right, nor counted
	at       FailureState  // now
	changed  chan struct{} // closed when one who waits should look again
}

func newInFlightAttempts(rate ratelimit.Rate, parallel int, now func() time.Time) *inFlightAttempts {
	return &inFlightAttempts{rate: rate, parallel: parallel, now: now, keys: map[string]*keyAttempts{}}
}

// unknownFailures are the failures when a wrong password could not be counted, or nobody knows
// whether it was.
const unknownFailures = -1

// errStale says that failures of the key may have been counted since its standing was read.
var errStale = errors.New("the standing is old")

// Version is to be taken before a standing is read: it is the number of the last change.
func (t *inFlightAttempts) Version() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changes
}

// start returns when a password may be checked for the key of at; the turn ends with done. 429
// RATE_LIMITED when the account is closed, errStale when at is to be read again.
func (t *inFlightAttempts) start(ctx context.Context, at FailureState) (*keyAttempts, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k, err := t.join(at)
	if err != nil {
		return nil, err
	}
	for {
		if err := k.at.Blocked(t.rate, t.now()); err != nil {
			t.leave(k)
			return nil, err
		}
		if k.checking < min(t.parallel, max(1, t.rate.Count-k.at.Failures)) {
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

// join finds or makes the turn of a key. Who read of more failures than are known here is believed:
// they were counted by other replicas.
func (t *inFlightAttempts) join(at FailureState) (*keyAttempts, error) {
	k := t.keys[string(at.Key)]
	if k == nil {
		if t.lastChange[bucket(at.Key)] > at.Version {
			return nil, errStale // of those who held the key meanwhile nobody is left to ask
		}
		k = &keyAttempts{at: at, changed: make(chan struct{})}
		t.keys[string(at.Key)] = k
	}
	if at.Failures > k.at.Failures {
		k.at.Failures, k.at.BlockedUntil = at.Failures, at.BlockedUntil
	}
	k.holders++
	return k, nil
}

func (t *inFlightAttempts) leave(k *keyAttempts) {
	if k.holders--; k.holders == 0 {
		delete(t.keys, string(k.at.Key))
	}
}

// finish ends a turn, after which the failures stand like at; nil when nothing became of it. No
// failures are those that a right password ended; of others the most count, because those who
// counted them come here in any order.
func (t *inFlightAttempts) finish(k *keyAttempts, at *FailureState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at != nil {
		t.changes++
		t.lastChange[bucket(k.at.Key)] = t.changes
		switch {
		case at.Failures == unknownFailures:
			k.at.Failures++
		case at.Failures == 0 || at.Failures > k.at.Failures:
			k.at.Failures, k.at.BlockedUntil = at.Failures, at.BlockedUntil
		}
	}
	k.checking--
	close(k.changed)
	k.changed = make(chan struct{})
	t.leave(k)
}
