package identity

import (
	"errors"
	"net/netip"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/realmgate/realmgate/pkg/auth"
)

// Audience is a service that verifies the identities signed for it. Only it and the gateway have
// the keys.
type Audience struct {
	Name string
	Keys *auth.InternalKeys
	// VaultScopes tells that identities contain the vault scopes of auth tokens.
	VaultScopes bool
}

// maxAudiences is the number of services that a Principal can remember an identity for.
const maxAudiences = 3

// reuseTime is how long a signed identity is sent again; the rest of its life is for the service.
const reuseTime = auth.IdentityTTL / 6

// signer signs internal identities. Those of users are remembered by their Principal, the anonymous
// ones here.
type signer struct {
	audiences []Audience
	now       func() time.Time
	anonymous *otter.Cache[anonymousKey, string]
}

// signedIdentity is an internal identity that may be sent again until its time.
type signedIdentity struct {
	header, realm string
	addr          netip.Addr
	until         time.Time
}

type anonymousKey struct {
	audience int
	realm    string
	addr     netip.Addr
}

const maxAnonymous = 10_000

func newSigner(audiences []Audience, now func() time.Time) (*signer, error) {
	if len(audiences) > maxAudiences {
		return nil, errors.New("too many audiences")
	}
	return &signer{audiences: audiences, now: now, anonymous: otter.Must(&otter.Options[anonymousKey, string]{
		MaximumSize: maxAnonymous, ExpiryCalculator: otter.ExpiryWriting[anonymousKey, string](reuseTime),
	})}, nil
}

// Sign returns the internal identity of a request for a service: of p, or an anonymous one when p
// is nil. audience is an index of Deps.Audiences. An identity that was signed a moment ago for the
// same principal, realm and address is used again.
func (s *Service) Sign(p *Principal, audience int, realm string, addr netip.Addr) (string, error) {
	if p == nil {
		return s.signer.signAnonymous(audience, realm, addr)
	}
	return s.signer.sign(p, audience, realm, addr)
}

func (s *signer) sign(p *Principal, audience int, realm string, addr netip.Addr) (string, error) {
	slot, now := &p.signed[audience], s.now()
	if last := slot.Load(); last != nil && last.realm == realm && last.addr == addr && now.Before(last.until) {
		return last.header, nil
	}
	to := s.audiences[audience]
	i := p.identity(realm, addr.String())
	if !to.VaultScopes {
		i.Grant = i.Grant.WithoutVaultScope()
	}
	header, err := to.Keys.Sign(i, to.Name)
	if err == nil {
		slot.Store(&signedIdentity{header: header, realm: realm, addr: addr, until: now.Add(reuseTime)})
	}
	return header, err
}

func (s *signer) signAnonymous(audience int, realm string, addr netip.Addr) (string, error) {
	key := anonymousKey{audience, realm, addr}
	if header, ok := s.anonymous.GetIfPresent(key); ok {
		return header, nil
	}
	to := s.audiences[audience]
	header, err := to.Keys.Sign(auth.Identity{Kind: auth.Anonymous, Realm: realm, ClientAddr: addr.String()}, to.Name)
	if err == nil {
		s.anonymous.Set(key, header)
	}
	return header, err
}

func (s *signer) close() { s.anonymous.StopAllGoroutines() }
