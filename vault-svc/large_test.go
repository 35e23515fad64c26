package vault

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestLargeValuesAreReadAsWritten(t *testing.T) {
	t.Parallel()
	const unit = 2 << 20 / 50 // scaled down: 50 MB, the default quota, take minutes with the race detector
	s, u := start(t, func(c *Config) { c.QuotaMB = 2 }), user()
	for name, value := range map[string]string{
		"plain":            strings.Repeat("0123456789abcdef", 30*unit/16),
		"all-escaped":      strings.Repeat("\x00\"\\\n", 8*unit/4),
		"three-byte-runes": strings.Repeat("€", 10*unit/3),
	} {
		r := s.call(u, "PUT", "/api/v1/vault/keys/"+name, body(value))
		if got := r.item(t); r.status != 201 || *got.Value != value || got.SizeBytes != int64(len(value)) {
			t.Errorf("%s: write: got %d and %d bytes, want %d", name, r.status, len(*got.Value), len(value))
		}
		r = s.call(u, "GET", "/api/v1/vault/keys/"+name, nil)
		if got := r.item(t); r.status != 200 || *got.Value != value {
			t.Errorf("%s: read: got %d and %d bytes, want %d", name, r.status, len(*got.Value), len(value))
		}
		if r.header.Get("Content-Length") != fmt.Sprint(len(r.raw)) {
			t.Errorf("%s: Content-Length %s of %d bytes", name, r.header.Get("Content-Length"), len(r.raw))
		}
	}
	s.refusedByQuota(u, "more", "", 3*unit)
	s.refusedByQuota(u, "plain", "", 33*unit)
	s.refusedByQuota(u, "more", "", 60*unit)
	s.checkAccounts()
}

func TestAFullyEscapedValueMayFillTheQuota(t *testing.T) {
	t.Parallel()
	s, u := start(t, func(c *Config) { c.QuotaMB, c.MaxBodyMB = 1, 7 }), user()
	spelled := []byte(`{"value":"` + strings.Repeat(`\u0041`, 1<<20) + `"}`)
	if r := s.call(u, "PUT", "/api/v1/vault/keys/k", spelled); r.status != 201 || r.item(t).SizeBytes != 1<<20 {
		t.Fatalf("got %d %.200s", r.status, r.raw)
	}
	if r := s.call(u, "PUT", "/api/v1/vault/keys/k", make([]byte, 7<<20+1)); r.status != 413 ||
		r.Code != "PAYLOAD_TOO_LARGE" {
		t.Errorf("got %d %.200s", r.status, r.raw)
	}
}

func TestTheBodyLimitFollowsTheUsersQuota(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *Config) { c.QuotaMB = 20 })
	for _, c := range []struct {
		name      string
		quota, mb int64
		want      string
	}{
		{"the default quota", 0, 122, "400"},
		{"above it", 0, 123, "413"},
		{"a quota of the user's own", 100, 602, "400"},
		{"above that", 100, 603, "413"},
		{"a small quota: older values may be large", 1, 110, "400"},
		{"above that", 1, 111, "413"},
		{"a quota above the limit of PostgreSQL", 1 << 20, 1000, "400"},
		{"above that", 1 << 20, 1001, "413"},
	} {
		// Most of the body never arrives, so a body within the limit is 400: it is malformed.
		answer, err := s.raw(within(user(), c.quota*megabyte), "PUT /api/v1/vault/keys/k", strings.Repeat("a", 9000),
			c.mb*megabyte)
		if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 "+c.want) {
			t.Errorf("%s, %d MB: got %.60q (%v), want %s", c.name, c.mb, answer, err, c.want)
		}
	}
}

func TestConcurrentLargeValuesWaitForMemory(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *Config) { c.InflightBytes, c.InflightWait = 5<<19, time.Minute })
	value := strings.Repeat("v", 1<<19)
	parallel(t, 8, func(n int) error {
		u := user()
		for _, method := range []string{"PUT", "GET"} {
			var data []byte
			if method == "PUT" {
				data = body(value)
			}
			r, err := s.try(u, method, "/api/v1/vault/keys/k", data)
			if err != nil || r.status > 201 {
				return fmt.Errorf("%s: %d %.200s %w", method, r.status, r.raw, err)
			}
			var i item
			if err := json.Unmarshal(r.Data, &i); err != nil || *i.Value != value {
				return fmt.Errorf("%s: another value came back (%w)", method, err)
			}
		}
		return nil
	})
	if got := s.metric("vault_inflight_bytes"); got != 0 {
		t.Errorf("%v bytes were not given back", got)
	}
}

func TestARequestWithoutMemoryIsAnswered503(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *Config) { c.InflightBytes, c.InflightWait = 2<<20, 50*time.Millisecond })
	u := user()
	s.put(u, "k", "", strings.Repeat("v", 1<<18))

	slow := &trickle{release: make(chan struct{}), head: []byte(`{"value":"`), left: 1 << 20}
	header, err := s.signer.Sign(user(), Name)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		req, err := http.NewRequest("PUT", "http://"+s.addr+"/api/v1/vault/keys/slow", slow)
		if err == nil {
			req.ContentLength = int64(len(slow.head)) + slow.left + 2
			req.Header.Set("X-Realmgate-Identity", header)
			var res *http.Response
			if res, err = http.DefaultTransport.RoundTrip(req); err == nil {
				res.Body.Close()
				if res.StatusCode != 201 {
					err = fmt.Errorf("got %d", res.StatusCode)
				}
			}
		}
		done <- err
	}()
	for s.metric("vault_inflight_bytes") != 2<<20 {
		time.Sleep(5 * time.Millisecond)
	}
	for method, data := range map[string][]byte{"PUT": body(strings.Repeat("w", 1<<18)), "GET": nil} {
		r := s.call(u, method, "/api/v1/vault/keys/k", data)
		if r.status != 503 || r.Code != "SERVICE_UNAVAILABLE" || r.header.Get("Retry-After") != "1" {
			t.Errorf("%s: got %d %.200s, Retry-After %q", method, r.status, r.raw, r.header.Get("Retry-After"))
		}
	}
	if r := s.call(u, "PUT", "/api/v1/vault/keys/small", body("small ones pass")); r.status != 201 {
		t.Errorf("got %d", r.status)
	}
	close(slow.release)
	if err := <-done; err != nil {
		t.Errorf("the one that had the memory: %v", err)
	}
	if r := s.call(u, "GET", "/api/v1/vault/keys/k", nil); r.status != 200 {
		t.Errorf("afterwards: got %d", r.status)
	}
}

// trickle is a request body that sends its first part and waits for release before the rest.
type trickle struct {
	release chan struct{}
	head    []byte
	left    int64
	sent    bool
}

func (r *trickle) Read(p []byte) (int, error) {
	if len(r.head) > 0 {
		n := copy(p, r.head)
		r.head = r.head[n:]
		return n, nil
	}
	if r.left < 3<<18 {
		<-r.release
	}
	if r.left > 0 {
		n := int(min(r.left, int64(len(p))))
		r.left -= int64(n)
		copy(p, bytes.Repeat([]byte{'v'}, n))
		return n, nil
	}
	if !r.sent {
		r.sent = true
		return copy(p, `"}`), nil
	}
	return 0, io.EOF
}

func TestAListMayHaveThousandsOfKeys(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	const n = 3000
	s.put(u, "first", "", "v")
	_, err := s.pool.Exec(t.Context(), `WITH more AS (
		INSERT INTO vault_items SELECT user_id, realm_id, 'k' || n, sealed, version, NULL, NULL, 1, 0
			FROM vault_items, generate_series(2, $1) n RETURNING size_bytes),
		account AS (UPDATE vault_usage SET bytes = $1, items = $1)
		UPDATE vault_realms SET bytes = $1, items = $1`, n)
	if err != nil {
		t.Fatal(err)
	}
	r := s.call(u, "GET", "/api/v1/vault/keys", nil)
	var list []item
	if err := json.Unmarshal(r.Data, &list); err != nil || len(list) != n || list[0].Key != "first" ||
		list[n-1].Key != "k999" {
		t.Fatalf("got %d items (%v)", len(list), err)
	}
	if r := s.call(u, "DELETE", "/api/v1/vault", nil); string(r.Data) != fmt.Sprintf(`{"deleted_count":%d}`, n) {
		t.Errorf("got %s", r.raw)
	}
	s.checkAccounts()
}

// TestMemoryIsFreedAfterLargeValues does not run in parallel, because it measures the heap of the
// whole process.
func TestMemoryIsFreedAfterLargeValues(t *testing.T) {
	s, u := start(t), user()
	value := body(strings.Repeat("v", 2<<20))
	sum := sha256.Sum256(value)
	before := heap()
	for range 3 {
		if r := s.call(u, "PUT", "/api/v1/vault/keys/k", value); r.status > 201 {
			t.Fatalf("got %d", r.status)
		}
		if r := s.call(u, "GET", "/api/v1/vault/keys/k", nil); r.status != 200 {
			t.Fatalf("got %d", r.status)
		}
	}
	if sha256.Sum256(value) != sum {
		t.Error("the test's own body changed")
	}
	client.CloseIdleConnections()
	after := heap()
	deadline := time.Now().Add(testkit.Patience)
	for ; after > before+1<<20 && time.Now().Before(deadline); after = heap() {
		time.Sleep(10 * time.Millisecond) // the goroutines of the connections are still ending
	}
	if after > before+1<<20 {
		t.Errorf("the heap grew from %d to %d KB", before>>10, after>>10)
	}
}

// heap returns the reachable bytes. It collects twice, because a sync.Pool is emptied by the second
// collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
