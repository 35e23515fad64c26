package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/testkit"
)

const (
	watchPath  = "/api/v1/vault/watch"
	exportPath = "/api/v1/vault/export"
)

// streamService is vault-svc as far as its streams go.
type streamService struct {
	*httpx.Server
	url    string
	stop   func()
	events chan string   // sent to every open stream as the data of a put
	finish chan error    // ends an export
	open   atomic.Int64  // streams
	last   chan string   // Last-Event-ID of every stream
	done   chan struct{} // the server has ended
}

func startStreamService(t testing.TB) *streamService {
	t.Helper()
	s := &streamService{events: make(chan string), finish: make(chan error), last: make(chan string, 100),
		done: make(chan struct{})}
	s.Server = httpx.New(httpx.Options{Name: "vault-svc", Log: testkit.Log(t), Identities: testKeys(t, "vault-svc")})
	s.Get(watchPath, s.watch)
	s.Get(exportPath, s.export)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.done)
		if err := s.Serve(ln); err != nil {
			t.Error(err)
		}
	}()
	var once sync.Once
	s.stop = func() {
		once.Do(func() {
			ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
			defer cancel()
			if err := s.Stop(ctx); err != nil {
				t.Error(err)
			}
			<-s.done
		})
	}
	t.Cleanup(s.stop)
	s.url = "http://" + ln.Addr().String()
	return s
}

func (s *streamService) watch(c *fiber.Ctx) error {
	switch c.Query("prefix") {
	case "invalid":
		return apperr.InvalidField("/prefix", "must be valid")
	case "html":
		c.Set("Content-Type", "text/html")
		return c.SendString("<p>")
	}
	last, _ := httpx.LastEventID(c)
	flood := c.Query("prefix") == "flood"
	return httpx.Events(c, func(ctx context.Context, w *httpx.EventWriter) error {
		s.open.Add(1)
		defer s.open.Add(-1)
		select {
		case s.last <- last:
		default: // only a few tests look
		}
		for flood && ctx.Err() == nil {
			if err := w.Send("put", "1", strings.Repeat("x", 4000)); err != nil {
				return err
			}
		}
		_ = w.Sync("41")
		tick := httpx.NewSyncTimer()
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case data := <-s.events:
				if data == "break" {
					return errors.New("broken")
				}
				_ = w.Send("put", "42", data)
			case <-tick.C:
				_ = w.Sync("41")
				tick.Next()
			}
		}
	})
}

func (s *streamService) export(c *fiber.Ctx) error {
	c.Set("Content-Disposition", `attachment; filename="a.ndjson"`)
	return httpx.Stream(c, "application/x-ndjson", func(ctx context.Context, w *httpx.StreamWriter) error {
		_, _ = io.WriteString(w, strings.Repeat("x", 100_000)+"\n")
		if err := w.Flush(); err != nil {
			return err
		}
		select {
		case err := <-s.finish:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}

// startStreaming starts a gateway before a streamService.
func startStreaming(t testing.TB, change ...func(*Config)) (*testGateway, *streamService) {
	t.Helper()
	s := startStreamService(t)
	return startGateway(t, append([]func(*Config){func(c *Config) { c.Upstreams.Vault = s.url }}, change...)...), s
}

// sse is an open stream of a client.
type sse struct {
	*http.Response
	t testing.TB
	r *bufio.Reader
}

func (d *testGateway) follow(path, authorization string, header ...string) *sse {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), "GET", "http://"+d.addr+path, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Authorization", authorization)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{}
	res, err := transport.RoundTrip(req)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = res.Body.Close(); transport.CloseIdleConnections() })
	return &sse{Response: res, t: d.t, r: bufio.NewReader(res.Body)}
}

// opened follows the watch and reads until its first sync.
func (d *testGateway) opened(authorization string) *sse {
	d.t.Helper()
	s := d.follow(watchPath, authorization)
	if s.StatusCode != 200 {
		d.t.Fatalf("the stream is answered %d", s.StatusCode)
	}
	s.until("event: sync")
	s.until("")
	return s
}

// until reads to the line.
func (s *sse) until(line string) {
	s.t.Helper()
	for {
		got, err := s.r.ReadString('\n')
		if err != nil {
			s.t.Fatalf("the stream ended before %q: %v", line, err)
		}
		if strings.TrimSuffix(got, "\n") == line {
			return
		}
	}
}

// rest reads to the end of the stream.
func (s *sse) rest() (string, error) {
	raw, err := io.ReadAll(s.r)
	return string(raw), err
}

// ends checks that the stream ends with a bye event and completely.
func (s *sse) ends(reason string) {
	s.t.Helper()
	got, err := s.rest()
	if want := "event: bye\ndata: {\"reason\":\"" + reason + "\"}\n\n"; err != nil || !strings.HasSuffix(got, want) {
		s.t.Errorf("the stream ends with %q, %v, want bye %s", got, err, reason)
	}
}
