package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"slices"
	"sync"
	"testing"
	"time"

	"github.com/realmgate/realmgate/gateway/internal/journal"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/testkit"

	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/ratelimit"
)

// BenchmarkJournalShare measures what the journal takes of the gateway's throughput: the time of an
// append ÷ the time of a whole request, both with the CPUs used up by the same number of
// goroutines, in turn in one run. "share" is the median; the promise is below 0.10.
func BenchmarkJournalShare(b *testing.B) {
	addr := benchService(b)
	d := startGateway(b, func(c *Config) {
		c.Upstreams.Vault, c.Service.LogRequests, c.Limits.User = "http://"+addr, "errors",
			ratelimit.Rate{Count: 100_000_000, Period: time.Minute}
	})
	d.listen()
	token := d.users.signIn(b).token
	client := &fasthttp.HostClient{Addr: d.addr, MaxConns: 256}
	request := func() bool {
		req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		defer fasthttp.ReleaseRequest(req)
		defer fasthttp.ReleaseResponse(resp)
		req.SetRequestURI("http://" + d.addr + "/api/v1/vault/keys")
		req.Header.Set("Authorization", "Bearer "+token)
		return client.Do(req, resp) == nil && resp.StatusCode() == 200
	}
	j, err := journal.Open(journal.Config{Dir: b.TempDir(), MaxBytes: 1 << 40, Mode: journal.ModeBestEffort},
		testkit.Log(b), prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = j.Close() })
	now := time.Now()
	e := event.Request{ID: id.New(now), UserID: id.New(now), Method: "GET", Path: "/api/v1/vault/keys", Status: 200,
		IPAddress: "192.0.2.1"}
	write := func() bool { return j.Append(e) == nil }
	const goroutines, each = 64, 200
	timed := func(f func() bool) time.Duration { return inParallel(b, goroutines, each, f) }
	timed(request) // warm-up
	timed(write)
	var shares []float64
	var requests, writes time.Duration
	b.ResetTimer()
	for range max(5, b.N) {
		whole, part := timed(request), timed(write)
		requests, writes = requests+whole, writes+part
		shares = append(shares, float64(part)/float64(whole))
	}
	b.StopTimer()
	slices.Sort(shares)
	n := float64(len(shares) * goroutines * each)
	b.ReportMetric(shares[len(shares)/2], "share")
	b.ReportMetric(float64(requests)/n, "ns/request")
	b.ReportMetric(float64(writes)/n, "ns/append")
	b.ReportMetric(0, "ns/op")
}

// inParallel returns how long goroutines take that each call f a number of times.
func inParallel(b *testing.B, goroutines, calls int, f func() bool) time.Duration {
	var all sync.WaitGroup
	began := time.Now()
	for range goroutines {
		all.Go(func() {
			for range calls {
				if !f() {
					b.Error("refused")
					return
				}
			}
		})
	}
	all.Wait()
	return time.Since(began)
}
