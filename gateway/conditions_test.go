package gateway

import (
	"net/http"
	"strings"
	"testing"
)

// TestConditionsOfAVaultKeyReachTheService checks that the service gets every line of the headers,
// and that the client gets 304 and 412 with the validators.
func TestConditionsOfAVaultKeyReachTheService(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada, events := d.users.signIn(t), d.listen()
	d.vault.answers(func(w http.ResponseWriter, r seen) {
		w.Header().Set("ETag", `"current"`)
		w.Header().Set("Last-Modified", "Sun, 01 Mar 2026 10:00:00 GMT")
		switch {
		case strings.Contains(r.header.Get("If-None-Match"), `"current"`) && r.method != "PUT":
			w.WriteHeader(http.StatusNotModified)
		case r.header.Get("If-Match") != "" || r.header.Get("If-None-Match") != "":
			writeJSON(w, http.StatusPreconditionFailed, map[string]any{"statusCode": 412, "code": "PRECONDITION_FAILED"})
		default:
			writeJSON(w, http.StatusOK, map[string]any{"statusCode": 200, "message": "ok", "data": nil})
		}
	})
	const item, date = "/api/v1/vault/keys/k", "Wed, 21 Oct 2026 07:28:00 GMT"
	for _, c := range []struct {
		method string
		header http.Header
		status int
	}{
		{"GET", http.Header{"If-None-Match": {`"a", "current"`}}, 304},
		{"GET", http.Header{"If-None-Match": {`"a"`, `"current"`}}, 304},
		{"HEAD", http.Header{"If-None-Match": {`"current"`}}, 304},
		{"GET", http.Header{"If-Modified-Since": {date}, "If-Unmodified-Since": {date}}, 200},
		{"PUT", http.Header{"If-Match": {`"a"`, `"b"`}}, 412}, {"DELETE", http.Header{"If-Match": {"*"}}, 412},
		{"PATCH", http.Header{"If-None-Match": {"*"}}, 412},
	} {
		d.vault.got()
		r := d.do(ask{method: c.method, path: item, bearer: ada.token, lines: c.header})
		if r.status != c.status || r.header.Get("ETag") != `"current"` || r.header.Get("Last-Modified") == "" ||
			r.header.Get("X-Request-ID") == "" || c.status == 304 && r.raw != "" {
			t.Errorf("%s with %v: got %d %v %q, want %d", c.method, c.header, r.status, r.header, r.raw, c.status)
		}
		got := d.vault.got()
		if len(got) != 1 {
			t.Fatalf("%s: the service got %d requests, want 1", c.method, len(got))
		}
		for name, lines := range c.header {
			if sent := strings.Join(got[0].header.Values(name), ", "); sent != strings.Join(lines, ", ") {
				t.Errorf("%s: the service got %s: %s, want %s", c.method, name, sent, strings.Join(lines, ", "))
			}
		}
	}
	d.until("the answers are recorded", func() bool {
		var notModified int
		for _, e := range events.of(ada.userID) {
			if e.Status == http.StatusNotModified && e.Path == item {
				notModified++
			}
		}
		return notModified == 3
	})
}
