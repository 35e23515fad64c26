package vault

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const key = "/api/v1/vault/keys/k"

// refused fails the test unless r is 412 with the validators of the current item, or without them
// when etag is "".
func (s *stack) refused(what string, r reply, etag string) {
	s.t.Helper()
	if r.status != 412 || r.Code != "PRECONDITION_FAILED" || r.header.Get("ETag") != etag ||
		(r.header.Get("Last-Modified") == "") != (etag == "") {
		s.t.Errorf("%s: got %d %s with ETag %s, want 412 with %q", what, r.status, r.raw, r.header.Get("ETag"), etag)
	}
}

func TestConditionsDecideWhetherAnItemIsReadOrChanged(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	for _, method := range []string{"PUT", "PATCH", "DELETE"} {
		s.refused(method+" of an absent key", s.call(u, method, key, body("v"), "If-Match: *"), "")
		s.refused(method+" of an absent key", s.call(u, method, key, body("v"), `If-Match: "a"`), "")
	}
	if r := s.call(u, "DELETE", key, nil, "If-None-Match: *"); r.status != 404 {
		t.Errorf("delete if absent: got %d, want 404", r.status)
	}
	created := s.call(u, "PUT", key, body("v"), "If-None-Match: *")
	etag, modified := created.header.Get("ETag"), created.header.Get("Last-Modified")
	if created.status != 201 || len(etag) < 3 || etag[0] != '"' || created.item(t).Version != 1 {
		t.Fatalf("create: got %d, ETag %q, %s", created.status, etag, created.raw)
	}
	at, err := http.ParseTime(modified)
	if err != nil || at.Format("2006-01-02T15:04:05") != created.item(t).UpdatedAt[:19] {
		t.Errorf("Last-Modified is %q, the item says %s", modified, created.item(t).UpdatedAt)
	}
	past, future := at.Add(-time.Minute).Format(http.TimeFormat), at.Add(time.Minute).Format(http.TimeFormat)
	for _, method := range []string{"GET", "HEAD"} {
		for header, status := range map[string]int{
			"": 200, "If-None-Match: " + etag: 304, `If-None-Match: "a", W/` + etag: 304, "If-None-Match: *": 304,
			`If-None-Match: "a"`: 200, "If-Modified-Since: " + modified: 304, "If-Modified-Since: " + past: 200,
			"If-Match: " + etag: 200, "If-Unmodified-Since: " + past: 412, `If-Match: "a"`: 412, "If-Match: *": 200,
		} {
			var lines []string
			if header != "" {
				lines = []string{header}
			}
			r := s.call(u, method, key, nil, lines...)
			if r.status != status || r.header.Get("ETag") != etag || r.header.Get("Last-Modified") != modified ||
				status == 304 && len(r.raw) > 0 {
				t.Errorf("%s with %s: got %d %q, want %d", method, header, r.status, r.raw, status)
			}
		}
	}
	for _, header := range []string{`If-Match: "a"`, "If-Match: W/" + etag, "If-None-Match: *", "If-None-Match: W/" + etag,
		`If-None-Match: "a",` + etag, "If-Unmodified-Since: " + past} {
		for _, method := range []string{"PUT", "PATCH", "DELETE"} {
			s.refused(method+" with "+header, s.call(u, method, key, body("w"), header), etag)
		}
	}
	written := s.call(u, "PUT", key, body("w"), `If-Match: "a", `+etag, "If-Unmodified-Since: "+past)
	if written.status != 200 || written.item(t).Version != 2 || written.header.Get("ETag") == etag {
		t.Errorf("write with the current tag: got %d %s, tag %s", written.status, written.raw, written.header.Get("ETag"))
	}
	if r := s.call(u, "DELETE", key, nil, "If-Unmodified-Since: "+future); r.status != 200 {
		t.Errorf("delete what has not changed: got %d %s", r.status, r.raw)
	}
	if again := s.call(u, "PUT", key, body("v"), "If-Unmodified-Since: "+past); again.status != 201 ||
		again.header.Get("ETag") == etag || again.item(t).Version != 1 {
		t.Errorf("create again: got %d %s, tag %s", again.status, again.raw, again.header.Get("ETag"))
	}
	s.checkAccounts()
}

func TestAMalformedConditionIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	s.put(u, "k", "", "v")
	for _, path := range []string{key, key + "-absent"} {
		for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
			for _, header := range []string{"If-Match: v", "If-Match: ", `If-None-Match: "a`, "If-Unmodified-Since: today",
				"If-Modified-Since: 0", `If-Match: *, "a"`} {
				r := s.call(u, method, path, body("w"), header)
				name, _, _ := strings.Cut(header, ":")
				if r.status != 400 || r.Code != "VALIDATION_ERROR" || !strings.Contains(string(r.Data), `"/`+name+`"`) {
					t.Errorf("%s %s with %s: got %d %s, want 400", method, path, header, r.status, r.raw)
				}
			}
		}
	}
	if got := s.call(u, "GET", key, nil).item(t); *got.Value != "v" || got.Version != 1 {
		t.Errorf("got %+v", got)
	}
}

// TestOneOfThirtyWritersWithOneTagSucceeds sends the writes to two replicas.
func TestOneOfThirtyWritersWithOneTagSucceeds(t *testing.T) {
	t.Parallel()
	first := start(t)
	replicas, u := []*stack{first, run(t, first.cfg)}, user()
	for round := range 5 {
		header := "If-None-Match: *"
		if round > 0 {
			header = "If-Match: " + first.call(u, "GET", key, nil).header.Get("ETag")
		}
		var succeeded, failed atomic.Int32
		var wait sync.WaitGroup
		for n := range 30 {
			wait.Go(func() {
				r, err := replicas[n%2].try(u, "PUT", key, body(fmt.Sprint(round, n)), header)
				switch {
				case err == nil && (r.status == 200 || r.status == 201):
					succeeded.Add(1)
				case err == nil && r.status == 412:
					failed.Add(1)
				default:
					t.Errorf("got %v %d %s", err, r.status, r.raw)
				}
			})
		}
		wait.Wait()
		if succeeded.Load() != 1 || failed.Load() != 29 {
			t.Errorf("round %d: %d succeeded and %d failed, want 1 and 29", round, succeeded.Load(), failed.Load())
		}
	}
	if got := first.call(u, "GET", key, nil).item(t); got.Version != 5 {
		t.Errorf("got version %d, want 5", got.Version)
	}
	first.checkAccounts()
}

// TestReplicasThatOverwriteTheSameKeyUseEachNumberOnce lets two replicas predict wrong numbers.
func TestReplicasThatOverwriteTheSameKeyUseEachNumberOnce(t *testing.T) {
	t.Parallel()
	first := start(t, func(c *Config) { c.Versions = 1000 })
	replicas, u := []*stack{first, run(t, first.cfg)}, user()
	const writers, writes = 8, 10
	var numbers sync.Map
	var wait sync.WaitGroup
	for n := range writers {
		wait.Go(func() {
			for m := range writes {
				value := fmt.Sprint(n, m)
				if m%5 == 4 {
					value = strings.Repeat(value, smallBody)
				}
				r, err := replicas[n%2].try(u, "PUT", key, body(value))
				if err != nil || r.status > 201 {
					t.Errorf("got %v %d %.300s", err, r.status, r.raw)
					return
				}
				if _, twice := numbers.LoadOrStore(r.item(t).Version, value); twice {
					t.Errorf("version %d was used twice", r.item(t).Version)
				}
			}
		})
	}
	wait.Wait()
	for number := range int64(writers * writes) {
		value, _ := numbers.Load(number + 1)
		r := first.call(u, "GET", fmt.Sprintf("%s?version=%d", key, number+1), nil)
		if r.status != 200 || *r.item(t).Value != value {
			t.Errorf("version %d: got %d %.100s, want %.100v", number+1, r.status, r.raw, value)
		}
	}
	first.checkAccounts()
}
