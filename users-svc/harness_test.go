package users_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/users-svc"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const (
	internalKey           = "an internal key of the tests that is long enough"
	keyEncryptionKey      = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	otherKeyEncryptionKey = "AAAAMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	password              = "Correct-horse-1"
)

// harness is a running users-svc with its own database, Redis and NATS.
type harness struct {
	t            testing.TB
	cfg          users.Config
	baseURL      string
	internalKeys *auth.InternalKeys
	redis        *testkit.RedisServer
	broker       *testkit.Broker
	clock        *clock
	log          *slog.Logger
	mu           sync.Mutex // replicas may be started at once
	// metrics and adminAddr belong to the newest replica.
	metrics   *prometheus.Registry
	adminAddr string
}

// clock is the time of day of a service under test. It can be moved forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

// migratedTemplate is a database with the newest schema, so that services need no migration.
var migratedTemplate = testkit.Template{Prepare: func(url string) error {
	var cfg users.Config
	if err := config.Defaults(&cfg); err != nil && !strings.Contains(err.Error(), "required") {
		return err
	}
	cfg.DB.URL = config.Secret(url)
	return users.Migrate(context.Background(), cfg, service.Runtime{Log: slog.New(slog.DiscardHandler)})
}}

// start runs a service with the default settings except for cheap password hashes and the given
// edits.
func start(t testing.TB, edits ...func(*users.Config)) *harness {
	t.Helper()
	h := &harness{t: t, redis: testkit.Redis(t), broker: testkit.StartNATS(t), clock: &clock{}, log: testkit.Log(t)}
	if err := config.Defaults(&h.cfg); err != nil && !strings.Contains(err.Error(), "required") {
		t.Fatal(err)
	}
	h.cfg.DB.URL, h.cfg.DB.Migrate = config.Secret(migratedTemplate.Copy(t)), false
	h.cfg.Redis.URL, h.cfg.Bus.URL = config.Secret(h.redis.URL()), config.Secret(h.broker.URL())
	h.cfg.InternalKeys, h.cfg.KeyEncryptionKey = internalKey, keyEncryptionKey
	h.cfg.Addr, h.cfg.Service.AdminAddr = "127.0.0.1:0", "127.0.0.1:0"
	h.cfg.Passwords.MemoryKiB, h.cfg.Passwords.Time = 64, 1
	for _, edit := range edits {
		edit(&h.cfg)
	}
	h.internalKeys, _ = auth.NewInternalKeys(internalKey, h.clock.now)
	h.baseURL = h.startReplica()
	return h
}

// startReplica starts another process of the same service and returns its URL.
func (h *harness) startReplica() string {
	h.t.Helper()
	rt := h.runtime()
	svc, err := users.New(h.t.Context(), h.cfg, rt)
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	h.metrics, h.adminAddr = rt.Metrics, svc.AdminAddr()
	h.mu.Unlock()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- svc.Run(ctx) }()
	h.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			h.t.Errorf("users-svc ended with: %v", err)
		}
	})
	return "http://" + svc.Addr()
}

func (h *harness) runtime() service.Runtime {
	return service.Runtime{Log: h.log, Metrics: prometheus.NewRegistry(), Now: h.clock.now, Version: "test"}
}

// response is an HTTP response. Envelope and data are decoded if there are any.
type response struct {
	t        testing.TB
	request  string
	status   int
	header   http.Header
	body     []byte
	message  string
	code     string
	data     any
	metadata map[string]any
}

// Identities as the gateway signs them.
var (
	anonymous = auth.Identity{Kind: auth.Anonymous, ClientAddr: "192.0.2.1"}
	system    = auth.Identity{Kind: auth.System}
)

// do sends a request with an identity. A string or []byte body is sent as it is, nil as an empty
// body, and any other value as JSON.
func (h *harness) do(who auth.Identity, method, path string, body any, header ...string) *response {
	h.t.Helper()
	return h.doAt(h.baseURL, who, method, path, body, header...)
}

// doAt is do at one replica. header holds names and values in turn.
func (h *harness) doAt(url string, who auth.Identity, method, path string, body any, header ...string) *response {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, url+path, bytes.NewReader(encode(h.t, body)))
	if err != nil {
		h.t.Fatal(err)
	}
	signed, err := h.internalKeys.Sign(who, users.Name)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set(auth.IdentityHeader, signed)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "harness/1")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return decode(h.t, method+" "+path, res, raw)
}

func encode(t testing.TB, body any) []byte {
	switch b := body.(type) {
	case nil:
		return nil
	case string:
		return []byte(b)
	case []byte:
		return b
	}
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// decode reads the envelope and fails the test when the body is none. Internal and well-known
// documents have no envelope.
func decode(t testing.TB, what string, res *http.Response, raw []byte) *response {
	t.Helper()
	a := &response{t: t, request: what, status: res.StatusCode, header: res.Header, body: raw}
	if strings.Contains(what, " /internal/") || strings.Contains(what, " /.well-known/") {
		if err := json.Unmarshal(raw, &a.data); err != nil {
			t.Fatalf("%s: %d %s: %v", what, a.status, raw, err)
		}
		if a.status < 400 {
			return a
		}
	}
	var envelope struct {
		StatusCode int
		Message    *string
		Error      *string
		Code       string
		Data       any
		Metadata   map[string]any
	}
	if err := json.Unmarshal(raw, &envelope); err != nil {
		t.Fatalf("%s: %d %s: %v", what, a.status, raw, err)
	}
	if envelope.StatusCode != a.status || envelope.Message == nil || a.status >= 400 &&
		(envelope.Error == nil || envelope.Code == "") {
		t.Errorf("%s: not an envelope: %d %s", what, a.status, raw)
	}
	a.code, a.data, a.metadata = envelope.Code, envelope.Data, envelope.Metadata
	if envelope.Message != nil {
		a.message = *envelope.Message
	}
	if a.header.Get("X-Request-ID") == "" || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		t.Errorf("%s: headers: got %v, want X-Request-ID and application/json", what, a.header)
	}
	return a
}

// want checks the status, and the code and the message unless they are "".
func (a *response) want(status int, code, message string) *response {
	a.t.Helper()
	if a.status != status || code != "" && a.code != code || message != "" && a.message != message {
		a.t.Errorf("%s: got %d %s %q, want %d %s %q\n%s", a.request, a.status, a.code, a.message, status, code, message,
			a.body)
	}
	return a
}

// mustStatus checks the status and ends the test when it differs.
func (a *response) mustStatus(status int) *response {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: got %d, want %d\n%s", a.request, a.status, status, a.body)
	}
	return a
}

// field returns the value at a dotted path of the data, or nil.
func (a *response) field(path string) any {
	v := a.data
	for name := range strings.SplitSeq(path, ".") {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	return v
}

// text returns the string at a dotted path of the data, and fails the test when there is none.
func (a *response) text(path string) string {
	a.t.Helper()
	s, ok := a.field(path).(string)
	if !ok {
		a.t.Fatalf("%s: %s: got %v, want a string\n%s", a.request, path, a.field(path), a.body)
	}
	return s
}
