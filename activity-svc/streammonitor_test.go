package activity

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/activity-svc/internal/streammonitor"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// stream returns activity_stream_up and what /readyz says of the stream.
func (r *replica) stream(t testing.TB) (up float64, said string) {
	t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "activity_stream_up" {
			up = f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	status, report := r.svc.CheckReady(t.Context())
	if report["service"] == "starting" { // run returns before the service serves
		return up, "starting"
	}
	if status != http.StatusOK {
		t.Errorf("a stream that fails made the service unready: %v", report)
	}
	return up, report["stream"]
}

func (h *harness) streamIs(r *replica, up bool) {
	h.t.Helper()
	h.eventually("the health of the stream", func() error {
		gauge, said := r.stream(h.t)
		if (gauge == 1) != up || (said == "ok") != up {
			return errors.New(said)
		}
		return nil
	})
}

func TestAStreamWhoseDiskWasFullIsReportedUntilItStores(t *testing.T) {
	t.Parallel()
	disk := testkit.StartOnSmallDisk(t)
	h := prepare(t, func(c *Config) { c.Bus.URL = config.Secret(disk.URL) })
	r := h.run()
	h.streamIs(r, true)
	user := newUser()
	before := at(time.Now(), user, "GET", 200)
	h.publish(before)
	disk.Fill()
	h.streamIs(r, false)
	disk.Free()
	// nats-server 2.15 stores nothing before its next start, 2.12 stores again: the report says
	// what is true.
	err := h.store(at(time.Now(), user, "GET", 200))
	h.streamIs(r, err == nil)
	h.drained()
	if got := h.query(`SELECT count(*) FROM activity`); got != 1 && err != nil {
		t.Errorf("%d records, want the one that the stream had", got)
	}
}

// store publishes one event once.
func (h *harness) store(e event.Request) error {
	h.t.Helper()
	b, err := e.Encode()
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), streammonitor.Timeout)
	defer cancel()
	return h.bus.Store(ctx, h.names().Subject, b)
}

func TestProbesLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	h, r := start(t)
	h.streamIs(r, true)
	own := streammonitor.New(h.bus, h.names(), testkit.Log(t), prometheus.NewRegistry())
	for range 20 {
		own.Observe(t.Context())
		if err := own.Health(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	h.publish(at(time.Now(), newUser(), "GET", 200))
	h.drained()
	h.eventually("the event is counted", func() error {
		if r.outcomes(t)[stored] == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	for what, n := range r.outcomes(t) {
		if want := map[outcome]int{stored: 1}[what]; n != want {
			t.Errorf("%d events are %s, want %d", n, what, want)
		}
	}
	if rows, letters := h.query(`SELECT count(*) FROM activity`),
		h.query(`SELECT count(*) FROM activity_dead_letters`); rows != 1 || letters != 0 {
		t.Errorf("%d records and %d dead letters, want 1 and 0", rows, letters)
	}
}

// A full stream refuses probes as it refuses events.
func TestAFullStreamIsReported(t *testing.T) {
	t.Parallel()
	h := prepare(t)
	own := streammonitor.New(h.bus, event.NamesOf(""), testkit.Log(t), prometheus.NewRegistry())
	cfg := h.cfg.consumer("").Stream
	cfg.MaxBytes = 1 << 10
	if err := h.bus.EnsureStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		own.Observe(t.Context())
	}
	if err := own.Health(t.Context()); err == nil {
		t.Error("a stream that refuses events is said to be well")
	}
}
