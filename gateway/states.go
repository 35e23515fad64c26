package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/valyala/fasthttp"
	"golang.org/x/sync/singleflight"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/monotonic"
	"github.com/realmgate/realmgate/pkg/netaddr"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// principal is a session state as this gateway holds it, and what was derived from it. The state
// never changes; a newer one is a new principal.
type principal struct {
	state   sessionstate.State
	allowed []netip.Prefix // of an auth token's allow-list; empty: any address
	// generation and epoch say which announcements the state has been held against.
	generation int64
	epoch      atomic.Int64
	signed     [toActivity + 1]atomic.Pointer[signedIdentity]
	addr       atomic.Pointer[addrText]
	limitKey   string // what the user's requests are counted by
}

// usableFrom reports whether the credential may be used from the address.
func (p *principal) usableFrom(addr netip.Addr) bool {
	return p.state.Token == nil || len(p.state.Token.IPWhitelist) == 0 || netaddr.Contains(p.allowed, addr)
}

// addrText is an address and how it is written.
type addrText struct {
	addr netip.Addr
	text string
}

// addrText writes a, which is most often the address that the caller had a moment ago.
func (p *principal) addrText(a netip.Addr) string {
	if last := p.addr.Load(); last != nil && last.addr == a {
		return last.text
	}
	t := &addrText{addr: a, text: a.String()}
	p.addr.Store(t)
	return t.text
}

// signedIdentity is an internal identity that may be sent again until its time.
type signedIdentity struct {
	header, realm string
	addr          netip.Addr
	until         time.Time
}

// identity is what the services are told about the caller.
func (p *principal) identity(realm, addr string) auth.Identity {
	s := &p.state
	i := auth.Identity{
		Kind: auth.Session, UserID: s.UserID, SessionID: s.SessionID, Admin: s.Admin, Banned: s.Banned, Realm: realm,
		VaultQuota: s.VaultQuota, ClientAddr: addr,
	}
	if s.Token != nil {
		i.Kind, i.SessionID, i.Admin, i.TokenID, i.Grant = auth.Token, "", false, s.Token.ID, &s.Token.Grant
	}
	return i
}

// states answers what is known about a session or an auth token: from memory for at most ttl, else
// from Redis, else from users-svc.
//
// A change is announced over NATS with the user's new version; an older state is then not used any
// more. The gateway through which it was made has it from the answer, before the client has.
// Announcements that were missed while NATS was away are made up for by dropping everything, and in
// any case by ttl.
type states struct {
	ttl    time.Duration
	memory *otter.Cache[string, *principal]
	shared *sessionstate.Cache
	// ask reads the state from users-svc; token says whether id is the hash of an auth token or a
	// session id.
	ask     func(ctx context.Context, token bool, id string) (sessionstate.State, error)
	log     *slog.Logger
	metrics *identityMetrics

	lowest     *otter.Cache[string, int64] // user → lowest version that may be used
	epoch      atomic.Int64                // counts announcements
	generation atomic.Int64                // counts gaps
	flight     singleflight.Group
	redisPause monotonic.Pause // after a failure of Redis
}

// How many states and versions a gateway remembers. A version must be remembered for longer than
// Redis keeps a state.
const (
	maxStates     = 100_000
	versionMemory = time.Minute
	redisPause    = 500 * time.Millisecond
	stateTimeout  = 5 * time.Second
)

func newStates(ttl time.Duration, shared *sessionstate.Cache, log *slog.Logger, m *identityMetrics,
	ask func(context.Context, bool, string) (sessionstate.State, error)) *states {
	s := &states{ttl: ttl, shared: shared, ask: ask, log: log, metrics: m}
	if ttl > 0 {
		s.memory = otter.Must(&otter.Options[string, *principal]{
			MaximumSize: maxStates, ExpiryCalculator: otter.ExpiryWriting[string, *principal](ttl),
		})
	}
	s.lowest = otter.Must(&otter.Options[string, int64]{
		MaximumSize: maxStates, ExpiryCalculator: otter.ExpiryWriting[string, int64](versionMemory),
	})
	return s
}

// errChanging says that every state that was read was already out of date.
var errChanging = errors.New("the state of the session keeps changing")

// remembered returns the state with this key that is in memory and may still be used, nil for none.
func (s *states) remembered(key string) *principal {
	if s.memory != nil {
		if p, ok := s.memory.GetIfPresent(key); ok && s.current(p) {
			s.metrics.memory.Inc()
			return p
		}
	}
	return nil
}

// get returns the state of the session or auth token that is called id, and key among the cached
// states; the error means that it cannot be known now.
func (s *states) get(ctx context.Context, key string, token bool, id string) (*principal, error) {
	if p := s.remembered(key); p != nil {
		return p, nil
	}
	return s.learn(ctx, key, token, id)
}

// learn is get for a state that is not remembered.
func (s *states) learn(ctx context.Context, key string, token bool, id string) (*principal, error) {
	for try := 0; ; try++ {
		v, err, _ := s.flight.Do(key, func() (any, error) { return s.read(ctx, key, token, id, try > 0) })
		if err != nil {
			return nil, err
		}
		if p := v.(*principal); s.current(p) {
			return p, nil
		}
		if try == 3 {
			return nil, errChanging
		}
		// A change was announced while it was read. The second read goes past Redis.
	}
}

// read asks Redis, then users-svc. It has a time of its own, because several requests wait for it;
// it stands in the trace of the first.
func (s *states) read(ctx context.Context, key string, token bool, id string, pastRedis bool) (*principal, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stateTimeout)
	defer cancel()
	began := time.Now()
	p := &principal{generation: s.generation.Load()}
	p.epoch.Store(s.epoch.Load()) // before the state is read: whatever is announced from now on counts
	var ok bool
	if !pastRedis {
		p.state, ok = s.fromRedis(ctx, key)
	}
	if ok && !s.outdated(p) {
		s.metrics.redis.Inc()
	} else {
		var err error
		if p.state, err = s.ask(ctx, token, id); err != nil {
			s.metrics.failures.Inc()
			return nil, err
		}
		s.metrics.users.Inc()
	}
	if t := p.state.Token; t != nil {
		allowed, err := netaddr.ParsePrefixes(t.IPWhitelist)
		if err != nil {
			return nil, err // refuse rather than let in from everywhere
		}
		p.allowed = allowed
	}
	p.limitKey = "user:" + p.state.UserID
	// The state is as old as the moment before it was asked for, however long the answer took.
	if left := s.ttl - time.Since(began); s.memory != nil && left > 0 {
		s.memory.Set(key, p)
		s.memory.SetExpiresAfter(key, left)
	}
	return p, nil
}

func (s *states) fromRedis(ctx context.Context, key string) (sessionstate.State, bool) {
	if !s.redisPause.Over() {
		return sessionstate.State{}, false
	}
	st, err := s.shared.Get(ctx, key)
	switch {
	case err == nil:
		return st, true
	case err != sessionstate.ErrMiss:
		s.redisPause.Begin(redisPause)
		s.log.Warn("session states come from users-svc: Redis", "error", err.Error())
	}
	return sessionstate.State{}, false
}

// current reports whether p may still be used.
func (s *states) current(p *principal) bool {
	if p.generation != s.generation.Load() {
		return false
	}
	now := s.epoch.Load()
	if p.epoch.Load() == now {
		return true
	}
	if s.outdated(p) {
		return false
	}
	p.epoch.Store(now)
	return true
}

func (s *states) outdated(p *principal) bool {
	low, ok := s.lowest.GetIfPresent(p.state.UserID)
	return ok && p.state.Version < low
}

// changed hears a sealed announcement; those of other installations on the same NATS server cannot
// be opened.
func (s *states) changed(data []byte) {
	if ch, ok := s.shared.OpenChange(data); ok {
		s.raise(ch)
	}
}

// changedBefore hears an announcement of a users-svc of the previous release.
func (s *states) changedBefore(data []byte) {
	var ch sessionstate.Change
	if err := json.Unmarshal(data, &ch); err != nil || ch.UserID == "" {
		s.log.Warn("announcement of a session change cannot be read")
		return
	}
	if !ch.Sealed {
		s.raise(ch)
	}
}

// told hears from a forwarded answer of users-svc what the request changed.
func (s *states) told(h *fasthttp.ResponseHeader) {
	told := h.Peek(sessionstate.ChangedHeader)
	if len(told) == 0 {
		return
	}
	for _, ch := range sessionstate.ParseChanges(string(told)) {
		s.raise(ch)
	}
}

// raise makes older states than ch's stale.
func (s *states) raise(ch sessionstate.Change) {
	s.lowest.Compute(ch.UserID, func(old int64, _ bool) (int64, otter.ComputeOp) {
		return max(old, ch.Version), otter.WriteOp
	})
	s.epoch.Add(1)
}

// gap drops everything, because announcements may have been missed.
func (s *states) gap() { s.generation.Add(1) }

// close ends the caches' own goroutines.
func (s *states) close() {
	if s.memory != nil {
		s.memory.StopAllGoroutines()
	}
	s.lowest.StopAllGoroutines()
}
