package gateway

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestMain(m *testing.M) {
	testkit.Main(m)
}

// testInstallation is the id that the fake activity-svc tells.
const testInstallation = "0123456789abcdef01234567"

// testKey is the internal key that the gateway and a service have.
func testKey(service string) config.Secret {
	return config.Secret("an internal key that is long enough for a test with " + service)
}

func testKeys(t testing.TB, service string) *auth.InternalKeys {
	keys, err := auth.NewInternalKeys(testKey(service).Reveal(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// seen is a request as a service got it.
type seen struct {
	method, target, body string
	header               http.Header
	identity             auth.Identity
}

// fakeService is a service that verifies the gateway's identity, remembers its requests and
// sends the answers that the test defines.
type fakeService struct {
	*httptest.Server
	name string
	keys *auth.InternalKeys

	mu       sync.Mutex
	requests []seen
	answer   func(w http.ResponseWriter, r seen)
}

func startService(t testing.TB, name string) *fakeService {
	s := &fakeService{name: name, keys: testKeys(t, name)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *fakeService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	identity, err := s.keys.Verify(r.Header.Get(auth.IdentityHeader), s.name)
	if err != nil {
		w.Header().Set(auth.RefusedHeader, "invalid")
		writeJSON(w, http.StatusUnauthorized, map[string]any{"statusCode": 401, "code": "UNSIGNED"})
		return
	}
	body, _ := io.ReadAll(r.Body)
	req := seen{method: r.Method, target: r.RequestURI, body: string(body), header: r.Header, identity: identity}
	s.mu.Lock()
	answer := s.answer
	if !strings.HasPrefix(r.RequestURI, "/internal/") && r.RequestURI != "/.well-known/jwks.json" {
		s.requests = append(s.requests, req)
	}
	s.mu.Unlock()
	if r.RequestURI == "/internal/installation" && s.name == "activity-svc" {
		writeJSON(w, http.StatusOK, event.Installation{ID: testInstallation})
		return
	}
	if answer != nil {
		answer(w, req)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"statusCode": 200, "message": "ok from " + s.name, "data": nil})
}

func (s *fakeService) answers(f func(w http.ResponseWriter, r seen)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// requestCount returns the number of requests so far.
func (s *fakeService) requestCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// got returns the requests so far and forgets them.
func (s *fakeService) got() []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.requests
	s.requests = nil
	return out
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// fakeUsers is users-svc as far as the gateway knows it: keys, states, and public routes that only
// answer.
type fakeUsers struct {
	*fakeService
	key auth.SigningKey

	mu     sync.Mutex
	states map[string]sessionstate.State // by session id or token hash
	down   bool
	// previous is a release without /internal/keys; longest is how long it lets a token live.
	previous bool
	longest  time.Duration
	asked    int
	uses     []string
}

func startUsers(t testing.TB) *fakeUsers {
	u := &fakeUsers{fakeService: startService(t, "users-svc"), key: newSigningKey(t, "k1"),
		states: map[string]sessionstate.State{}, longest: 24 * time.Hour}
	u.answers(u.serve)
	return u
}

func newSigningKey(t testing.TB, kid string) auth.SigningKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return auth.SigningKey{ID: kid, Private: private}
}

func (u *fakeUsers) serve(w http.ResponseWriter, r seen) {
	u.mu.Lock()
	defer u.mu.Unlock()
	parts := strings.Split(strings.TrimPrefix(r.target, "/"), "/")
	switch {
	case u.down:
		w.WriteHeader(http.StatusBadGateway)
	case r.target == "/internal/keys" && u.previous:
		writeJSON(w, 404, map[string]any{"code": "NOT_FOUND"})
	case r.target == "/.well-known/jwks.json", r.target == "/internal/keys":
		set := auth.Published{JWKS: auth.JWKS{Keys: []auth.JWK{auth.NewJWK(u.key.ID,
			u.key.Private.Public().(ed25519.PublicKey))}}}
		if r.target == "/internal/keys" {
			set.MaxSeconds = int64(u.longest.Seconds())
		}
		writeJSON(w, 200, set)
	case parts[0] == "internal" && r.identity.Kind != auth.System:
		writeJSON(w, 401, map[string]any{"code": "INVALID_TOKEN"})
	case parts[0] == "internal" && (parts[1] == "sessions" || parts[1] == "tokens") && r.method == "GET":
		u.asked++
		writeJSON(w, 200, u.states[parts[2]])
	case parts[0] == "internal" && parts[1] == "tokens" && r.method == "POST":
		u.uses = append(u.uses, parts[2]+" "+r.body)
		writeJSON(w, 200, nil)
	case strings.HasPrefix(r.target, internalapi.UsersPath):
		writeJSON(w, 200, internalapi.UserFound{Found: parts[2] != unknownUser})
	case strings.HasPrefix(r.target, "/internal/realms"):
		writeJSON(w, 200, map[string]any{"realms": []internalapi.RealmUsage{{RealmID: strings.Repeat("b", 24), Count: 1}}})
	default:
		writeJSON(w, 200, map[string]any{"statusCode": 200, "message": "ok from users-svc", "data": nil})
	}
}

func (u *fakeUsers) set(key string, s sessionstate.State) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.states[key] = s
}

func (u *fakeUsers) setDown(down bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.down = down
}

// person is a user with a session.
// unknownUser is an id that no user has.
const unknownUser = "0123456789abcdef01234567"

type person struct{ userID, sessionID, token string }

// signIn makes a session; change may alter its state.
func (u *fakeUsers) signIn(t testing.TB, change ...func(*sessionstate.State)) person {
	t.Helper()
	p := person{userID: id.New(time.Now()), sessionID: id.New(time.Now())}
	s := sessionstate.State{Alive: true, UserID: p.userID, SessionID: p.sessionID, Version: 1}
	for _, f := range change {
		f(&s)
	}
	u.set(p.sessionID, s)
	p.token = u.sign(t, p, time.Hour)
	return p
}

func (u *fakeUsers) sign(t testing.TB, p person, ttl time.Duration) string {
	t.Helper()
	now := time.Now()
	token, err := u.key.Sign(auth.Claims{UserID: p.userID, SessionID: p.sessionID, TokenID: id.New(now),
		IssuedAt: now.Add(-time.Hour), ExpiresAt: now.Add(ttl)},
		"realmgate", "realmgate")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// authToken makes an hdy_ token.
func (u *fakeUsers) authToken(change ...func(*sessionstate.State)) (token string, s sessionstate.State) {
	tokenID := id.New(time.Now())
	token = "hdy_" + tokenID + "_" + strings.Repeat("0123456789ab", 4)
	s = sessionstate.State{Alive: true, UserID: id.New(time.Now()), Version: 1,
		Token: &sessionstate.Token{ID: tokenID,
			Grant: auth.Grant{AllowNoRealm: true, Permissions: []string{auth.PermRealms}}}}
	for _, f := range change {
		f(&s)
	}
	u.set(hashOf(token), s)
	return token, s
}

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// testGateway is a running gateway with everything behind it.
type testGateway struct {
	t        testing.TB
	cfg      Config
	addr     string
	svc      *service.Service
	log      *slog.Logger // of the test, unless the test has set another one
	metrics  *prometheus.Registry
	users    *fakeUsers
	vault    *fakeService
	activity *fakeService
	broker   *testkit.Broker
	redis    *testkit.RedisServer
	stop     func()
}

// startGateway starts a gateway; change may alter its settings.
func startGateway(t testing.TB, change ...func(*Config)) *testGateway {
	t.Helper()
	d := newTestGateway(t)
	d.settings(change...)
	d.start()
	return d
}

// newTestGateway starts what a gateway needs, without the gateway.
func newTestGateway(t testing.TB) *testGateway {
	t.Helper()
	return &testGateway{t: t, users: startUsers(t), vault: startService(t, "vault-svc"),
		activity: startService(t, "activity-svc"), broker: testkit.StartNATS(t), redis: testkit.Redis(t)}
}

// settings fills the settings in.
func (d *testGateway) settings(change ...func(*Config)) {
	t := d.t
	t.Helper()
	if err := config.Defaults(&d.cfg); err != nil && !strings.Contains(err.Error(), "required") {
		t.Fatal(err)
	}
	d.cfg.Addr, d.cfg.Service.AdminAddr = "127.0.0.1:0", "127.0.0.1:0"
	d.cfg.Upstreams.UsersKeys, d.cfg.Upstreams.VaultKeys, d.cfg.Upstreams.ActivityKeys = testKey("users-svc"),
		testKey("vault-svc"), testKey("activity-svc")
	d.cfg.Upstreams.Users, d.cfg.Upstreams.Vault, d.cfg.Upstreams.Activity = d.users.URL, d.vault.URL, d.activity.URL
	d.cfg.Bus.URL, d.cfg.Redis.URL = config.Secret(d.broker.URL()), config.Secret(d.redis.URL())
	d.cfg.Journal.Dir = t.TempDir()
	for _, f := range change {
		f(&d.cfg)
	}
	if err := d.cfg.Validate(); err != nil {
		t.Fatal(err)
	}
}

func (d *testGateway) start() {
	d.t.Helper()
	d.metrics = prometheus.NewRegistry()
	if d.log == nil {
		d.log = testkit.Log(d.t)
	}
	svc, err := New(context.Background(), d.cfg, service.Runtime{Log: d.log, Metrics: d.metrics, Now: time.Now})
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- svc.Run(ctx) }()
	var once sync.Once
	d.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				d.t.Errorf("the gateway ended with %v", err)
			}
		})
	}
	d.t.Cleanup(d.stop)
	d.svc, d.addr = svc, svc.Addr()
	d.until("the gateway is ready",
		func() bool { status, _ := svc.CheckReady(context.Background()); return status == 200 })
}

func (d *testGateway) until(what string, f func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(testkit.Patience); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatalf("%s: not within %v", what, testkit.Patience)
		}
	}
}

// value reads a counter, a gauge or how often a histogram was told something; labels are
// "name=value".
func (d *testGateway) value(name string, labels ...string) float64 {
	d.t.Helper()
	families, err := d.metrics.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	metric:
		for _, m := range f.GetMetric() {
			for _, want := range labels {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetName()+"="+l.GetValue() == want
				}
				if !found {
					continue metric
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}
