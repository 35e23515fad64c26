package gateway

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// revocation is a change of a credential with an open stream.
type revocation struct {
	name  string
	token func(*sessionstate.State) // nil: of a session
	state func(*sessionstate.State)
}

func revocations() []revocation {
	return []revocation{
		{name: "ban", state: func(s *sessionstate.State) { s.Banned = true }},
		{name: "log-out", state: func(s *sessionstate.State) { *s = sessionstate.State{Version: 2} }},
		{name: "deleted token", token: func(s *sessionstate.State) { *s = sessionstate.State{Version: 2} }},
		{name: "expired token", token: func(s *sessionstate.State) { s.ExpiresAt = time.Now() }},
		{name: "address", token: func(s *sessionstate.State) { s.Token.IPWhitelist = []string{"192.0.2.1"} }},
		{name: "realm", token: func(s *sessionstate.State) { s.Token.Grant.Realms = []string{strings.Repeat("a", 24)} }},
		{name: "access", token: func(s *sessionstate.State) { s.Token.Grant.VaultAccess = false }},
	}
}

// changing opens a stream and returns what changes its credential.
func (d *testGateway) changing(r revocation, announced bool) (*sse, func()) {
	d.t.Helper()
	var stream *sse
	var state sessionstate.State
	key := ""
	if r.token == nil {
		p := d.users.signIn(d.t)
		stream, key = d.opened("Bearer "+p.token), p.sessionID
		state = sessionstate.State{Alive: true, UserID: p.userID, SessionID: p.sessionID}
	} else {
		var token string
		token, state = d.users.authToken(func(s *sessionstate.State) {
			s.Token.Grant.VaultAccess, s.Token.Grant.Permissions = true, []string{auth.PermVault}
		})
		stream, key = d.opened(token), hashOf(token)
		copied := *state.Token
		state.Token = &copied
	}
	return stream, func() {
		userID := state.UserID
		state.Version = 2
		if r.token != nil {
			r.token(&state)
		} else {
			r.state(&state)
		}
		d.users.set(key, state)
		if announced {
			d.announce(userID, 2)
		}
	}
}

// TestARevokedCredentialEndsItsStreams with and without announcements.
func TestARevokedCredentialEndsItsStreams(t *testing.T) {
	t.Parallel()
	for name, announced := range map[string]bool{"announced": true, "not announced": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, s := startStreaming(t, func(c *Config) { c.Identity.SessionTTL = 5 * time.Second })
			stays, same := d.changing(revocation{state: func(*sessionstate.State) {}}, announced)
			same()
			other := d.opened("Bearer " + d.users.signIn(t).token)
			for _, r := range revocations() {
				stream, change := d.changing(r, announced)
				change()
				got, err := stream.rest()
				if want := "event: bye\ndata: {\"reason\":\"revoked\"}\n\n"; err != nil || !strings.HasSuffix(got, want) {
					t.Errorf("%s: the stream ends with %q, %v", r.name, got, err)
				}
			}
			narrowed, change := d.changing(revocation{token: func(s *sessionstate.State) {
				s.Token.Grant.VaultAccess, s.Token.Grant.VaultScope = false, &auth.VaultScope{}
			}}, announced)
			change()
			narrowed.ends("draining") // and resumes with the new scope
			d.until("only the two streams are open that nothing was changed for", func() bool { return s.open.Load() == 2 })
			for range 2 {
				s.events <- "still there"
			}
			for _, stream := range []*sse{stays, other} {
				stream.until(`data: "still there"`)
			}
		})
	}
}

func TestARevocationEndsManyStreamsAndNoOthers(t *testing.T) {
	t.Parallel()
	d, s := startStreaming(t, func(c *Config) { c.Streams.PerUser = 100 })
	ada, eve := d.users.signIn(t), d.users.signIn(t)
	var wait sync.WaitGroup
	for range 50 {
		evil := d.opened("Bearer " + eve.token)
		d.opened("Bearer " + ada.token)
		wait.Go(func() { evil.ends("revoked") })
	}
	wait.Go(func() { // more begin meanwhile; none of them stays
		for d.follow(watchPath, "Bearer "+eve.token).StatusCode == 200 {
		}
	})
	d.users.set(eve.sessionID, sessionstate.State{Version: 2})
	d.announce(eve.userID, 2)
	wait.Wait()
	d.until("only the other's streams are open", func() bool { return s.open.Load() == 50 })
}

func TestAnAccessTokenThatExpiresEndsNoStream(t *testing.T) {
	t.Parallel()
	d, s := startStreaming(t)
	ada := d.users.signIn(t)
	token := d.users.sign(t, ada, 2*time.Second)
	stream := d.opened("Bearer " + token)
	d.until("the token expired", func() bool {
		return d.do(ask{method: "GET", path: "/api/v1/vault/stats", bearer: token}).code == "TOKEN_EXPIRED"
	})
	s.events <- "still there"
	stream.until(`data: "still there"`)
}
