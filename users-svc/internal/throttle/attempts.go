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
	rate        ratelimit.Rate
	maxParallel int // hashes at the same time
	now         func() time.Time

	mu          sync.Mutex
	keys        map[string]*keyAttempts // of those that somebody holds
	version     uint64                  // how often the failures of any key changed
	lastVersion [buckets]uint64         // the change that came last to the keys of a place
}

// buckets bounds what is remembered of keys that nobody holds. Two that share a place, by chance,
// are read again for each other's changes.
const buckets = 4096

func bucket(key []byte) int { return int(binary.BigEndian.Uint16(key)) % buckets }

// keyAttempts is a key whose passwords are being checked, or wait for it.
type keyAttempts struct {
	refs    int           // who checks or waits
	running int           // who checks: neither known to be right, nor counted
	state   FailureState  // now
	changed chan struct{} // closed when one who waits should look again
}

func newInFlightAttempts(rate ratelimit.Rate, maxParallel int, now func() time.Time) *inFlightAttempts {
	return &inFlightAttempts{rate: rate, maxParallel: maxParallel, now: now, keys: map[string]*keyAttempts{}}
}

// unknownFailures are the failures when a wrong password could not be counted, or nobody knows
// whether it was.
const unknownFailures = -1

// errStale says that failures of the key may have been counted since its standing was read.
var errStale = errors.New("the standing is old")

// Version is to be taken before a standing is read: it is the number of the last change.
func (a *inFlightAttempts) currentVersion() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.version
}

// start returns when a password may be checked for the key of at; the turn ends with done. 429
// RATE_LIMITED when the account is closed, errStale when at is to be read again.
func (a *inFlightAttempts) start(ctx context.Context, state FailureState) (*keyAttempts, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	attempts, err := a.join(state)
	if err != nil {
		return nil, err
	}
	for {
		if err := attempts.state.blocked(a.rate, a.now()); err != nil {
			a.leave(attempts)
			return nil, err
		}
		if attempts.running < min(a.maxParallel, max(1, a.rate.Count-attempts.state.Failures)) {
			attempts.running++
			return attempts, nil
		}
		changed := attempts.changed
		a.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		a.mu.Lock()
		if ctx.Err() != nil {
			a.leave(attempts)
			return nil, ctx.Err()
		}
	}
}

// join finds or makes the turn of a key. Who read of more failures than are known here is believed:
// they were counted by other replicas.
func (a *inFlightAttempts) join(state FailureState) (*keyAttempts, error) {
	attempts := a.keys[string(state.Key)]
	if attempts == nil {
		if a.lastVersion[bucket(state.Key)] > state.Version {
			return nil, errStale // of those who held the key meanwhile nobody is left to ask
		}
		attempts = &keyAttempts{state: state, changed: make(chan struct{})}
		a.keys[string(state.Key)] = attempts
	}
	if state.Failures > attempts.state.Failures {
		attempts.state.Failures, attempts.state.BlockedUntil = state.Failures, state.BlockedUntil
	}
	attempts.refs++
	return attempts, nil
}

func (a *inFlightAttempts) leave(attempts *keyAttempts) {
	if attempts.refs--; attempts.refs == 0 {
		delete(a.keys, string(attempts.state.Key))
	}
}

// finish ends a turn, after which the failures stand like at; nil when nothing became of it. No
// failures are those that a right password ended; of others the most count, because those who
// counted them come here in any order.
func (a *inFlightAttempts) finish(attempts *keyAttempts, state *FailureState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if state != nil {
		a.version++
		a.lastVersion[bucket(attempts.state.Key)] = a.version
		switch {
		case state.Failures == unknownFailures:
			attempts.state.Failures++
		case state.Failures == 0 || state.Failures > attempts.state.Failures:
			attempts.state.Failures, attempts.state.BlockedUntil = state.Failures, state.BlockedUntil
		}
	}
	attempts.running--
	close(attempts.changed)
	attempts.changed = make(chan struct{})
	a.leave(attempts)
}
