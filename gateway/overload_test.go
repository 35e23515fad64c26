package gateway

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// A service of a test answers so many requests at once, each in this time: 160 a second. More of
// them wait inside of it.
const (
	capacity    = 16
	serviceTime = 100 * time.Millisecond
	fullRate    = capacity * int(time.Second/serviceTime) // requests a second
)

// startBusyGateway is a gateway with the settings that nobody has changed, before a service of that
// capacity.
func startBusyGateway(t testing.TB) *testGateway {
	t.Helper()
	d := startGateway(t, func(c *Config) {
		c.Limits.User = ratelimit.Rate{Count: 1_000_000, Period: time.Minute}
		c.Service.LogRequests = "errors"
	})
	slots := semaphore.NewWeighted(capacity)
	d.vault.answers(func(w http.ResponseWriter, r seen) {
		_ = slots.Acquire(t.Context(), 1)
		time.Sleep(serviceTime)
		slots.Release(1)
		writeJSON(w, 200, map[string]any{"statusCode": 200, "message": "ok", "data": nil})
	})
	return d
}

// answered is what came back from requests that were sent at a steady rate, whether or not earlier
// ones were answered.
type answered struct {
	mu    sync.Mutex
	took  []time.Duration // of what was served
	shed  int
	other []reply
}

// p99 is the time within which 99 of 100 served requests were answered.
func (a *answered) p99() time.Duration {
	slices.Sort(a.took)
	return a.took[len(a.took)*99/100]
}

// offer sends rate requests a second for a time and returns what came of those sent after the first
// settle of it.
func (d *testGateway) offer(bearer string, rate int, settle, lasts time.Duration) *answered {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4096}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	a, start := &answered{}, time.Now()
	var wait sync.WaitGroup
	for i := 0; ; i++ {
		at := time.Duration(i) * time.Second / time.Duration(rate)
		if at > lasts {
			break
		}
		time.Sleep(time.Until(start.Add(at)))
		wait.Go(func() {
			sent := time.Now()
			req, _ := http.NewRequest("GET", "http://"+d.addr+"/api/v1/vault/keys", nil)
			req.Header.Set("Authorization", "Bearer "+bearer)
			res, err := client.Do(req)
			if err != nil {
				d.t.Error(err)
				return
			}
			_ = res.Body.Close()
			if at >= settle {
				a.note(reply{status: res.StatusCode, header: res.Header}, time.Since(sent))
			}
		})
	}
	wait.Wait()
	return a
}

func (a *answered) note(r reply, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case r.status == 200:
		a.took = append(a.took, took)
	case r.status == 503 && r.header.Get("Retry-After") != "":
		a.shed++
	default:
		a.other = append(a.other, r)
	}
}

// TestTwiceTheLoadIsShedAndTheRestIsServed: the service serves one request for each two that come,
// however fast this machine is. The tests of the bound itself, in which no time passes but their
// own, hold how far it adapts; BenchmarkTwiceTheLoad measures how quickly.
func TestTwiceTheLoadIsShedAndTheRestIsServed(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) {
		c.Limits.User = ratelimit.Rate{}
		c.Service.LogRequests = "errors"
		c.Upstreams.MaxInFlight, c.Upstreams.QueueWait = capacity, time.Second
	})
	slots := make(chan struct{}, 1<<20)
	d.vault.answers(func(w http.ResponseWriter, r seen) {
		<-slots
		writeJSON(w, 200, map[string]any{"statusCode": 200, "message": "ok", "data": nil})
	})
	ada := d.users.signIn(t)
	if got := d.value("upstream_in_flight_limit", "upstream=vault-svc"); got != capacity {
		t.Errorf("without load %v may be worked on at once, want the setting's %d", got, capacity)
	}
	var a answered
	var wait sync.WaitGroup
	sent := 0
	d.until("the overload is noticed", func() bool {
		wait.Go(func() { d.offerOne(&a, ada.token) })
		if sent++; sent%2 == 0 {
			slots <- struct{}{}
		}
		return d.value("upstream_shed_total", "upstream=vault-svc") >= 20
	})
	close(slots) // everybody is served
	wait.Wait()
	if len(a.other) > 0 {
		t.Errorf("other answers than 200, and 503 with Retry-After: %v", a.other)
	}
	if len(a.took) < sent/4 {
		t.Errorf("%d of %d were served", len(a.took), sent)
	}
	if got := d.value("upstream_shed_total", "upstream=vault-svc"); got != float64(a.shed) {
		t.Errorf("%v counted of %d that were shed", got, a.shed)
	}
	if got := d.value("upstream_request_duration_seconds", "upstream=vault-svc"); got != float64(len(a.took)) {
		t.Errorf("%v answers of vault-svc were timed of %d", got, len(a.took))
	}
	if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}); r.status != 200 {
		t.Errorf("after the load: %d %s", r.status, r.raw)
	}
}

// offerOne makes one request and notes its answer.
func (d *testGateway) offerOne(a *answered, bearer string) {
	start := time.Now()
	r, err := d.try(ask{method: "GET", path: "/api/v1/vault/keys", bearer: bearer})
	if err != nil {
		d.t.Error(err)
		return
	}
	a.note(r, time.Since(start))
}

// BenchmarkTwiceTheLoad measures, once the bound has found its place, the 99th percentile of what
// is served at twice the load that the service can serve ÷ that of a service without load (the
// promise is at most 3), and how much of what the service can do is done.
func BenchmarkTwiceTheLoad(b *testing.B) {
	for range b.N {
		d := startBusyGateway(b)
		ada := d.users.signIn(b)
		alone := d.offer(ada.token, 10, 0, 3*time.Second)
		twice := d.offer(ada.token, 2*fullRate, 9*time.Second, 16*time.Second)
		b.ReportMetric(float64(twice.p99())/float64(alone.p99()), "p99/unloaded")
		b.ReportMetric(float64(len(twice.took))/float64(7*fullRate), "served/capacity")
		b.ReportMetric(float64(twice.shed)/float64(7*fullRate), "shed/capacity")
	}
}

// TestTheWayInStaysOpenWhileTheServiceIsBusy: who signs in, and what the gateway itself asks, does
// not stand in the queue.
func TestTheWayInStaysOpenWhileTheServiceIsBusy(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) { c.Upstreams.MaxInFlight, c.Upstreams.QueueWait = 1, 50*time.Millisecond })
	ada := d.users.signIn(t)
	release := make(chan struct{})
	var held atomic.Int64
	d.users.answers(func(w http.ResponseWriter, r seen) {
		if strings.HasSuffix(r.target, "/me") {
			held.Add(1)
			<-release
		}
		d.users.serve(w, r)
	})
	done := make(chan reply, 1)
	go func() {
		r, _ := d.try(ask{method: "GET", path: "/api/v1/users/me", bearer: ada.token})
		done <- r
	}()
	d.until("the service works", func() bool { return held.Load() == 1 })
	r := d.do(ask{method: "GET", path: "/api/v1/users/me", bearer: ada.token})
	if r.status != 503 || r.code != "SERVICE_UNAVAILABLE" || r.header.Get("Retry-After") == "" {
		t.Errorf("over the bound: %d %s", r.status, r.raw)
	}
	if r := d.do(ask{method: "POST", path: "/api/v1/users/auth/login", body: "{}"}); r.status != 200 {
		t.Errorf("sign-in: %d %s", r.status, r.raw)
	}
	bob := d.users.signIn(t) // nobody knows this session yet
	if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: bob.token}); r.status != 200 {
		t.Errorf("a session that must be asked for: %d %s", r.status, r.raw)
	}
	close(release)
	if r := <-done; r.status != 200 {
		t.Errorf("who was let in: %d %s", r.status, r.raw)
	}
}

func TestAnOverloadIsLoggedAndNotEachRefusal(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	d.settings(func(c *Config) { c.Upstreams.MaxInFlight, c.Upstreams.QueueWait = 1, 10*time.Millisecond })
	d.cfg.Service.LogRequests = "errors"
	var lines testkit.Buffer
	d.log = slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelWarn}))
	d.start()
	ada := d.users.signIn(t)
	release := make(chan struct{})
	var held atomic.Bool
	d.vault.answers(func(w http.ResponseWriter, r seen) {
		held.Store(true)
		<-release
		writeJSON(w, 200, map[string]any{"statusCode": 200, "message": "ok", "data": nil})
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = d.try(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token})
	}()
	d.until("the service works", held.Load)
	for range 20 {
		if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}); r.status != 503 {
			t.Errorf("over the bound: %d %s", r.status, r.raw)
		}
	}
	close(release)
	<-done
	// The journal may log in the same time, when the stream of the test is not there yet.
	if got := strings.Count(lines.String(), "upstream=vault-svc"); got != 1 {
		t.Errorf("%d lines for one overload:\n%s", got, lines.String())
	}
}

func TestWhatHasNotHappenedYetIsCounted(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	families, err := d.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]int{}
	for _, f := range families {
		series[f.GetName()] = len(f.GetMetric())
	}
	for _, name := range []string{"upstream_failures_total", "upstream_retries_total", "upstream_shed_total",
		"upstream_breakers_open", "upstream_in_flight", "upstream_late_seconds", "upstream_request_duration_seconds"} {
		if series[name] != 3 {
			t.Errorf("%s has %d series, want one for each service: alerts need a rate from the first on", name, series[name])
		}
	}
}
