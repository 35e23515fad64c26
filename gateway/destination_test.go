package gateway

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/gateway/internal/journal"
	"github.com/realmgate/realmgate/gateway/internal/upstream"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestEventsGoWhereActivitySvcSays: they wait in the journal until it does, and go where the
// previous release takes them while activity-svc is of that release.
func TestEventsGoWhereActivitySvcSays(t *testing.T) {
	t.Parallel()
	g := &gateway{}
	d := journal.NewDestination(g.fetchInstallation, testkit.Log(t))
	if s, err := d.Subject(); err == nil {
		t.Errorf("before activity-svc was asked: %q", s)
	}
	ours := event.NamesOf(testInstallation).Subject
	for _, step := range []struct {
		status  int
		id      string
		subject string
	}{
		{503, "", ""}, {200, "", ""}, {200, "not an id", ""}, {404, "", "activity.requests"}, {503, "", "activity.requests"},
		{200, testInstallation, ours}, {503, "", ours}, {200, "x.>", ours}, {404, "", "activity.requests"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, step.status, event.Installation{ID: step.id})
		}))
		defer s.Close()
		sign := func() (string, error) { return "unsigned", nil }
		u, err := upstream.New("activity-svc", s.URL,
			upstream.Config{Timeout: time.Minute, MaxConns: 8, MaxInFlight: 8, QueueWait: time.Second}, sign, nil,
			testkit.Log(t), upstream.NewMetrics(prometheus.NewRegistry()))
		if err == nil {
			err = u.Resolve(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		g.upstreams[toActivity] = u
		_ = d.Update(t.Context())
		if got, _ := d.Subject(); got != step.subject {
			t.Errorf("after the answer %d %q: got %q, want %q", step.status, step.id, got, step.subject)
		}
	}
}
