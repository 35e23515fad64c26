package gateway

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/realmgate/realmgate/pkg/ratelimit"
)

// TestHealthzSaysWhetherTheGatewayCanServe, however often it is asked and however the services are,
// until it stops.
func TestHealthzSaysWhetherTheGatewayCanServe(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) {
		c.Limits.Address = ratelimit.Rate{Count: 1, Period: time.Hour}
		c.Service.DrainDelay = 5 * time.Second
	})
	d.vault.Close()
	d.users.Close()
	for _, method := range []string{"GET", "HEAD", "GET", "GET"} {
		r := d.do(ask{method: method, path: "/healthz", bearer: "junk"})
		if r.status != http.StatusOK || r.header.Get("Cache-Control") != "no-store" || r.header.Get("RateLimit-Limit") != "" {
			t.Errorf("%s /healthz: %d %v", method, r.status, r.header)
		}
	}
	if r := d.do(ask{method: "POST", path: "/healthz"}); r.status != http.StatusMethodNotAllowed {
		t.Errorf("POST /healthz: %d", r.status)
	}
	var stop sync.WaitGroup
	stop.Go(d.stop)
	d.until("/healthz says that it stops, while it serves", func() bool {
		r := d.do(ask{method: "GET", path: "/healthz"})
		return r.status == http.StatusServiceUnavailable && r.code == "SERVICE_UNAVAILABLE"
	})
	stop.Wait()
}

// TestHealthIsCheckedOnceASecond for all who ask, and nobody waits for a check that hangs.
func TestHealthIsCheckedOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var checks atomic.Int64
		var status atomic.Int64
		status.Store(http.StatusOK)
		slow := make(chan struct{}, 1)
		h := &health{now: time.Now, check: func(context.Context) (int, map[string]string) {
			checks.Add(1)
			<-slow
			return int(status.Load()), nil
		}}
		slow <- struct{}{}
		for range 2 {
			if !h.ok(t.Context()) {
				t.Fatal("got unhealthy, want healthy")
			}
		}
		if n := checks.Load(); n != 1 {
			t.Fatalf("got %d checks, want 1", n)
		}
		status.Store(http.StatusServiceUnavailable)
		time.Sleep(healthAge)
		var first sync.WaitGroup
		first.Go(func() {
			if h.ok(t.Context()) {
				t.Error("the check failed")
			}
		})
		synctest.Wait()
		for range 100 {
			if !h.ok(t.Context()) {
				t.Error("somebody does not get the last finding while a check is under way")
			}
		}
		slow <- struct{}{}
		first.Wait()
		if h.ok(t.Context()) || checks.Load() != 2 {
			t.Errorf("%d checks, want 2 and the second's finding", checks.Load())
		}
	})
}
