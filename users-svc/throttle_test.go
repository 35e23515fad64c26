package users_test

import (
	"crypto/sha256"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/users-svc"
)

func (h *harness) tryLogin(address, name, password string) *response {
	h.t.Helper()
	return h.do(anonymousFrom(address), "POST", loginPath, map[string]string{"username": name, "password": password})
}

func retryAfter(a *response) int {
	n, _ := strconv.Atoi(a.header.Get("Retry-After"))
	return n
}

func TestAccountThrottle(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp() // signed in from 192.0.2.1
	name := h.do(ann.identity, "GET", "/api/v1/users/me", nil).text("username")
	const attacker, elsewhere = "198.51.100.7", "203.0.113.9"
	for i := range 10 {
		who := []string{ann.email, name}[i%2] // both names share a count
		h.tryLogin(attacker, who, "Wrong-horse-1").want(401, "INVALID_CREDENTIALS", "")
	}
	first := h.tryLogin(attacker, ann.email, "Wrong-horse-1").want(429, "RATE_LIMITED", "Rate limit exceeded")
	if wait := retryAfter(first); wait < 85 || wait > 90 {
		t.Errorf("Retry-After after ten failures: got %d, want 90", wait)
	}
	if first.header.Get("RateLimit-Limit") != "10" || first.header.Get("RateLimit-Remaining") != "0" ||
		first.header.Get("RateLimit-Reset") != first.header.Get("Retry-After") {
		t.Errorf("headers after ten failures: %v", first.header)
	}
	h.tryLogin(elsewhere, ann.email, password).want(429, "RATE_LIMITED", "")
	h.tryLogin("192.0.2.1", ann.email, password).want(200, "", "")
	h.tryLogin("192.0.2.1", ann.email, "Wrong-horse-1").want(401, "INVALID_CREDENTIALS", "")

	h.clock.forward(91 * time.Second)
	h.tryLogin(attacker, ann.email, "Wrong-horse-1").want(401, "INVALID_CREDENTIALS", "")
	if wait := retryAfter(h.tryLogin(attacker, ann.email, "Wrong-horse-1").want(429, "", "")); wait < 175 || wait > 180 {
		t.Errorf("Retry-After after eleven failures: got %d, want 180", wait)
	}
	h.clock.forward(181 * time.Second)
	h.tryLogin(elsewhere, ann.email, password).want(200, "", "")
	h.tryLogin(attacker, ann.email, "Wrong-horse-1").want(401, "INVALID_CREDENTIALS", "")
}

// TestFailuresExpire: a period after the last failure the count is 0, even if no cleanup ran.
func TestFailuresExpire(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	for _, name := range []string{ann.email, "nobody@example.com"} {
		for range 2 {
			for range 9 {
				h.tryLogin("198.51.100.7", name, "Wrong-horse-1").want(401, "INVALID_CREDENTIALS", "")
			}
			h.clock.forward(h.cfg.Passwords.AccountRate.Period + time.Second)
		}
	}
	if rows := query[int](h, `SELECT count(*)::int FROM login_throttle`); rows != 2 {
		t.Fatalf("counts: got %d, want both: something has cleaned up", rows)
	}
}

func TestUnknownNamesAreThrottledAlike(t *testing.T) {
	t.Parallel()
	h := start(t)
	for range 10 {
		h.tryLogin("198.51.100.7", "nobody@example.com", "Wrong-horse-1").want(401, "INVALID_CREDENTIALS", "")
	}
	h.tryLogin("198.51.100.7", "NOBODY@example.com", "Wrong-horse-1").want(429, "RATE_LIMITED", "")
}

// TestThrottleHidesExistenceOfUsername: usernames that differ in case are counted apart, whether an
// account has them or not.
func TestThrottleHidesExistenceOfUsername(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	h.do(h.admin().identity, "POST", "/api/v1/users",
		map[string]any{"email": "bob@example.com", "password": password, "username": "bob_there"}).mustStatus(201)
	for _, name := range []string{"bob_there", "zed_absent"} {
		for range 10 {
			h.tryLogin("198.51.100.7", name, "Wrong-horse-1").want(401, "INVALID_CREDENTIALS", "")
		}
		h.tryLogin("198.51.100.7", name, "Wrong-horse-1").want(429, "RATE_LIMITED", "")
		h.tryLogin("198.51.100.7", strings.ToUpper(name), "Wrong-horse-1").want(401, "INVALID_CREDENTIALS", "")
	}
}

func TestConcurrentGuessesAreBounded(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.Passwords.Parallel = 4 })
	ann := h.signUp()
	for _, name := range []string{ann.email, "nobody@example.com"} {
		if checked := h.countConcurrent(60, func(int) bool {
			return h.tryLogin("198.51.100.7", name,
				"Wrong-horse-1").status == 401
		}); checked != 10 {
			t.Errorf("guesses at %s that were checked: got %d, want 10", name, checked)
		}
	}
	body := map[string]string{"password": "Another-horse-2", "current_password": "Wrong-horse-1"}
	if checked := h.countConcurrent(60, func(int) bool {
		return h.do(ann.identity, "PATCH", "/api/v1/users/"+ann.id,
			body).status == 400
	}); checked != 10 {
		t.Errorf("current passwords that were checked: got %d, want 10", checked)
	}
}

func TestConcurrentGuessesAtTwoReplicasAreBounded(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.Passwords.Parallel = 2 })
	ann := h.signUp()
	replicas := []string{h.baseURL, h.startReplica()}
	body := map[string]string{"email": ann.email, "password": "Wrong-horse-1"}
	checked := h.countConcurrent(60, func(i int) bool {
		return h.doAt(replicas[i%2], anonymousFrom("198.51.100.7"), "POST", loginPath, body).status == 401
	})
	if checked < 10 || checked > 13 {
		t.Errorf("guesses that were checked: got %d, want 10, or 13 at most as four hashes run at once", checked)
	}
}

func TestConcurrentCorrectPasswordsPass(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.Passwords.Parallel = 2 })
	ann := h.signUp()
	for range 9 {
		h.tryLogin("198.51.100.7", ann.email, "Wrong-horse-1").mustStatus(401)
	}
	if ok := h.countConcurrent(60, func(int) bool {
		return h.tryLogin("198.51.100.7", ann.email,
			password).status == 200
	}); ok != 60 {
		t.Errorf("right passwords at once after nine wrong ones: %d of 60 passed", ok)
	}
}

func TestAddressRateLimit(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.SignIn.AddressRate = ratelimit.Rate{Count: 5, Period: time.Hour} })
	ann := h.signUp()
	for range 8 {
		h.tryLogin("2001:db8::1", ann.email, password).want(200, "", "") // successes do not count
	}
	for range 5 {
		h.tryLogin("2001:db8::1", newEmail(), "Wrong-horse-1").want(401, "", "")
	}
	if wait := retryAfter(h.tryLogin("2001:db8::ffff", ann.email, password).want(429, "RATE_LIMITED", "")); wait < 1 {
		t.Errorf("Retry-After: got %d, want at least 1", wait)
	}
	h.tryLogin("2001:db8:0:1::1", ann.email, password).want(200, "", "")
}

func TestCurrentPasswordThrottle(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	body := map[string]string{"password": "Another-horse-2", "current_password": "Wrong-horse-1"}
	for range 10 {
		h.do(ann.identity, "PATCH", "/api/v1/users/"+ann.id, body).want(400, "CURRENT_PASSWORD_INCORRECT",
			"Current password is incorrect")
	}
	h.do(ann.identity, "PATCH", "/api/v1/users/"+ann.id, body).want(429, "RATE_LIMITED", "")
	h.signIn(ann.email, password)
}

func TestHashQueueIsBounded(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) {
		c.Passwords.Parallel, c.Passwords.Queue, c.Passwords.MemoryKiB, c.Passwords.Time = 1, 1, 19456, 4
	})
	refused := make(chan *response, 12)
	ok := h.countConcurrent(12, func(int) bool {
		a := h.do(anonymous, "POST", signupPath, map[string]string{"email": newEmail(), "password": password})
		if a.status != 200 {
			refused <- a.want(503, "SERVICE_UNAVAILABLE", "Service temporarily unavailable")
		}
		return a.status == 200
	})
	if ok < 2 || ok == 12 {
		t.Fatalf("sign-ups that passed: got %d of 12, want some", ok)
	}
	if wait := retryAfter(<-refused); wait < 1 {
		t.Errorf("Retry-After: got %d, want at least 1", wait)
	}
}

// TestHashQueueIsFairPerAddress: a login from another address comes next, however many guesses of
// one address wait.
func TestHashQueueIsFairPerAddress(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.Passwords.Parallel, c.Passwords.MemoryKiB = 1, 19456 })
	ann := h.signUp()
	var answered atomic.Int64
	var guesses sync.WaitGroup
	for range 120 {
		guesses.Go(func() {
			h.tryLogin("198.51.100.7", newEmail(), "Wrong-horse-1")
			answered.Add(1)
		})
	}
	eventually(t, "the guesses wait", func() bool {
		return answered.Load()+int64(h.counters("password_hashes_waiting")[""]) > 110
	})
	before := answered.Load()
	h.tryLogin("192.0.2.1", ann.email, password).want(200, "", "")
	if passed := answered.Load() - before; passed > 20 {
		t.Errorf("guesses from another address that were answered first: got %d of %d, want a few", passed, 120-before)
	}
	guesses.Wait()
}

// TestThrottleKeysAreStable: replicas of two releases share the counts, so the keys must not
// change, nor differ between reads and writes.
func TestThrottleKeysAreStable(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	failures := func(want int, parts ...string) {
		t.Helper()
		key := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
		if got := query[int](h, `SELECT coalesce(sum(failures), 0)::int FROM login_throttle WHERE key = $1`,
			key[:]); got != want {
			t.Errorf("failures of %s: got %d, want %d", parts, got, want)
		}
	}
	h.tryLogin("2001:db8::1", ann.email, "Wrong-horse-1").mustStatus(401)
	failures(1, "account", ann.id)
	h.tryLogin("2001:db8::1", ann.email, password).mustStatus(200)
	failures(0, "account", ann.id)
	h.tryLogin("2001:db8::2", ann.email, "Wrong-horse-1").mustStatus(401)
	failures(1, "known", ann.id, "2001:db8::/64")
	h.tryLogin("2001:db8::1", "Nobody@example.com", "Wrong-horse-1").mustStatus(401)
	failures(1, "name", "nobody@example.com")
}
