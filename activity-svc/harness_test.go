package activity

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/pkg/trace"
)

// TestMain runs more tests at once than there are processors: most of them wait most of the time.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	testkit.Main(m)
}

const (
	internalKey = "an internal key of the tests that is long enough"
	patience    = testkit.Patience
)

// clock is the time of day of a service under test; it may be moved.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

// harness is an activity-svc, or several replicas, on dependencies of their own.
type harness struct {
	t      testing.TB
	cfg    Config
	broker *testkit.Broker
	bus    *bus.Conn // of a publisher beside the service
	keys   *auth.InternalKeys
	id     atomic.Pointer[string] // of the installation
	clock  *clock
	traces *trace.Provider // nil: off
	url    string
}

// replica is one running activity-svc.
type replica struct {
	svc     *service.Service
	metrics *prometheus.Registry
	stop    func()
}

// start runs one replica.
func start(t testing.TB, edits ...func(*Config)) (*harness, *replica) {
	t.Helper()
	h := prepare(t, edits...)
	return h, h.run()
}

// migrated is a database with the newest schema, so that services need not bring theirs up to date.
var migrated = testkit.Template{Prepare: func(url string) error {
	return Migrate(context.Background(), Config{DB: databaseConfig(url)},
		service.Runtime{Log: slog.New(slog.DiscardHandler)})
}}

func databaseConfig(url string) db.Config {
	return db.Config{URL: config.Secret(url), MaxConns: 8, Timeout: time.Minute}
}

// database returns the address of a new database of a new installation.
func database(t testing.TB) string {
	t.Helper()
	url := migrated.Copy(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), `UPDATE activity_svc.installation SET id = $1`, id.New(time.Now())); err != nil {
		t.Fatal(err)
	}
	return url
}

// prepare starts the dependencies only.
func prepare(t testing.TB, edits ...func(*Config)) *harness {
	t.Helper()
	h := &harness{t: t, broker: testkit.StartNATS(t), clock: &clock{}}
	if err := config.Defaults(&h.cfg); err != nil && !strings.Contains(err.Error(), "required") {
		t.Fatal(err)
	}
	h.cfg.DB.URL, h.cfg.DB.Migrate = config.Secret(database(t)), false
	h.cfg.Bus.URL = config.Secret(h.broker.URL())
	h.cfg.InternalKeys, h.cfg.Addr, h.cfg.Service.AdminAddr = internalKey, "127.0.0.1:0", "127.0.0.1:0"
	for _, edit := range edits {
		edit(&h.cfg)
	}
	var err error
	if h.keys, err = auth.NewInternalKeys(internalKey, h.clock.now); err != nil {
		t.Fatal(err)
	}
	if h.bus, err = bus.Connect(h.cfg.Bus, "publisher", testkit.Log(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.bus.Close)
	return h
}

// run starts a replica; the harness talks to the last one.
func (h *harness) run() *replica {
	h.t.Helper()
	r := &replica{metrics: prometheus.NewRegistry()}
	svc, err := New(context.Background(), h.cfg,
		service.Runtime{Log: testkit.Log(h.t), Metrics: r.metrics, Traces: h.traces, Now: h.clock.now, Version: "test"})
	if err != nil {
		h.t.Fatal(err)
	}
	h.installation() // while the database is there
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- svc.Run(ctx) }()
	r.svc = svc
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Errorf("activity-svc: %v", err)
		}
	})
	h.t.Cleanup(r.stop)
	h.url = "http://" + svc.Addr()
	return r
}

// openStore returns the store of a migrated database without a service.
func openStore(t testing.TB, url string) *store {
	t.Helper()
	pool, err := db.Open(t.Context(), databaseConfig(url), schema, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &store{pool: pool}
}

// newStore returns the store of a new database.
func newStore(t testing.TB) *store {
	t.Helper()
	return openStore(t, database(t))
}

// newUser returns the identity of a session of a new user.
func newUser() auth.Identity {
	return auth.Identity{Kind: auth.Session, UserID: id.New(time.Now()), SessionID: id.New(time.Now())}
}

// at returns an event of the user at a time.
func at(t time.Time, user auth.Identity, method string, status int) event.Request {
	return event.Request{
		ID: id.New(t), UserID: user.UserID, Method: method, Path: "/api/v1/vault/keys", Status: status,
		IPAddress: "192.0.2.7",
		UserAgent: "test/1",
	}
}

// names are those of the stream of the installation under test.
func (h *harness) names() event.Names { return event.NamesOf(h.installation()) }

func (h *harness) installation() string {
	h.t.Helper()
	if id := h.id.Load(); id != nil {
		return *id
	}
	conn, err := pgx.Connect(context.Background(), h.cfg.DB.URL.Reveal())
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var id string
	if err := conn.QueryRow(context.Background(), `SELECT id FROM activity_svc.installation`).Scan(&id); err != nil {
		h.t.Fatal(err)
	}
	h.id.Store(&id)
	return id
}

// publish puts events into the stream, trying until they are there.
func (h *harness) publish(events ...event.Request) {
	h.t.Helper()
	for _, e := range events {
		b, err := e.Encode()
		if err != nil {
			h.t.Fatal(err)
		}
		h.publishRaw(e.ID, b)
	}
}

func (h *harness) publishRaw(msgID string, b []byte) {
	h.t.Helper()
	h.eventually("publish", func() error {
		f, err := h.bus.Publish(h.names().Subject, msgID, "", b)
		if err != nil {
			return err
		}
		select {
		case <-f.OK:
			return nil
		case err := <-f.Err:
			return err
		}
	})
}

func (h *harness) eventually(what string, f func() error) {
	h.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%s: still %v after %v", what, err, patience)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// drained waits until the stream is empty.
func (h *harness) drained() {
	h.t.Helper()
	h.eventually("the stream is empty", func() error {
		s, err := h.bus.State(context.Background(), h.names().Stream, h.names().Consumer)
		if err == nil && s.Messages > 0 {
			err = fmt.Errorf("%+v", s)
		}
		return err
	})
}

// query runs SQL beside the service.
func (h *harness) query(sql string, args ...any) (n int64) {
	h.t.Helper()
	conn, err := pgx.Connect(context.Background(), h.cfg.DB.URL.Reveal())
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), `SET search_path = `+schema); err != nil {
		h.t.Fatal(err)
	}
	if !strings.HasPrefix(sql, "SELECT") {
		if _, err := conn.Exec(context.Background(), sql, args...); err != nil {
			h.t.Fatal(err)
		}
		return 0
	}
	if err := conn.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// answer is any answer of the service.
type answer struct {
	StatusCode int             `json:"statusCode"`
	Message    string          `json:"message"`
	Code       string          `json:"code"`
	Data       json.RawMessage `json:"data"`
	Metadata   struct {
		Total, Page, Limit, Pages int
	} `json:"metadata"`
	body string
}

func (a answer) records(t testing.TB) (out []Record) {
	t.Helper()
	if a.StatusCode != http.StatusOK {
		t.Fatalf("not a list: %s", a.body)
	}
	if err := json.Unmarshal(a.Data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// file sends a request as get does and returns the answer with its whole body.
func (h *harness) file(user auth.Identity, path string) (*http.Response, string) {
	h.t.Helper()
	req, err := http.NewRequest(http.MethodGet, h.url+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	if user.Kind != "" {
		header, err := h.keys.Sign(user, Name)
		if err != nil {
			h.t.Fatal(err)
		}
		req.Header.Set(auth.IdentityHeader, header)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res, string(body)
}

// get sends a request of the user, without an identity when the user is empty.
func (h *harness) get(user auth.Identity, path string) answer {
	h.t.Helper()
	res, body := h.file(user, path)
	a := answer{body: body}
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		h.t.Fatalf("GET %s: %v: %s", path, err, body)
	}
	if a.StatusCode == 0 {
		a.StatusCode = res.StatusCode
	}
	if a.StatusCode != res.StatusCode {
		h.t.Errorf("GET %s: statusCode %d in a %d", path, a.StatusCode, res.StatusCode)
	}
	return a
}

const logPath = "/api/v1/users/auth/activity"

// outcomes returns activity_events_total by outcome.
func (r *replica) outcomes(t testing.TB) map[outcome]int {
	t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[outcome]int{}
	for _, f := range families {
		if f.GetName() == "activity_events_total" {
			for _, m := range f.GetMetric() {
				out[outcome(m.GetLabel()[0].GetValue())] = int(m.GetCounter().GetValue())
			}
		}
	}
	return out
}
