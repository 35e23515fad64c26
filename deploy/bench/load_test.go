package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// serve starts a server and returns its address.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func plainRequest(int) []request { return []request{{method: "GET", path: "/x"}} }

func TestClosedLoopKeepsItsConnections(t *testing.T) {
	t.Parallel()
	var requests, connections atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		_, _ = w.Write([]byte("hello"))
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	begins := 0
	c, err := httpLoad(s.Listener.Addr().String(), 3, plainRequest, 200).run(t.Context(), 50*time.Millisecond,
		300*time.Millisecond, func(begin bool) {
			if begin {
				begins++
			}
		})
	if err != nil {
		t.Fatal(err)
	}
	if c.Failed != 0 || c.Requests == 0 || c.Requests > requests.Load() {
		t.Errorf("counted %d requests and %d failures, the server saw %d", c.Requests, c.Failed, requests.Load())
	}
	if n := connections.Load(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
	if c.P50 <= 0 || c.P99 < c.P50 || c.Took != 300*time.Millisecond || begins != 1 {
		t.Errorf("p50 %v, p99 %v, took %v, %d beginnings", c.P50, c.P99, c.Took, begins)
	}
}

func TestWarmUpDoesNotCount(t *testing.T) {
	t.Parallel()
	began := time.Now()
	addr := serve(t, func(_ http.ResponseWriter, _ *http.Request) {
		if time.Since(began) < 150*time.Millisecond {
			time.Sleep(100 * time.Millisecond) // slow only during the warm-up
		}
	})
	c, err := httpLoad(addr, 1, plainRequest, 200).run(t.Context(), 300*time.Millisecond, 300*time.Millisecond,
		func(bool) {})
	if err != nil {
		t.Fatal(err)
	}
	if c.P99 > 80*time.Millisecond {
		t.Errorf("p99 is %v: the warm-up was counted", c.P99)
	}
}

// slowWorker takes a fixed time for an operation.
type slowWorker time.Duration

func (w slowWorker) do() (bool, error) { time.Sleep(time.Duration(w)); return true, nil }
func (w slowWorker) close()            {}

// TestSlowOperationsCountAsMuchAsQuickOnes: an operation that is in flight at the start of the
// measured time counts, because it ends in it. If it did not, every connection would lose one, like
// the one in flight at the end, which would put slow subjects and those with many connections at a
// disadvantage.
func TestSlowOperationsCountAsMuchAsQuickOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const workers, each = 8, 4 // they end 100, 200, 300 and 400 ms after the start
		slow := load{conns: workers,
			worker: func(int) (worker, error) { return slowWorker(100 * time.Millisecond), nil }}
		c, err := slow.run(t.Context(), 50*time.Millisecond, 400*time.Millisecond, func(bool) {})
		if err != nil {
			t.Fatal(err)
		}
		if c.Requests != workers*each {
			t.Errorf("%d operations of %d workers counted, want %d", c.Requests, workers, workers*each)
		}
	})
}

func TestUnexpectedStatusesAreFailures(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	addr := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Millisecond)
		if n.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	c, err := httpLoad(addr, 2, plainRequest, 200).run(t.Context(), 0, 200*time.Millisecond, func(bool) {})
	if err != nil {
		t.Fatal(err)
	}
	if c.Failed == 0 || c.Requests == 0 || c.Failed > 2*c.Requests {
		t.Errorf("every second answer is 429, but %d are good and %d are failures", c.Requests, c.Failed)
	}
}

func TestBrokenConnectionsAreOpenedAgain(t *testing.T) {
	t.Parallel()
	addr := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	c, err := httpLoad(addr, 2, plainRequest, 200).run(t.Context(), 0, 200*time.Millisecond, func(bool) {})
	if err != nil || c.Failed != 0 || c.Requests < 4 {
		t.Errorf("%d requests, %d failures, %v; want a new connection for each request", c.Requests, c.Failed, err)
	}
}

// lateWorker takes a fixed time for each operation.
type lateWorker struct {
	took time.Duration
	err  error
	n    *atomic.Int64
}

func (w *lateWorker) do() (bool, error) {
	w.n.Add(1)
	time.Sleep(w.took)
	return w.err == nil, w.err
}

func (w *lateWorker) close() {}

func lateLoad(conns int, rate float64, took time.Duration, err error) (load, *atomic.Int64) {
	n := &atomic.Int64{}
	return load{conns: conns, rate: rate, worker: func(int) (worker, error) { return &lateWorker{took, err, n}, nil }},
		n
}

func TestOpenLoopKeepsItsRate(t *testing.T) {
	t.Parallel()
	l, n := lateLoad(4, 200, 0, nil)
	c, err := l.run(t.Context(), 0, 500*time.Millisecond, func(bool) {})
	if err != nil {
		t.Fatal(err)
	}
	if total := n.Load(); total > 104 || total < 50 {
		t.Errorf("%d operations at 200 a second in half a second", total)
	}
	if c.Requests > 104 {
		t.Errorf("counted %d", c.Requests)
	}
}

func TestOpenLoopLatencyCountsFromTheDueTime(t *testing.T) {
	t.Parallel()
	// Each operation takes 20 ms but is due every 10 ms: the queue grows, and the latency must show
	// it.
	l, _ := lateLoad(1, 100, 20*time.Millisecond, nil)
	c, err := l.run(t.Context(), 0, 500*time.Millisecond, func(bool) {})
	if err != nil {
		t.Fatal(err)
	}
	if c.P99 < 100*time.Millisecond {
		t.Errorf("p99 is %v, although requests waited a quarter of a second for their turn", c.P99)
	}
}

func TestALoadWithoutOneSuccessIsAnError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	l, n := lateLoad(2, 0, 0, broken)
	if _, err := l.run(t.Context(), 0, 200*time.Millisecond, func(bool) {}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if n.Load() > 2*maxFailures {
		t.Errorf("%d operations: a worker that only fails must give up", n.Load())
	}
	if _, err := httpLoad("127.0.0.1:1", 1, plainRequest, 200).run(t.Context(), 0, 50*time.Millisecond,
		func(bool) {}); err == nil {
		t.Error("a server that is not there is no error")
	}
}

func TestTheRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	l, _ := lateLoad(2, 0, time.Millisecond, nil)
	if _, err := l.run(ctx, 0, time.Hour, func(bool) {}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestRequestsAreWrittenAsHTTP(t *testing.T) {
	t.Parallel()
	got := string(request{method: "PUT", path: "/a", header: []string{"X-A: 1"}, body: "{}"}.raw("h:1"))
	want := "PUT /a HTTP/1.1\r\nHost: h:1\r\nUser-Agent: realmgate-bench\r\nAccept: application/json\r\nX-A: 1\r\n" +
		"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
