package gateway

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/realmgate/realmgate/gateway/internal/edge"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

func perHour(n int) ratelimit.Rate { return ratelimit.Rate{Count: n, Period: time.Hour} }

func TestSmallLimitsAreExactAndSayWhereTheClientStands(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) { c.Limits.User, c.Limits.Address = perHour(3), perHour(4) })
	ada, bob := d.users.signIn(t), d.users.signIn(t)
	for i := range 3 {
		r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token})
		if r.status != 200 || r.header.Get("RateLimit-Limit") != "3" ||
			r.header.Get("RateLimit-Remaining") != strconv.Itoa(2-i) || r.header.Get("RateLimit-Reset") == "" {
			t.Errorf("request %d: %d, %v", i, r.status, r.header)
		}
	}
	r := d.do(ask{method: "GET", path: "/api/v1/users/me", bearer: ada.token})
	if r.status != 429 || r.code != "RATE_LIMITED" || r.header.Get("Retry-After") == "" ||
		r.header.Get("RateLimit-Remaining") != "0" {
		t.Errorf("one too many: %d %s %v", r.status, r.raw, r.header)
	}
	if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: bob.token}); r.status != 200 {
		t.Errorf("another user: %d", r.status)
	}
	for i, a := range []ask{
		{method: "GET", path: "/api/v1/auth/config"}, {method: "GET", path: "/api/v1/vault/keys"},
		{method: "GET", path: "/api/v1/vault/keys", bearer: "junk"}, {method: "GET", path: "/nowhere"},
	} {
		if r := d.do(a); r.status == 429 {
			t.Errorf("request %d of the address: %d", i, r.status)
		}
	}
	for _, a := range []ask{{method: "GET", path: "/api/v1/vault/keys", bearer: "junk"}, {method: "GET", path: "/nowhere"},
		{method: "GET", path: "/docs"}} {
		if r := d.do(a); r.status != 429 {
			t.Errorf("%s %s over the address's limit: %d", a.method, a.path, r.status)
		}
	}
	if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: bob.token}); r.status != 200 {
		t.Errorf("a user at an address that is over its limit: %d", r.status)
	}
}

func TestClassesOfRoutesHaveTheirOwnLimits(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) {
		c.Limits.Signup, c.Limits.Verify, c.Limits.Resend, c.Limits.RetrySetup = perHour(2), perHour(3), perHour(1),
			perHour(2)
	})
	ada, bob := d.users.signIn(t), d.users.signIn(t)
	allowed := func(n int, asks ...ask) {
		t.Helper()
		passed := 0
		for i := range n + 2 {
			if r := d.do(asks[i%len(asks)]); r.status == 200 {
				passed++
			} else if r.status != 429 {
				t.Errorf("%s: %d %s", asks[i%len(asks)].path, r.status, r.raw)
			}
		}
		if passed != n {
			t.Errorf("%s: %d passed, want %d", asks[0].path, passed, n)
		}
	}
	allowed(2, ask{method: "POST", path: "/api/v1/auth/signup"})
	allowed(3, ask{method: "POST", path: "/api/v1/auth/verify-email"},
		ask{method: "POST", path: "/api/v1/auth/reset-password"})
	allowed(1, ask{method: "POST", path: "/api/v1/auth/resend-verification"},
		ask{method: "POST", path: "/api/v1/auth/forgot-password"})
	allowed(2, ask{method: "POST", path: "/api/v1/users/me/retry-setup", bearer: ada.token})
	allowed(2, ask{method: "POST", path: "/api/v1/users/me/retry-setup", bearer: bob.token})
}

func TestALimitOfAServiceKeepsItsHeaders(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	d.users.answers(func(w http.ResponseWriter, _ seen) {
		w.Header().Set("RateLimit-Limit", "10")
		w.Header().Set("RateLimit-Remaining", "0")
		writeJSON(w, http.StatusTooManyRequests, map[string]any{"statusCode": 429, "code": "RATE_LIMITED"})
	})
	if r := d.do(ask{method: "POST", path: "/api/v1/users/auth/login"}); r.header.Get("RateLimit-Limit") != "10" ||
		r.header.Get("RateLimit-Remaining") != "0" {
		t.Errorf("the client reads %v", r.header)
	}
}

func TestAHighLimitIsNeverPassedByTwoGatewaysAndHardlyMissed(t *testing.T) {
	t.Parallel()
	const rate = 1000
	d := startGateway(t, func(c *Config) { c.Limits.User = perHour(rate) })
	var gateways []*ratelimit.Batches
	for range 2 {
		// Not redisdb.Open: on a busy machine its 100 ms run out, and each gateway then counts by
		// itself.
		rdb := redis.NewClient(&redis.Options{Addr: d.redis.Addr(), ReadTimeout: 20 * time.Second,
			DialTimeout: 20 * time.Second, PoolTimeout: 20 * time.Second})
		t.Cleanup(func() { _ = rdb.Close() })
		l, err := ratelimit.New(rdb, func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		gateways = append(gateways, ratelimit.NewBatches(l, time.Now))
	}
	var passed atomic.Int64
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for range rate / 4 {
				if gateways[i%2].Allow(t.Context(), "user:x", perHour(rate)).Allowed {
					passed.Add(1)
				}
			}
		})
	}
	wait.Wait()
	if n := passed.Load(); n > rate+2 || n < rate*97/100 {
		t.Errorf("%d of %d passed, the limit is %d", n, 8*rate/4, rate)
	}
}

func TestEachGatewayLimitsByItselfWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) { c.Limits.User = perHour(3) })
	d.redis.Stop()
	ada := d.users.signIn(t)
	got := ""
	for range 5 {
		got += strconv.Itoa(d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}).status) + " "
	}
	if strings.TrimSpace(got) != "200 200 200 429 429" {
		t.Errorf("got %s", got)
	}
}

func TestAnAddressPastItsLimitCostsUsersSvcNothing(t *testing.T) {
	t.Parallel()
	const most = 5
	d := startGateway(t, func(c *Config) {
		c.Limits.Address, c.Identity.SessionTTL = perHour(most), 5*time.Second
	})
	ada := d.users.signIn(t)
	bob, _ := d.users.authToken()
	ask200 := func(what, credential string) {
		t.Helper()
		if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", authorization: credential}); r.status != 200 {
			t.Errorf("%s: %d %s", what, r.status, r.code)
		}
	}
	ask200("a session", "Bearer "+ada.token)
	ask200("a token", bob)
	asked := func() int { d.users.mu.Lock(); defer d.users.mu.Unlock(); return d.users.asked }
	before := asked()
	stranger := startUsers(t)
	for range 20 {
		for _, wrong := range []string{"hdy_" + id.New(time.Now()) + "_" + strings.Repeat("ab", 24),
			"Bearer " + stranger.sign(t, ada, time.Hour)} {
			if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", authorization: wrong}); r.status != 401 &&
				r.status != 429 {
				t.Errorf("got %d %s", r.status, r.code)
			}
		}
	}
	if n := asked() - before; n > most {
		t.Errorf("users-svc was asked %d times by an address that may send %d requests", n, most)
	}
	if n := d.value("jwt_checks_total"); n > most+10 {
		t.Errorf("%v signatures were checked or remembered", n)
	}
	ask200("the session, which is remembered", "Bearer "+ada.token)
	ask200("the token, which is remembered", bob)
	fresh, _ := d.users.authToken()
	if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", authorization: fresh}); r.code != "RATE_LIMITED" ||
		r.header.Get("Retry-After") == "" {
		t.Errorf("one that nobody remembers: %d %s", r.status, r.code)
	}
}

func TestMalformedRequestsAreCounted(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) { c.Limits.Address = perHour(3) })
	for i := range 5 {
		want := "400"
		if i >= 3 {
			want = "429"
		}
		if raw := d.wire("GET /api/v1/auth/config HTTP/1.1\r\nHost: h\r\nX A: b\r\n\r\n"); !strings.HasPrefix(raw,
			"HTTP/1.1 "+want) {
			t.Errorf("request %d: %.60q, want %s", i+1, raw, want)
		}
	}
}

// TestATokenThatIsRefusedByItsAddressesCountsAgainstTheClient, not against its owner.
func TestATokenThatIsRefusedByItsAddressesCountsAgainstTheClient(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) {
		c.Limits.User, c.Limits.Address, c.Edge.TrustedProxies = perHour(3), perHour(6), edge.TextList{"127.0.0.1"}
	})
	events := d.listen()
	token, owner := d.users.authToken(func(s *sessionstate.State) { s.Token.IPWhitelist = []string{"192.0.2.0/24"} })
	from := func(address, path string) reply {
		header := map[string]string{"X-Forwarded-For": address}
		return d.do(ask{method: "GET", path: path, bearer: token, header: header})
	}
	paths := []string{"/api/v1/vault/keys", "/api/v1/nowhere", "/api/v1/users/me"}
	for i := range 6 {
		r := from("198.51.100.7", paths[i%3])
		if limit := r.header.Get("RateLimit-Limit"); r.status != 403 && r.status != 404 || limit != "6" {
			t.Errorf("refused request %d: %d, limit %s; want 403 or 404 and the address's limit", i, r.status, limit)
		}
	}
	for _, path := range paths {
		if r := from("198.51.100.7", path); r.status != 429 {
			t.Errorf("%s over the address's limit: %d", path, r.status)
		}
	}
	for i := range 3 {
		if r := from("192.0.2.1", "/api/v1/vault/keys"); r.status != 200 || r.header.Get("RateLimit-Limit") != "3" {
			t.Errorf("request %d of the owner: %d, limit %s", i, r.status, r.header.Get("RateLimit-Limit"))
		}
	}
	// The owner's log has what the token was used for, not the 429s of the address.
	if r := from("192.0.2.1", "/api/v1/vault/keys"); r.status != 429 {
		t.Errorf("over the owner's limit: %d", r.status)
	}
	d.until("the last of the owner's requests is recorded", func() bool {
		return slices.ContainsFunc(events.of(owner.UserID),
			func(e event.Request) bool { return e.Status == 429 && e.IPAddress == "192.0.2.1" })
	})
	for _, e := range events.of(owner.UserID) {
		if e.Status == 429 && e.IPAddress != "192.0.2.1" {
			t.Errorf("in the owner's log: %+v", e)
		}
	}
}
