package identity

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// keyRig is a Service whose published keys and clock are the test's.
type keyRig struct {
	*Service
	published atomic.Pointer[[]auth.SigningKey]
	fetched   int
	// maxSeconds is how long a token may live, as users-svc says it.
	maxSeconds int64
	stale      bool // it could not ask its database
	claims     auth.Claims
	clock      func() time.Time
}

func newKeyRig(t *testing.T) *keyRig {
	t.Helper()
	r := &keyRig{clock: time.Now, claims: auth.Claims{
		UserID: id.New(time.Now()), SessionID: id.New(time.Now()), TokenID: id.New(time.Now()), IssuedAt: time.Now(),
		ExpiresAt: time.Now().Add(time.Hour),
	}}
	var err error
	r.Service, err = Open(Config{Issuer: "realmgate", Audience: "realmgate"}, Deps{
		Keys: func(context.Context) (auth.Published, error) {
			r.fetched++
			set := auth.Published{MaxSeconds: r.maxSeconds, Stale: r.stale}
			for _, k := range *r.published.Load() {
				set.Keys = append(set.Keys, auth.NewJWK(k.ID, k.Private.Public().(ed25519.PublicKey)))
			}
			return set, nil
		},
		State: func(context.Context, bool, string) (sessionstate.State, error) {
			return sessionstate.State{Alive: true, UserID: r.claims.UserID, SessionID: r.claims.SessionID, Version: 1}, nil
		},
		Log: testkit.Log(t), Metrics: prometheus.NewRegistry(), Now: func() time.Time { return r.clock() },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.states.redisRetryAt.Begin(time.Hour) // there is none
	t.Cleanup(r.Close)
	return r
}

func signingKey(t *testing.T, kid string) auth.SigningKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return auth.SigningKey{ID: kid, Private: private}
}

// publish makes keys the ones that are in use.
func (r *keyRig) publish(t *testing.T, keys ...auth.SigningKey) {
	t.Helper()
	r.published.Store(&keys)
	if err := r.jwks.refresh(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
}

// asks authenticates with a token that key has signed.
func (r *keyRig) asks(t *testing.T, key auth.SigningKey) error {
	t.Helper()
	token, err := key.Sign(r.claims, "realmgate", "realmgate")
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Authenticate(t.Context(), Credential{kind: jwtCredential, text: []byte(token)}, netip.Addr{})
	return err
}

// TestATokenOfAWithdrawnKeyIsNotRemembered, also when the key is withdrawn at the very moment at
// which the token is verified.
func TestATokenOfAWithdrawnKeyIsNotRemembered(t *testing.T) {
	t.Parallel()
	stolen, fresh, other := signingKey(t, "old"), signingKey(t, "new"), signingKey(t, "old")
	for name, next := range map[string]auth.SigningKey{"another key": fresh, "another key under the same name": other} {
		r := newKeyRig(t)
		r.publish(t, stolen)
		r.clock = func() time.Time { // verifying looks at it, after it has found the key
			r.clock = time.Now
			r.publish(t, next)
			return time.Now()
		}
		_ = r.asks(t, stolen) // let in or not: the key was good when the request came
		if err := r.asks(t, stolen); !apperr.Is(err, "INVALID_TOKEN") {
			t.Errorf("%s: after the key was withdrawn: %v, want INVALID_TOKEN", name, err)
		}
		if err := r.asks(t, next); err != nil {
			t.Errorf("%s: with the new key: %v", name, err)
		}
	}
}

func TestAKeyThatComesVerifiesNothingAgain(t *testing.T) {
	t.Parallel()
	first, second := signingKey(t, "k1"), signingKey(t, "k2")
	r := newKeyRig(t)
	for _, published := range [][]auth.SigningKey{{first}, {first}, {first, second}} {
		r.publish(t, published...)
		if err := r.asks(t, first); err != nil {
			t.Fatal(err)
		}
	}
	if n := testutil.ToFloat64(r.metrics.checked); n != 1 {
		t.Errorf("the signature was checked %v times, want once", n)
	}
}

func TestTokensOfUnknownKeysFetchTheKeysOnceASecond(t *testing.T) {
	t.Parallel()
	r := newKeyRig(t)
	r.publish(t, signingKey(t, "k1"))
	for i := range 100 {
		if err := r.asks(t, signingKey(t, fmt.Sprint("unknown ", i))); !apperr.Is(err, "INVALID_TOKEN") {
			t.Fatal(err)
		}
	}
	if r.fetched > 20 { // once, and more where the machine is slow
		t.Errorf("100 tokens fetched the keys %d times", r.fetched)
	}
}

// TestATokenThatLivesForTooLongIsRefused although a published key signed it: such a key has leaked.
func TestATokenThatLivesForTooLongIsRefused(t *testing.T) {
	t.Parallel()
	key, now := signingKey(t, "k1"), time.Now()
	for name, c := range map[string]struct {
		issued, expires time.Time
		maxSeconds      int64
		passes          bool
	}{
		"as users-svc makes them":         {now, now.Add(time.Hour), 3600, true},
		"nearly over":                     {now.Add(-59 * time.Minute), now.Add(time.Minute), 3600, true},
		"made by a clock that is ahead":   {now.Add(time.Minute), now.Add(61 * time.Minute), 3600, true},
		"for two hours":                   {now, now.Add(2 * time.Hour), 3600, false},
		"for ten years":                   {now, now.AddDate(10, 0, 0), 86400, false},
		"for an hour in ten years":        {now.AddDate(10, 0, 0), now.AddDate(10, 0, 0).Add(time.Hour), 3600, false},
		"without the time of its issue":   {time.Time{}, now.Add(time.Minute), 3600, false},
		"when the bound is not known":     {now, now.Add(48 * time.Hour), 0, true},
		"issued long ago, still not over": {now.AddDate(-10, 0, 0), now.Add(time.Hour), 3600, false},
	} {
		r := newKeyRig(t)
		r.maxSeconds = c.maxSeconds
		r.publish(t, key)
		r.claims.IssuedAt, r.claims.ExpiresAt = c.issued, c.expires
		for range 2 { // the second time it could be remembered
			if err := r.asks(t, key); (err == nil) != c.passes || err != nil && !apperr.Is(err, "INVALID_TOKEN") {
				t.Errorf("%s: got %v, passes=%v", name, err, c.passes)
			}
		}
	}
}

// TestAShorterLifeCountsForTokensThatAreRemembered, and a users-svc that tells none takes no bound
// away.
func TestAShorterLifeCountsForTokensThatAreRemembered(t *testing.T) {
	t.Parallel()
	key, r := signingKey(t, "k1"), newKeyRig(t)
	for _, step := range []struct {
		maxSeconds int64
		passes     bool
	}{{0, true}, {7200, true}, {3600, true}, {1800, false}, {0, false}, {3600, true}} {
		r.maxSeconds = step.maxSeconds
		r.publish(t, key)
		if err := r.asks(t, key); (err == nil) != step.passes {
			t.Errorf("with at most %d s a token for an hour: %v", step.maxSeconds, err)
		}
	}
}

// TestAStaleSetBringsNoRevokedKeyBack: it is that of a replica which cannot ask the database.
func TestAStaleSetBringsNoRevokedKeyBack(t *testing.T) {
	t.Parallel()
	leaked, fresh := signingKey(t, "old"), signingKey(t, "new")
	r := newKeyRig(t)
	r.stale = true
	r.publish(t, leaked) // better than none
	if err := r.asks(t, leaked); err != nil {
		t.Error(err)
	}
	r.stale = false
	r.publish(t, fresh)
	r.stale = true
	r.published.Store(&[]auth.SigningKey{leaked})
	if err := r.jwks.refresh(t.Context(), 0); err == nil {
		t.Error("a stale set was taken")
	}
	if err := r.asks(t, leaked); err == nil {
		t.Error("a token of the revoked key was taken")
	}
	if err := r.asks(t, fresh); err != nil {
		t.Error(err)
	}
}
