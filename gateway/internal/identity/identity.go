// Package identity provides the answer to the question who sends a request: it reads the
// credential, verifies JWTs with the public keys of users-svc, keeps session states up to date,
// limits unknown credentials, and signs the internal identity that services verify.
//
// Start reading at Service.Authenticate in authenticator.go, then at states in states.go.
package identity

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// Deps are what a Service works with.
type Deps struct {
	// Keys reads the public keys from users-svc.
	Keys func(context.Context) (auth.Published, error)
	// State reads a session state from users-svc. id is the hash of an auth token, or a session id;
	// the state of an unknown id is the zero value.
	State func(ctx context.Context, token bool, id string) (sessionstate.State, error)
	// ReportUse tells users-svc that an auth token was used.
	ReportUse func(ctx context.Context, tokenID string, use internalapi.TokenUse) error
	// Cache has session states in Redis, and opens announcements.
	Cache     *sessionstate.Cache
	Audiences []Audience // at most maxAudiences
	// CredentialRate is the number of unknown credentials that an address may send.
	CredentialRate ratelimit.Rate
	Log            *slog.Logger
	Metrics        prometheus.Registerer
	Now            func() time.Time
}

// Service authenticates requests and signs internal identities.
type Service struct {
	cfg      Config
	now      func() time.Time
	jwks     *jwksCache
	states   *states
	limiter  *credentialLimiter
	signer   *signer
	tokenUse *tokenUse
	watcher  *watcher
	metrics  *metrics
	// verifiedTokens has the claims of JWTs whose signature was verified, by the SHA-256 of the
	// JWT, until they expire.
	verifiedTokens *otter.Cache[[sha256.Size]byte, verifiedToken]
}

// Open returns a Service. RunKeys, RunTokenUse and RunWatches must run, and Close be called after
// them.
func Open(cfg Config, d Deps) (*Service, error) {
	limiter, err := newCredentialLimiter(d.CredentialRate)
	if err != nil {
		return nil, err
	}
	signer, err := newSigner(d.Audiences, d.Now)
	if err != nil {
		return nil, err
	}
	m := newMetrics(d.Metrics)
	states := newStates(cfg.SessionTTL, d.Cache, d.Log, m, d.State)
	watcher := newWatcher(states, d.Now)
	states.onChange = watcher.changed
	return &Service{
		cfg: cfg, now: d.Now, jwks: newJWKSCache(d.Log, d.Keys), limiter: limiter, signer: signer, metrics: m,
		states: states, watcher: watcher,
		tokenUse: newTokenUse(d.Log, d.ReportUse), verifiedTokens: newVerifiedTokens(d.Now),
	}, nil
}

// RunKeys fetches the public keys again and again until ctx ends.
func (s *Service) RunKeys(ctx context.Context) error { return s.jwks.run(ctx) }

// RunTokenUse reports the use of auth tokens until ctx ends.
func (s *Service) RunTokenUse(ctx context.Context) error { return s.tokenUse.run(ctx) }

// Ready returns an error while the public keys are not known.
func (s *Service) Ready(context.Context) error {
	if s.jwks.current.Load() == nil {
		return errNoKeys
	}
	return nil
}

// Close ends the goroutines of the caches.
func (s *Service) Close() {
	s.states.close()
	s.verifiedTokens.StopAllGoroutines()
	s.signer.close()
	s.tokenUse.close()
}
