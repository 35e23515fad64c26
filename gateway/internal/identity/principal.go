package identity

import (
	"net/netip"
	"sync/atomic"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/netaddr"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// Principal is the sender of a request: a session state, and what was derived from it. The state
// never changes; a newer one is a new Principal.
type Principal struct {
	state   sessionstate.State
	key, id string         // of the state in the caches, and at users-svc
	token   bool           // id is the hash of an auth token
	allowed []netip.Prefix // of an auth token's allow-list; empty: any address
	// generation and epoch say which announcements the state has been compared with.
	generation int64
	epoch      atomic.Int64
	signed     [maxAudiences]atomic.Pointer[signedIdentity] // by audience
	addr       atomic.Pointer[addrText]
	limitKey   string
}

// NewPrincipal returns the principal of a state. The error is a broken allow-list, with which the
// credential must not be accepted from everywhere.
func NewPrincipal(state sessionstate.State) (*Principal, error) {
	p := &Principal{}
	return p, p.setState(state)
}

func (p *Principal) setState(state sessionstate.State) (err error) {
	p.state, p.limitKey = state, "user:"+state.UserID
	if state.Token != nil {
		p.allowed, err = netaddr.ParsePrefixes(state.Token.IPWhitelist)
	}
	return err
}

// State returns the session state, which must not be changed.
func (p *Principal) State() *sessionstate.State { return &p.state }

// LimitKey returns the key by which the user's requests are counted.
func (p *Principal) LimitKey() string { return p.limitKey }

// AllowedFrom reports whether the credential may be used from the address.
func (p *Principal) AllowedFrom(addr netip.Addr) bool {
	return p.state.Token == nil || len(p.state.Token.IPWhitelist) == 0 || netaddr.Contains(p.allowed, addr)
}

// addrText is an address and its text.
type addrText struct {
	addr netip.Addr
	text string
}

// AddrText returns addr as text. It remembers the last one, because most requests of a user come
// from the same address.
func (p *Principal) AddrText(addr netip.Addr) string {
	if last := p.addr.Load(); last != nil && last.addr == addr {
		return last.text
	}
	t := &addrText{addr: addr, text: addr.String()}
	p.addr.Store(t)
	return t.text
}

// identity returns what services are told about the principal.
func (p *Principal) identity(realm, addr string) auth.Identity {
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
