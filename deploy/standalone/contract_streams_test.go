package main

import (
	"bufio"
	"net/http"
	"strings"
)

// contractStreams follows the vault through the whole product.
func contractStreams(r *running) {
	t, u := r.t, r.user("streams")
	const path = "/api/v1/vault/watch"
	r.get(path+"?realm_id=xyz", u.Token).want(t, "no realm id", 400, "VALIDATION_ERROR")
	r.get(path, "").want(t, "no token", 401, "MISSING_TOKEN")
	r.get(path, u.Token).want(t, "watch", 200, "")
	var open []*bufio.Reader
	for range 5 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+u.Token)
		for { // the place of the watch above is free in a moment
			res, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = res.Body.Close() })
			if res.StatusCode == http.StatusOK {
				open = append(open, bufio.NewReader(res.Body))
				break
			}
			_ = res.Body.Close()
		}
	}
	r.get(path, u.Token).want(t, "the sixth stream", 429, "TOO_MANY_STREAMS")
	r.do("PUT", "/api/v1/vault/keys/followed", u.Token, map[string]any{"value": "v"}).want(t, "put", 201, "")
	r.do("POST", "/api/v1/users/auth/logout", u.Token, nil).want(t, "log out", 200, "")
	for _, stream := range open {
		var got strings.Builder
		if _, err := stream.WriteTo(&got); err != nil {
			t.Errorf("the stream is broken: %v", err)
		}
		if !strings.Contains(got.String(), "event: put\nid: 1\ndata: {\"key\":\"followed\",") ||
			!strings.HasSuffix(got.String(), "event: bye\ndata: {\"reason\":\"revoked\"}\n\n") {
			t.Errorf("the stream is %q", &got)
		}
	}
}
