package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/gateway/internal/journal"
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
