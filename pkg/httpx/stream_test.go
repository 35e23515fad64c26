package httpx

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// follow sends GET path and returns the answer with its open body.
func follow(t *testing.T, addr, path string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := (&http.Transport{}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func TestAnEventStreamHasRetryEventsAndAnEnd(t *testing.T) {
	t.Parallel()
	addr, _ := serve(t, Options{ReadTimeout: 300 * time.Millisecond, RequestTimeout: time.Millisecond}, func(s *Server) {
		s.Get("/events", func(c *fiber.Ctx) error {
			last, ok := LastEventID(c)
			return Events(c, func(ctx context.Context, w *EventWriter) error {
				if ok {
					_ = w.Send(EventReset, last, struct{}{})
				}
				for i := range 3 {
					select {
					case <-ctx.Done():
						return context.Cause(ctx)
					case <-time.After(200 * time.Millisecond): // together longer than every timeout
					}
					_ = w.Send("put", fmt.Sprint(i), map[string]string{"key": "a\nb"})
				}
				return w.Sync("7")
			})
		})
	})
	res := follow(t, addr, "/events", "Last-Event-ID", "41")
	body, err := io.ReadAll(res.Body)
	want := "retry: 1000\n\nevent: reset\nid: 41\ndata: {}\n\n"
	for i := range 3 {
		want += fmt.Sprintf("event: put\nid: %d\ndata: {\"key\":\"a\\nb\"}\n\n", i)
	}
	want += "event: sync\nid: 7\ndata: {\"id\":\"7\"}\n\n"
	if err != nil || string(body) != want {
		t.Errorf("got %q, %v, want %q", body, err, want)
	}
	if got := res.Header.Get("Content-Type"); got != TypeEvents || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the headers are %v", res.Header)
	}
	if head := request(t, addr, "HEAD", "/events", ""); head.status != 200 || head.body != "" ||
		head.header.Get("Content-Type") != TypeEvents {
		t.Errorf("HEAD: %d %q %v", head.status, head.body, head.header)
	}
}

func TestAnExportIsCompleteOrBroken(t *testing.T) {
	t.Parallel()
	row := strings.Repeat("x", 999) + "\n"
	export := func(end func() error) fiber.Handler {
		return func(c *fiber.Ctx) error {
			return Stream(c, "application/x-ndjson", func(_ context.Context, w *StreamWriter) error {
				for range 1000 {
					if _, err := io.WriteString(w, row); err != nil {
						return err
					}
				}
				return end()
			})
		}
	}
	addr, _ := serve(t, Options{}, func(s *Server) {
		s.Get("/whole", export(func() error { return nil }))
		s.Get("/broken", export(func() error { return errors.New("the database is away") }))
		s.Get("/panic", export(func() error { panic("in the middle") }))
		s.Get("/refused", func(c *fiber.Ctx) error {
			_ = export(nil)(c)
			return errors.New("after all")
		})
	})
	body, err := io.ReadAll(follow(t, addr, "/whole").Body)
	if err != nil || !bytes.Equal(body, []byte(strings.Repeat(row, 1000))) {
		t.Errorf("got %d bytes, %v", len(body), err)
	}
	for _, path := range []string{"/broken", "/panic"} {
		if body, err := io.ReadAll(follow(t, addr, path).Body); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: got %d bytes and %v, want an unexpected end", path, len(body), err)
		}
	}
	if a := request(t, addr, "GET", "/refused", ""); a.status != 500 || a.wire.Code != "INTERNAL_ERROR" {
		t.Errorf("got %d %s", a.status, a.body)
	}
	for path, broken := range map[string]bool{"/whole": false, "/broken": true} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %s HTTP/1.0\r\nHost: h\r\n\r\n", path)
		raw, err := io.ReadAll(c)
		_ = c.Close()
		if bytes.Contains(raw, []byte("chunked")) || (err != nil) != broken ||
			!broken && !bytes.HasSuffix(raw, []byte("\r\n\r\n"+strings.Repeat(row, 1000))) {
			t.Errorf("HTTP/1.0 %s: %d bytes, %v", path, len(raw), err)
		}
	}
}

func TestAStopEndsEventStreamsAndWaitsForExports(t *testing.T) {
	t.Parallel()
	finish, began := make(chan struct{}), make(chan struct{}, 2)
	addr, s := serve(t, Options{}, func(s *Server) {
		s.Get("/events", func(c *fiber.Ctx) error {
			return Events(c, func(ctx context.Context, _ *EventWriter) error {
				began <- struct{}{}
				<-ctx.Done()
				return context.Cause(ctx)
			})
		})
		s.Get("/export", func(c *fiber.Ctx) error {
			return Stream(c, "text/csv", func(ctx context.Context, w *StreamWriter) error {
				_, _ = io.WriteString(w, "a\r\n")
				_ = w.Flush()
				began <- struct{}{}
				select {
				case <-finish:
				case <-ctx.Done():
					t.Errorf("the export ended: %v", context.Cause(ctx))
				}
				return nil
			})
		})
	})
	events, export := follow(t, addr, "/events"), follow(t, addr, "/export")
	<-began
	<-began
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(t.Context()) }()
	body, err := io.ReadAll(events.Body)
	if want := "event: bye\ndata: {\"reason\":\"draining\"}\n\n"; err != nil || !strings.HasSuffix(string(body), want) {
		t.Errorf("the events end with %q, %v, want %q", body, err, want)
	}
	close(finish)
	if body, err := io.ReadAll(export.Body); err != nil || string(body) != "a\r\n" {
		t.Errorf("the export is %q, %v", body, err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestAStopBreaksOffAnExportThatTakesTooLong(t *testing.T) {
	t.Parallel()
	addr, s := serve(t, Options{}, func(s *Server) {
		s.Get("/export", func(c *fiber.Ctx) error {
			return Stream(c, "text/csv", func(ctx context.Context, w *StreamWriter) error {
				_, _ = io.WriteString(w, "a\r\n")
				_ = w.Flush()
				<-ctx.Done()
				return context.Cause(ctx)
			})
		})
	})
	export := follow(t, addr, "/export")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	if body, err := io.ReadAll(export.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the export is %q, %v, want an unexpected end", body, err)
	}
}

// TestAStreamEndsWhenItsClientLeavesOrDoesNotRead and is logged and counted then.
func TestAStreamEndsWhenItsClientLeavesOrDoesNotRead(t *testing.T) {
	t.Parallel()
	var log testkit.Buffer
	metrics := prometheus.NewRegistry()
	s := New(Options{Name: "test", Log: slog.New(slog.NewTextHandler(&log, nil)), Metrics: metrics})
	s.eventTimeout = 50 * time.Millisecond
	ended := make(chan EndReason, 2)
	s.Get("/events", func(c *fiber.Ctx) error {
		err := Events(c, func(ctx context.Context, w *EventWriter) error {
			for ctx.Err() == nil {
				_ = w.Send("put", "1", strings.Repeat("x", 10_000))
			}
			return nil
		})
		OnStreamEnd(c, func(_ time.Duration, reason EndReason) { ended <- reason })
		return err
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	slow := follow(t, ln.Addr().String(), "/events")
	if got := <-ended; got != EndSlow {
		t.Errorf("got %q, want slow", got)
	}
	// The sockets may have taken in the last event, when they got room for it late.
	if body, err := io.ReadAll(slow.Body); err == nil && !strings.HasSuffix(string(body), "{\"reason\":\"slow\"}\n\n") {
		t.Errorf("the slow client's stream looks complete: it ends with %q", body[max(0, len(body)-99):])
	}
	gone := follow(t, ln.Addr().String(), "/events")
	if line, err := bufio.NewReader(gone.Body).ReadString('\n'); line != "retry: 1000\n" {
		t.Errorf("got %q, %v", line, err)
	}
	_ = gone.Body.Close()
	if got := <-ended; got != EndClient {
		t.Errorf("got %q, want client", got)
	}
	if err := errors.Join(s.Stop(t.Context()), <-done); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), " msg=request "); n != 2 {
		t.Errorf("%d log lines:\n%s", n, &log)
	}
	for reason, want := range map[EndReason]float64{EndSlow: 1, EndClient: 1, EndDraining: 0} {
		if got := testutil.ToFloat64(s.metrics.streams.ends.WithLabelValues(kindEvents, string(reason))); got != want {
			t.Errorf("%v streams ended with %s, want %v", got, reason, want)
		}
	}
	if got := testutil.ToFloat64(s.metrics.streams.open.WithLabelValues(kindEvents)); got != 0 {
		t.Errorf("%v streams are open", got)
	}
}
