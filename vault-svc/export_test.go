package vault

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/auth"
)

const exportPath = "/api/v1/vault/export"

// openExport starts an export.
func (s *stack) openExport(as auth.Identity, query string) *http.Response {
	s.t.Helper()
	req, err := http.NewRequest("GET", "http://"+s.addr+exportPath+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	identity, err := s.signer.Sign(as, Name)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set(auth.IdentityHeader, identity)
	res, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { res.Body.Close() })
	return res
}

// exported returns the items of an export, and its last line.
func (s *stack) exported(as auth.Identity, query string) (items []item, last string) {
	s.t.Helper()
	res := s.openExport(as, query)
	if got := res.Header.Get("Content-Type"); res.StatusCode != 200 || got != "application/x-ndjson" {
		s.t.Fatalf("got %d %s, want 200 application/x-ndjson", res.StatusCode, got)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		if last != "" {
			var i item
			if err := json.Unmarshal([]byte(last), &i); err != nil {
				s.t.Fatalf("%.200s: %v", last, err)
			}
			items = append(items, i)
		}
		last = lines.Text()
	}
	if err := lines.Err(); err != nil {
		s.t.Fatal(err)
	}
	return items, last
}

func TestExportHasEveryItem(t *testing.T) {
	t.Parallel()
	s, owner := start(t), user()
	values := map[string]string{"a": "", "a.1": "\x00\n\"é\u2028", "a.2": strings.Repeat("x", smallBody),
		"b.large": strings.Repeat("é", 1<<20),
		"b.small": "v", "c": strings.Repeat("y", smallBody+1)}
	for key, value := range values {
		s.put(owner, key, "", value)
	}
	s.call(owner, "PUT", "/api/v1/vault/keys/meta", []byte(`{"value":"v","metadata":{"m":"\n"}}`))
	values["meta"] = "v"
	s.put(owner, "elsewhere", "?realm_id="+realmA, "v")
	s.put(owner, "trash", "", "v")
	s.call(owner, "DELETE", "/api/v1/vault/keys/trash?recoverable=true", nil)
	for i := range 300 {
		key := fmt.Sprintf("many.%03d", i)
		values[key] = key
		s.put(owner, key, "", key)
	}
	part := scoped(owner, auth.VaultScope{Prefixes: []string{"a.", "many.1"}, ReadOnly: true})
	for _, c := range []struct {
		as    auth.Identity
		query string
		keep  func(key string) bool
	}{
		{owner, "", func(string) bool { return true }},
		{owner, "?prefix=many.", func(key string) bool { return strings.HasPrefix(key, "many.") }},
		{owner, "?prefix=none", func(string) bool { return false }},
		{part, "", func(key string) bool { return strings.HasPrefix(key, "a.") || strings.HasPrefix(key, "many.1") }},
		{part, "?prefix=b", func(string) bool { return false }},
		{user(), "", func(string) bool { return false }},
	} {
		want := 0
		for key := range values {
			if c.keep(key) {
				want++
			}
		}
		items, last := s.exported(c.as, c.query)
		for i, item := range items {
			if item.Value == nil || *item.Value != values[item.Key] || !c.keep(item.Key) || i > 0 && items[i-1].Key >= item.Key {
				t.Errorf("%s: got %.80s after another key, want its value in order of keys", c.query, item.Key)
			}
			if item.Key == "meta" && string(item.Metadata) != `{"m":"\n"}` {
				t.Errorf("metadata: got %s", item.Metadata)
			}
		}
		if got := fmt.Sprintf(`{"complete":true,"count":%d}`, want); len(items) != want || last != got {
			t.Errorf("%s: got %d items and %s, want %s", c.query, len(items), last, got)
		}
	}
	if r := s.call(auth.Identity{Kind: auth.Anonymous}, "GET", exportPath, nil); r.status != 401 {
		t.Errorf("without a user: got %d, want 401", r.status)
	}
	if got := s.metric("vault_inflight_bytes"); got != 0 {
		t.Errorf("got %v bytes reserved afterwards, want none", got)
	}
}

// TestExportThatBreaksOffIsNotComplete damages an item in the middle.
func TestExportThatBreaksOffIsNotComplete(t *testing.T) {
	t.Parallel()
	s, owner := start(t), user()
	for _, key := range []string{"a", "b", "c"} {
		s.put(owner, key, "", strings.Repeat(key, 100<<10))
	}
	if _, err := s.pool.Exec(t.Context(), `UPDATE vault_items SET sealed = 'x' WHERE user_id = $1 AND key = 'b'`,
		owner.UserID); err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(s.openExport(owner, "").Body)
	if err == nil || strings.Contains(string(raw), `"complete"`) {
		t.Errorf("got %d bytes and error %v, want an error of the connection and no last line", len(raw), err)
	}
}

// TestExportOfALargeVaultNeedsLittleMemory reads slowly and counts the reserved bytes.
func TestExportOfALargeVaultNeedsLittleMemory(t *testing.T) {
	t.Parallel()
	s, owner := start(t, func(c *Config) { c.InflightBytes = 32 << 20 }), user()
	const n, size = 40, 1 << 20
	for i := range n {
		s.put(owner, fmt.Sprintf("k%02d", i), "", strings.Repeat("x", size))
	}
	res := s.openExport(owner, "")
	buf, total := make([]byte, 256<<10), 0
	for {
		read, err := res.Body.Read(buf)
		total += read
		if got, most := s.metric("vault_inflight_bytes"), float64(2*memoryCopies*size); got > most {
			t.Fatalf("after %d bytes: got %v bytes reserved, want at most %v", total, got, most)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if total < n*size {
		t.Errorf("got %d bytes, want at least %d", total, n*size)
	}
}
