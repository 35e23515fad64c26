package gateway

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// TestAServerOfSmallMessagesGetsWhatItTakes: one event that is larger than a message may be held up
// all others.
func TestAServerOfSmallMessagesGetsWhatItTakes(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	d.broker.Restart(func(o *server.Options) { o.MaxPayload = 2 << 10 })
	d.settings()
	d.start()
	ada := d.users.signIn(t)
	request := func(path string) {
		if r := d.do(ask{method: "GET", path: path, bearer: ada.token}); r.status >= 500 {
			t.Errorf("GET %.40s: %d", path, r.status)
		}
	}
	for range 50 { // before anything can be shipped, so that they would be packed together
		request("/api/v1/vault/keys")
	}
	request("/api/v1/vault/keys/" + strings.Repeat("k", 1200))
	request("/api/v1/vault/keys")
	events := d.listen()
	d.until("all that fit have arrived", func() bool { return len(events.of(ada.userID)) == 51 })
	d.until("the journal is empty", func() bool { return d.value("journal_entries") == 0 })
	if large, shipped := d.value("events_dropped_total", "reason=large"), d.value("events_shipped_total"); large != 1 ||
		shipped != 51 {
		t.Errorf("%v events were too large and %v shipped, want 1 and 51", large, shipped)
	}
}
