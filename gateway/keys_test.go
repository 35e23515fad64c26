package gateway

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"math"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/limit"
	"github.com/realmgate/realmgate/pkg/session"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// keyRig is an authenticator whose published keys and clock are the test's.
type keyRig struct {
	*authenticator
	published atomic.Pointer[[]auth.SigningKey]
	fetched   int
	claims    auth.Claims
	clock     func() time.Time
}

func newKeyRig(t *testing.T) *keyRig {
	t.Helper()
	r := &keyRig{clock: time.Now, claims: auth.Claims{
		UserID: id.New(time.Now()), SessionID: id.New(time.Now()), TokenID: id.New(time.Now()), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
	}}
	keys := &keySet{log: testkit.Log(t), fetch: func(context.Context) (auth.JWKS, error) {
		r.fetched++
		var set auth.JWKS
		for _, k := range *r.published.Load() {
			set.Keys = append(set.Keys, auth.NewJWK(k.ID, k.Private.Public().(ed25519.PublicKey)))
		}
		return set, nil
	}}
	st := newStates(0, nil, testkit.Log(t), newIdentityMetrics(prometheus.NewRegistry()), func(context.Context, bool, string) (session.State, error) {
		return session.State{Alive: true, UserID: r.claims.UserID, SessionID: r.claims.SessionID, Version: 1}, nil
	})
	st.redisAfter.Store(math.MaxInt64) // there is none
	unlimited, err := newGuesses(limit.Rate{})
	if err != nil {
		t.Fatal(err)
	}
	r.authenticator = newAuthenticator(Config{Issuer: "realmgate", Audience: "realmgate"}, keys, st, unlimited, func() time.Time { return r.clock() })
	t.Cleanup(func() { st.close(); r.verified.StopAllGoroutines() })
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
	if err := r.keys.refresh(t.Context(), 0); err != nil {
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
	_, err = r.authenticate(t.Context(), credential{kind: jwtCredential, text: []byte(token)}, netip.Addr{})
	return err
}

// TestATokenOfAWithdrawnKeyIsNotRemembered, also when the key is withdrawn at the very moment at which the token is verified.
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
	if n := testutil.ToFloat64(r.states.metrics.checked); n != 1 {
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
