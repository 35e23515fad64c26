package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/gateway/internal/journal"
	"github.com/realmgate/realmgate/pkg/internalapi"
)

func TestRequiredModeRefusesRequestsThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	full := func(mode string) *testGateway {
		return startGateway(t, func(c *Config) {
			c.Journal.Mode, c.Journal.MaxBytes, c.Limits = mode, journal.MinBytes,
				LimitConfig{}
		})
	}
	fill := func(d *testGateway, token string) (last reply) {
		for range 12_000 {
			if last = d.do(ask{method: "GET", path: "/nowhere/" + strings.Repeat("x", 2000),
				bearer: token}); last.status == 503 || d.value("events_dropped_total") > 0 {
				return last
			}
		}
		return last
	}
	d := full(journal.ModeRequired) // no stream: nothing can be shipped
	ada := d.users.signIn(t)
	fill(d, ada.token)
	d.vault.got()
	r := d.do(ask{method: "DELETE", path: "/api/v1/vault", bearer: ada.token})
	if r.status != 503 || r.code != "SERVICE_UNAVAILABLE" || r.header.Get("Retry-After") == "" {
		t.Errorf("required: %d %s", r.status, r.raw)
	}
	if got := d.vault.got(); len(got) != 0 {
		t.Errorf("the vault was cleared although the request could not be recorded")
	}
	if r := d.do(ask{method: "GET", path: "/api/v1/auth/config"}); r.status != 200 {
		t.Errorf("a public route: %d", r.status)
	}
	d = full(journal.ModeBestEffort)
	ada = d.users.signIn(t)
	fill(d, ada.token)
	if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}); r.status != 200 {
		t.Errorf("best effort: %d", r.status)
	}
	if d.value("events_dropped_total", "reason=full") == 0 {
		t.Error("nothing was counted as dropped")
	}
}

func TestEventsWaitForNATSAndAreSentOnce(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	events := d.listen()
	ada := d.users.signIn(t)
	request := func(n int) {
		for range n {
			if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}); r.status != 200 {
				t.Errorf("got %d", r.status)
			}
		}
	}
	request(20)
	d.until("the first have arrived", func() bool { return len(events.of(ada.userID)) >= 20 })
	d.broker.Stop()
	request(30)
	if got := d.value("journal_entries"); got < 30 {
		t.Errorf("the journal holds %v", got)
	}
	d.until("the oldest event has an age", func() bool { return d.value("journal_oldest_seconds") > 0 })
	d.stop() // with NATS away: what is left stays
	d.start()
	request(10)
	d.broker.Restart()
	d.until("all have arrived", func() bool { return len(events.of(ada.userID)) >= 60 })
	d.until("the journal is empty",
		func() bool { return d.value("journal_entries") == 0 && d.value("journal_oldest_seconds") == 0 })
	time.Sleep(100 * time.Millisecond)
	ids := map[string]bool{}
	for _, e := range events.of(ada.userID) {
		ids[e.ID] = true
	}
	if n := len(events.of(ada.userID)); n != 60 || len(ids) != 60 {
		t.Errorf("%d events, %d different, want 60", n, len(ids))
	}
	if accepted, shipped := d.value("events_accepted_total"), d.value("events_shipped_total"); accepted != 10 ||
		shipped != 40 {
		t.Errorf("this process accepted %v and shipped %v, want 10 and 40", accepted, shipped)
	}
}

func TestOperationsOfABatchAreRecorded(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	events := d.listen()
	longKey := strings.Repeat("k", 255)
	for name, c := range map[string]struct {
		status  int
		size    int // of the answer
		chunked bool
	}{"a small answer": {200, 0, false}, "a failure": {409, 0, false}, "a large answer": {200, 1 << 20, false},
		"an answer without a length": {200, 300 << 10, true}} {
		t.Run(name, func(t *testing.T) {
			ada := d.users.signIn(t)
			var operations []internalapi.Operation
			for i := range 100 {
				operations = append(operations, internalapi.Operation{Method: []string{"GET", "PUT", "DELETE"}[i%3],
					Path: "/api/v1/vault/keys/" + longKey, Status: []int{200, 201, 404, 424}[i%4]})
			}
			list, err := json.Marshal(operations)
			if err != nil {
				t.Fatal(err)
			}
			body := `{"statusCode":` + strconv.Itoa(c.status) + `,"message":"","data":"` + strings.Repeat("x", c.size) + `"}`
			d.vault.answers(func(w http.ResponseWriter, _ seen) {
				w.Header().Set(internalapi.OperationsHeader, strconv.Itoa(len(list)))
				w.Header().Set("Content-Type", "application/json")
				if !c.chunked {
					w.Header().Set("Content-Length", strconv.Itoa(len(list)+len(body)))
				}
				w.WriteHeader(c.status)
				_, _ = w.Write(append(append([]byte{}, list...), body...))
			})
			r := d.do(ask{method: "POST", path: "/api/v1/vault/batch?realm_id=507f1f77bcf86cd799439011", bearer: ada.token,
				body: `{"operations":[]}`})
			if r.status != c.status || r.raw != body || r.header.Get(internalapi.OperationsHeader) != "" {
				t.Errorf("got %d %.100s with header %q, want the body without the list", r.status, r.raw,
					r.header.Get(internalapi.OperationsHeader))
			}
			d.until("all are recorded", func() bool { return len(events.of(ada.userID)) >= 101 })
			ids := map[string]bool{}
			for i, e := range events.of(ada.userID) {
				want := internalapi.Operation{Method: "POST", Path: "/api/v1/vault/batch", Status: c.status}
				if i < 100 {
					want = operations[i]
				}
				if got := (internalapi.Operation{Method: e.Method, Path: e.Path, Status: e.Status}); got != want ||
					e.RequestID != r.header.Get("X-Request-ID") || e.RealmID != "507f1f77bcf86cd799439011" {
					t.Errorf("record %d: got %+v, want %+v in the realm, with the request id of the batch", i, e, want)
				}
				ids[e.ID] = true
			}
			if len(ids) != 101 {
				t.Errorf("got %d different ids, want 101", len(ids))
			}
		})
	}
}
