package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
	"github.com/realmgate/realmgate/vault-svc/internal/store"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const internalKeys = "0123456789abcdef0123456789abcdef"

// stack is a running vault-svc on a database of its own.
type stack struct {
	t       testing.TB
	cfg     Config
	addr    string
	admin   string
	signer  *auth.InternalKeys
	pool    *db.Pool
	metrics *prometheus.Registry
}

// migrated is a template of databases with the newest schema.
var migrated = testkit.Template{Prepare: func(url string) error {
	var cfg Config
	_ = config.Defaults(&cfg) // its error is about required settings, which migrations do not need
	cfg.DB.URL = config.Secret(url)
	return db.MigrateAlone(context.Background(), cfg.DB, schema, migrationFiles, slog.New(slog.DiscardHandler))
}}

// start runs the service with the settings that edit changes. The service stops at the end of t,
// and t fails unless it stops in order.
func start(t testing.TB, edit ...func(*Config)) *stack {
	t.Helper()
	var cfg Config
	if err := config.Defaults(&cfg); err == nil {
		t.Fatal("required settings have no defaults, so Defaults must complain")
	}
	kek, err := sealing.GenerateKeyset()
	if err != nil {
		t.Fatal(err)
	}
	text, err := kek.Reveal()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Addr, cfg.Service.AdminAddr, cfg.Service.StopTimeout = "127.0.0.1:0", "127.0.0.1:0", 10*time.Second
	cfg.InternalKeys, cfg.KeyEncryption = internalKeys, config.Secret(text)
	cfg.DB.URL, cfg.DB.Migrate = config.Secret(migrated.Copy(t)), false
	for _, f := range edit {
		f(&cfg)
	}
	return run(t, cfg)
}

func run(t testing.TB, cfg Config) *stack {
	t.Helper()
	return runLogging(t, cfg, testkit.Log(t))
}

func runLogging(t testing.TB, cfg Config, log *slog.Logger) *stack {
	t.Helper()
	return runIn(t, cfg, service.Runtime{Log: log})
}

// runIn runs the service with the log and the traces of rt.
func runIn(t testing.TB, cfg Config, rt service.Runtime) *stack {
	t.Helper()
	s := &stack{t: t, cfg: cfg, metrics: prometheus.NewRegistry()}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	rt.Metrics, rt.Now, rt.Version = s.metrics, time.Now, "test"
	svc, err := New(t.Context(), cfg, rt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- svc.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	s.addr, s.admin = svc.Addr(), svc.AdminAddr()
	if s.signer, err = auth.NewInternalKeys(internalKeys, time.Now); err != nil {
		t.Fatal(err)
	}
	if s.pool, err = db.Open(t.Context(), cfg.DB, schema, nil, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.pool.Close)
	return s
}

// user returns the identity of a session of a new user.
func user() auth.Identity {
	return auth.Identity{Kind: auth.Session, UserID: id.New(time.Now()), SessionID: id.New(time.Now())}
}

// reply is an answer. The fields of the envelope are set when the answer is JSON.
type reply struct {
	status  int
	header  http.Header
	raw     []byte
	Status  int             `json:"statusCode"`
	Message string          `json:"message"`
	Code    string          `json:"code"`
	Error   string          `json:"error"`
	Data    json.RawMessage `json:"data"`
}

// item is the JSON of an item in an answer.
type item struct {
	Key       string          `json:"key"`
	RealmID   string          `json:"realm_id"`
	Value     *string         `json:"value"`
	Metadata  json.RawMessage `json:"metadata"`
	SizeBytes int64           `json:"size_bytes"`
	CreatedAt string          `json:"created_at"`
	UpdatedAt string          `json:"updated_at"`
	Version   int64           `json:"version"`
	ExpiresAt *string         `json:"expires_at"`
}

func (r reply) item(t testing.TB) item {
	t.Helper()
	var i item
	if err := json.Unmarshal(r.Data, &i); err != nil {
		t.Fatalf("data %.200s is no item: %v", r.raw, err)
	}
	return i
}

// call sends a request with the identity i and header lines such as `If-Match: "a"`.
func (s *stack) call(i auth.Identity, method, path string, body []byte, headers ...string) reply {
	s.t.Helper()
	r, err := s.try(i, method, path, body, headers...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// try is call for other goroutines than the test's: it returns the error.
func (s *stack) try(i auth.Identity, method, path string, body []byte, headers ...string) (reply, error) {
	req, err := http.NewRequest(method, "http://"+s.addr+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	header, err := s.signer.Sign(i, Name)
	if err != nil {
		return reply{}, err
	}
	req.Header.Set(auth.IdentityHeader, header)
	req.Header.Set("Content-Type", "application/json")
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	r := reply{status: res.StatusCode, header: res.Header}
	if r.raw, err = io.ReadAll(res.Body); err != nil {
		return r, err
	}
	if len(r.raw) > 0 {
		err = json.Unmarshal(r.raw, &r)
	}
	return r, err
}

var client = &http.Client{Transport: &http.Transport{
	MaxIdleConnsPerHost: 100, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
}}

// put stores a value. It fails the test when the answer is not a success.
func (s *stack) put(i auth.Identity, key, query, value string) item {
	s.t.Helper()
	r := s.call(i, "PUT", "/api/v1/vault/keys/"+key+query, body(value))
	if r.status != 200 && r.status != 201 {
		s.t.Fatalf("PUT %s%s: got %d %.300s", key, query, r.status, r.raw)
	}
	return r.item(s.t)
}

// body returns the body of a write.
func body(value string) []byte {
	b, err := json.Marshal(map[string]string{"value": value})
	if err != nil {
		panic(err) // a string always marshals
	}
	return b
}

// checkAccounts fails the test unless every account equals the sum of its items.
func (s *stack) checkAccounts() {
	s.t.Helper()
	wrong, err := store.New(s.pool).WrongAccounts(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, w := range wrong {
		s.t.Errorf("account %s: %d bytes in %d rows; the rows are %d bytes in %d", w.What, w.Bytes, w.Rows, w.RealBytes,
			w.RealRows)
	}
	orphans, err := store.New(s.pool).OrphanVersions(context.Background())
	if err != nil || orphans > 0 {
		s.t.Errorf("%d versions have no key (%v)", orphans, err)
	}
}

// used returns the bytes in a user's account.
func (s *stack) used(userID string) (n int64) {
	s.t.Helper()
	if err := s.pool.QueryRow(context.Background(),
		`SELECT coalesce(sum(bytes), 0)::bigint FROM vault_usage WHERE user_id = $1`, userID).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// metric returns the value of a metric without labels.
func (s *stack) metric(name string) float64 {
	s.t.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	s.t.Fatalf("no metric %s", name)
	return 0
}
