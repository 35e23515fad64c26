package vault

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/vault-svc/internal/memory"
)

// deaf sends a request and never reads the answer. The connection closes at the end of the test,
// unless the test closes it before.
func (s *stack) deaf(i auth.Identity, method, path string, body []byte) net.Conn {
	s.t.Helper()
	header, err := s.signer.Sign(i, Name)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	_ = c.(*net.TCPConn).SetReadBuffer(4096)
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: vault\r\n%s: %s\r\nContent-Length: %d\r\n\r\n%s", method, path,
		auth.IdentityHeader, header, len(body), body); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// holds waits until right accepts the number of bytes that are reserved for large values.
func (s *stack) holds(what string, right func(bytes float64) bool) {
	s.t.Helper()
	deadline := time.Now().Add(testkit.Patience)
	for ; !right(s.metric("vault_inflight_bytes")); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: %v bytes are held", what, s.metric("vault_inflight_bytes"))
		}
	}
}

func TestAClientThatReadsNoAnswersDelaysOnlyItself(t *testing.T) {
	t.Parallel()
	// A value must be larger than the buffers of a connection (tcp_wmem, 4 MB).
	const large, capacity = 6 << 20, 4 * memoryCopies * (6<<20 + 1024)
	const larger = large + large/4
	s := start(t, func(c *Config) { c.InflightBytes, c.InflightWait = capacity, 2*time.Second })
	eve, ann := user(), user()
	s.put(eve, "large", "", strings.Repeat("v", large))
	s.put(ann, "k", "", strings.Repeat("v", 100<<10))
	for range 8 {
		s.deaf(eve, "GET", "/api/v1/vault/keys/large", nil)
	}
	s.holds("eve's values are on their way", func(bytes float64) bool { return bytes >= large })
	for range 5 {
		for method, data := range map[string][]byte{"GET": nil, "PUT": body(strings.Repeat("w", 100<<10))} {
			if r := s.call(ann, method, "/api/v1/vault/keys/k", data); r.status != 200 {
				t.Errorf("%s beside eve's: %d %.200s", method, r.status, r.raw)
			}
		}
		if got := s.metric("vault_inflight_bytes"); got > capacity/memory.UserShare+1<<20 {
			t.Errorf("eve's values hold %v bytes, a share is %d", got, capacity/memory.UserShare)
		}
	}
	s.holds("only the one that is on its way", func(bytes float64) bool { return bytes < 2*large })
	if r := s.call(eve, "GET", "/api/v1/vault/keys/large", nil); r.status != 503 || r.Code != "SERVICE_UNAVAILABLE" ||
		r.header.Get("Retry-After") != "1" {
		t.Errorf("another value of eve's, which exceeds her share: %d %.200s", r.status, r.raw)
	}
	for range 3 { // each value is larger than the user's share
		if r := s.call(ann, "PUT", "/api/v1/vault/keys/larger", body(strings.Repeat("w", larger))); r.status > 201 {
			t.Errorf("got %d %.200s", r.status, r.raw)
		}
		if r := s.call(ann, "GET", "/api/v1/vault/keys/larger", nil); r.status != 200 {
			t.Errorf("got %d %.200s", r.status, r.raw)
		}
	}
}

func TestAnUnreadAnswerReservesOnlyItsOwnSize(t *testing.T) {
	t.Parallel()
	const size = 6 << 20
	s, u := start(t), user()
	value := body(strings.Repeat("v", size))
	s.put(u, "k", "", strings.Repeat("v", size))
	for method, data := range map[string][]byte{"GET": nil, "PUT": value} {
		c := s.deaf(u, method, "/api/v1/vault/keys/k", data)
		s.holds(method+" reserves only its answer",
			func(bytes float64) bool { return bytes >= size && bytes < size+size/8 })
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		s.holds(method+" has ended", func(bytes float64) bool { return bytes == 0 })
	}
}
