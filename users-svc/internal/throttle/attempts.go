package throttle

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/realmgate/realmgate/pkg/ratelimit"
)

// inFlightAttempts limits the passwords of one key that are checked at the same time to the
// failures that the rate still allows. So concurrent guesses, which wait for a hash together, are
// counted as if they came one after the other, and a single process never exceeds the rate. Several
// replicas exceed it by fewer guesses than they hash at once, because each learns the failures that
// others counted with its own next failure.
type inFlightAttempts struct {
	rate        ratelimit.Rate
	maxParallel int // hashes at the same time in this process
	now         func() time.Time

	mu          sync.Mutex
	keys        map[string]*keyAttempts // with attempts that run or wait
	version     uint64                  // the number of changes to the failures of any key
	lastVersion [buckets]uint64         // the last change to a key of the bucket
}

// buckets is the number of buckets of keys for which the last change is remembered. A change of one
// key makes the states of all keys in its bucket stale.
const buckets = 4096

// bucket returns the bucket of a key. Keys are digests, so their first bytes are evenly
// distributed.
func bucket(key []byte) int { return int(binary.BigEndian.Uint16(key)) % buckets }

// keyAttempts counts the attempts of one key that run or wait.
type keyAttempts struct {
	refs    int           // attempts that run or wait
	running int           // attempts with a running check, the result of which is not counted yet
	state   FailureState  // the latest known
	changed chan struct{} // closed when waiting attempts must look again
}

func newInFlightAttempts(rate ratelimit.Rate, maxParallel int, now func() time.Time) *inFlightAttempts {
	return &inFlightAttempts{rate: rate, maxParallel: maxParallel, now: now, keys: map[string]*keyAttempts{}}
}

// unknownFailures is the value of FailureState.Failures after a wrong password that was not
// counted, or perhaps not.
const unknownFailures = -1

// errStale reports that failures of the key may have been counted since its state was read.
var errStale = errors.New("the failure state is stale")

// currentVersion returns the number of the last change. See Throttle.Version.
func (a *inFlightAttempts) currentVersion() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.version
}

// start waits until a password may be checked for the key of state. End the attempt with finish.
// The error is 429 RATE_LIMITED when the key is locked out, errStale when state must be read again,
// or the error of ctx.
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

// join adds an attempt to those of its key. If state has more failures than are known here, other
// replicas have counted them and state replaces the known state.
func (a *inFlightAttempts) join(state FailureState) (*keyAttempts, error) {
	attempts := a.keys[string(state.Key)]
	if attempts == nil {
		if a.lastVersion[bucket(state.Key)] > state.Version {
			return nil, errStale // the attempts that counted the changes have ended, and their state is gone
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

// leave removes an attempt from those of its key.
func (a *inFlightAttempts) leave(attempts *keyAttempts) {
	if attempts.refs--; attempts.refs == 0 {
		delete(a.keys, string(attempts.state.Key))
	}
}

// finish ends an attempt. state has the failures after it, nil when no password was checked. A
// state without failures comes from a right password and replaces the known state. Other states
// replace it only with more failures, because attempts finish in any order.
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
