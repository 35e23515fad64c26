package identity

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/realmgate/realmgate/pkg/monotonic"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// states finds the state of a session or an auth token: in memory for at most ttl, else in Redis,
// else at users-svc.
//
// A change is announced over NATS with the user's new version, and older states are not used any
// more. The gateway through which the change was made learns it from the answer, before the client
// does. After a time without NATS all states are dropped, because announcements may have been
// missed; ttl bounds the time until then.
type states struct {
	ttl     time.Duration
	memory  *otter.Cache[string, *Principal]
	shared  *sessionstate.Cache
	fetch   func(ctx context.Context, token bool, id string) (sessionstate.State, error)
	log     *slog.Logger
	metrics *metrics

	minVersion   *otter.Cache[string, int64] // by user: the lowest version that may be used
	epoch        atomic.Int64                // counts announcements
	generation   atomic.Int64                // counts gaps in the announcements
	loads        singleflight.Group
	redisRetryAt monotonic.Pause // after a failure of Redis
	onChange     func(userID string)
}

// maxStates bounds the states and versions in memory. A version must be remembered for longer than
// Redis keeps a state.
const (
	maxStates     = 100_000
	versionMemory = time.Minute
	redisPause    = 500 * time.Millisecond
	stateTimeout  = 5 * time.Second
	maxAttempts   = 3 // after the first
)

func newStates(ttl time.Duration, shared *sessionstate.Cache, log *slog.Logger, m *metrics,
	fetch func(context.Context, bool, string) (sessionstate.State, error)) *states {
	s := &states{ttl: ttl, shared: shared, fetch: fetch, log: log, metrics: m}
	if ttl > 0 {
		s.memory = otter.Must(&otter.Options[string, *Principal]{
			MaximumSize: maxStates, ExpiryCalculator: otter.ExpiryWriting[string, *Principal](ttl),
		})
	}
	s.minVersion = otter.Must(&otter.Options[string, int64]{
		MaximumSize: maxStates, ExpiryCalculator: otter.ExpiryWriting[string, int64](versionMemory),
	})
	return s
}

// errChanging says that every state that was read was already outdated.
var errChanging = errors.New("the state of the session keeps changing")

// cached returns the state with this key if it is in memory and may still be used, else nil.
func (s *states) cached(key string) *Principal {
	if s.memory != nil {
		if p, ok := s.memory.GetIfPresent(key); ok && s.current(p) {
			s.metrics.memory.Inc()
			return p
		}
	}
	return nil
}

// lookup returns the state of a session or auth token: key is its key in the caches, id its name at
// users-svc. The error means that the state cannot be found out now.
func (s *states) lookup(ctx context.Context, key string, token bool, id string) (*Principal, error) {
	if p := s.cached(key); p != nil {
		return p, nil
	}
	return s.load(ctx, key, token, id)
}

// load is lookup without the memory.
func (s *states) load(ctx context.Context, key string, token bool, id string) (*Principal, error) {
	for attempt := 0; ; attempt++ {
		v, err, _ := s.loads.Do(key, func() (any, error) { return s.read(ctx, key, token, id, attempt > 0) })
		if err != nil {
			return nil, err
		}
		if p := v.(*Principal); s.current(p) {
			return p, nil
		}
		if attempt == maxAttempts {
			return nil, errChanging
		}
		// A change was announced meanwhile. The next attempt does not ask Redis.
	}
}

// read asks Redis, then users-svc. It has its own timeout, because several requests wait for it; it
// belongs to the trace of the first.
func (s *states) read(ctx context.Context, key string, token bool, id string, skipRedis bool) (*Principal, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stateTimeout)
	defer cancel()
	began := time.Now()
	p := &Principal{generation: s.generation.Load(), key: key, id: id, token: token}
	p.epoch.Store(s.epoch.Load()) // before the state is read: an announcement from now on counts
	var state sessionstate.State
	var ok bool
	if !skipRedis {
		state, ok = s.fromRedis(ctx, key)
	}
	if ok && !s.outdated(state) {
		s.metrics.redis.Inc()
	} else {
		var err error
		if state, err = s.fetch(ctx, token, id); err != nil {
			s.metrics.failures.Inc()
			return nil, err
		}
		s.metrics.users.Inc()
	}
	if err := p.setState(state); err != nil {
		return nil, err
	}
	// The state is as old as the question, however long the answer took.
	if left := s.ttl - time.Since(began); s.memory != nil && left > 0 {
		s.memory.Set(key, p)
		s.memory.SetExpiresAfter(key, left)
	}
	return p, nil
}

func (s *states) fromRedis(ctx context.Context, key string) (sessionstate.State, bool) {
	if !s.redisRetryAt.Over() {
		return sessionstate.State{}, false
	}
	st, err := s.shared.Get(ctx, key)
	switch {
	case err == nil:
		return st, true
	case !errors.Is(err, sessionstate.ErrMiss):
		s.redisRetryAt.Begin(redisPause)
		s.log.Warn("session states come from users-svc: Redis", "error", err.Error())
	}
	return sessionstate.State{}, false
}

// current reports whether p may still be used.
func (s *states) current(p *Principal) bool {
	if p.generation != s.generation.Load() {
		return false
	}
	now := s.epoch.Load()
	if p.epoch.Load() == now {
		return true
	}
	if s.outdated(p.state) {
		return false
	}
	p.epoch.Store(now)
	return true
}

func (s *states) outdated(state sessionstate.State) bool {
	lowest, ok := s.minVersion.GetIfPresent(state.UserID)
	return ok && state.Version < lowest
}

// Changed takes a sealed announcement of a change. Those of other installations on the same NATS
// server cannot be opened and are ignored.
func (s *Service) Changed(data []byte) {
	if change, ok := s.states.shared.OpenChange(data); ok {
		s.states.raiseMinVersion(change)
	}
}

// ChangedUnsealed takes an announcement by a users-svc of the previous release.
func (s *Service) ChangedUnsealed(data []byte) {
	var change sessionstate.Change
	if err := json.Unmarshal(data, &change); err != nil || change.UserID == "" {
		s.states.log.Warn("announcement of a session change cannot be read")
		return
	}
	if !change.Sealed {
		s.states.raiseMinVersion(change)
	}
}

// ApplyHeader takes the changes that an answer of users-svc reports in sessionstate.ChangedHeader.
func (s *Service) ApplyHeader(value []byte) {
	if len(value) == 0 {
		return
	}
	for _, change := range sessionstate.ParseChanges(string(value)) {
		s.states.raiseMinVersion(change)
	}
}

// Gap drops all states in memory, because announcements may have been missed.
func (s *Service) Gap() { s.states.generation.Add(1) }

// raiseMinVersion outdates all states of the user that are older than the change.
func (s *states) raiseMinVersion(change sessionstate.Change) {
	s.minVersion.Compute(change.UserID, func(old int64, _ bool) (int64, otter.ComputeOp) {
		return max(old, change.Version), otter.WriteOp
	})
	s.epoch.Add(1)
	s.onChange(change.UserID)
}

// close ends the goroutines of the caches.
func (s *states) close() {
	if s.memory != nil {
		s.memory.StopAllGoroutines()
	}
	s.minVersion.StopAllGoroutines()
}
