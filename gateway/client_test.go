package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// ask is a request of a test.
type ask struct {
	method, path, bearer, authorization, host, body string
	header                                          map[string]string
	lines                                           http.Header // headers of several lines
}

// reply is its answer.
type reply struct {
	status  int
	header  http.Header
	raw     string
	code    string
	message string
	failure struct {
		StatusCode int
		Error      string
		Data       json.RawMessage
	}
}

func (d *testGateway) do(a ask) reply {
	d.t.Helper()
	r, err := d.try(a)
	if err != nil {
		d.t.Fatalf("%s %s: %v", a.method, a.path, err)
	}
	return r
}

func (d *testGateway) try(a ask) (reply, error) {
	var body io.Reader
	if a.body != "" {
		body = strings.NewReader(a.body)
	}
	req, err := http.NewRequest(a.method, "http://"+d.addr+a.path, body)
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	if a.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+a.bearer)
	}
	if a.authorization != "" {
		req.Header.Set("Authorization", a.authorization)
	}
	if a.host != "" {
		req.Host = a.host
	}
	if strings.HasPrefix(a.path, "/console/session") && a.header["X-Realmgate-Console"] == "" { // as the console does
		for k, v := range map[string]string{"X-Realmgate-Console": "1", "Sec-Fetch-Site": "same-origin",
			"Cookie": "realmgate=token"} {
			req.Header.Set(k, v)
		}
	}
	for k, v := range a.header {
		req.Header.Set(k, v)
	}
	maps.Copy(req.Header, a.lines)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return reply{}, err
	}
	out := reply{status: res.StatusCode, header: res.Header, raw: string(raw)}
	var envelope struct {
		StatusCode           int
		Error, Code, Message string
		Data                 json.RawMessage
	}
	_ = json.Unmarshal(raw, &envelope)
	out.code, out.message = envelope.Code, envelope.Message
	out.failure.StatusCode, out.failure.Error, out.failure.Data = envelope.StatusCode, envelope.Error, envelope.Data
	return out, nil
}

// wire sends bytes as they are and returns everything that comes back until the gateway closes or
// the time is over.
func (d *testGateway) wire(text string) string {
	d.t.Helper()
	return d.send(text, false)
}

// wireAll is wire by a client that then closes its side.
func (d *testGateway) wireAll(text string) string {
	d.t.Helper()
	return d.send(text, true)
}

func (d *testGateway) send(text string, all bool) string {
	d.t.Helper()
	c, err := net.Dial("tcp", d.addr)
	if err != nil {
		d.t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		d.t.Fatal(err)
	}
	if all {
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			d.t.Fatal(err)
		}
	}
	_ = c.SetReadDeadline(time.Now().Add(testkit.Patience))
	var out bytes.Buffer
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		out.Write(buf[:n])
		if err != nil {
			return out.String()
		}
	}
}

// listener collects the events that JetStream gets, each once: as activity-svc, it knows by its id
// one that comes again, because the shipper or JetStream did not hear in time that it had arrived.
type listener struct {
	mu     sync.Mutex
	events []event.Request
	known  map[string]bool
	again  int
}

// listen makes the stream and reads it until the test ends.
func (d *testGateway) listen() *listener {
	d.t.Helper()
	l := &listener{known: map[string]bool{}}
	conn, err := bus.Connect(bus.Config{URL: config.Secret(d.broker.URL())}, "test", testkit.Log(d.t))
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	d.t.Cleanup(func() { cancel(); wait.Wait(); conn.Close() })
	names := event.NamesOf(testInstallation)
	stream := bus.StreamConfig{Name: names.Stream, Subjects: []string{names.Subject}, DupWindow: 2 * time.Minute,
		Owner: testInstallation}
	d.until("the stream is made", func() bool { return conn.EnsureStream(ctx, stream) == nil })
	wait.Go(func() {
		_ = conn.Consume(ctx, bus.ConsumerConfig{Stream: stream, Durable: names.Consumer, MaxBatch: 100,
			MaxWait: 10 * time.Millisecond, AckWait: 5 * time.Second},
			func(_ context.Context, batch []bus.Message) error {
				for _, m := range batch {
					for data := range event.Split(m.Data) {
						e, err := event.Decode(data)
						if err != nil {
							return fmt.Errorf("the gateway sent an event that cannot be stored: %w", err)
						}
						l.add(e)
					}
					_ = m.Ack()
				}
				return nil
			})
	})
	return l
}

func (l *listener) add(e event.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known[e.ID] {
		l.again++
		return
	}
	l.known[e.ID] = true
	l.events = append(l.events, e)
}

// twice returns how many events came once more.
func (l *listener) twice() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.again
}

func (l *listener) of(userID string) []event.Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []event.Request
	for _, e := range l.events {
		if e.UserID == userID {
			out = append(out, e)
		}
	}
	return out
}
