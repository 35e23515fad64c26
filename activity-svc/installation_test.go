package activity

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// onTheSameServer makes a second installation use the NATS server of the first.
func onTheSameServer(first *harness) func(*Config) {
	return func(c *Config) { c.Bus.URL = config.Secret(first.broker.URL()) }
}

// TestTwoInstallationsOnOneServerTakeOnlyTheirOwnEvents, each with two replicas.
func TestTwoInstallationsOnOneServerTakeOnlyTheirOwnEvents(t *testing.T) {
	t.Parallel()
	a, _ := start(t)
	b, _ := start(t, onTheSameServer(a))
	a.run()
	b.run()
	if a.installation() == b.installation() {
		t.Fatalf("both are called %s", a.installation())
	}
	const each = 100
	for _, h := range []*harness{a, b} {
		h.publish(manyEvents(each)...)
	}
	for _, h := range []*harness{a, b} {
		h.drained()
		if n := h.query(`SELECT count(*) FROM activity`); n != each {
			t.Errorf("an installation has %d of its %d events", n, each)
		}
	}
}

// TestAForeignStreamIsRefused: a service ends rather than take the events of another installation.
func TestAForeignStreamIsRefused(t *testing.T) {
	t.Parallel()
	h, first := start(t)
	first.stop()
	const ours, theirs = "aaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbb"
	h.query(`UPDATE installation SET id = $1`, ours)
	foreign := h.cfg.consumer(ours).Stream
	foreign.Owner = theirs
	h.eventually("the stream belongs to another installation", func() error { return h.bus.EnsureStream(t.Context(), foreign) })
	svc, err := New(t.Context(), h.cfg,
		service.Runtime{Log: testkit.Log(t), Metrics: prometheus.NewRegistry(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := svc.Run(t.Context()); !errors.Is(err, bus.ErrForeign) {
		t.Errorf("the service ended with %v", err)
	}
}

// TestEventsOfThePreviousReleaseAreTaken by an installation that was updated, and by no other: a
// gateway that is not updated yet goes on putting events where it did.
func TestEventsOfThePreviousReleaseAreTaken(t *testing.T) {
	t.Parallel()
	old := event.NamesOf("")
	updated, first := start(t)
	first.stop()
	updated.query(`UPDATE activity_svc.installation SET upgraded = true`)
	previous := updated.cfg.consumer("").Stream
	updated.eventually("the previous release made its stream",
		func() error { return updated.bus.EnsureStream(t.Context(), previous) })
	put := func(events ...event.Request) {
		t.Helper()
		for _, e := range events {
			raw, err := e.Encode()
			if err != nil {
				t.Fatal(err)
			}
			f, err := updated.bus.Publish(old.Subject, e.ID, "", raw)
			if err != nil {
				t.Fatal(err)
			}
			select {
			case <-f.OK:
			case err := <-f.Err:
				t.Fatal(err)
			}
		}
	}
	put(manyEvents(20)...) // before the update
	updated.run()
	stranger, _ := start(t, onTheSameServer(updated)) // new
	late, _ := start(t, onTheSameServer(updated))     // another that is updated later
	late.query(`UPDATE activity_svc.installation SET upgraded = true`)
	put(manyEvents(20)...) // by a gateway that is updated last
	updated.eventually("all are stored", func() error {
		if n := updated.query(`SELECT count(*) FROM activity`); n != 40 {
			return errors.New("not yet")
		}
		return nil
	})
	late.run()
	put(manyEvents(20)...)
	updated.eventually("these as well", func() error {
		if n := updated.query(`SELECT count(*) FROM activity`); n != 60 {
			return errors.New("not yet")
		}
		return nil
	})
	for name, h := range map[string]*harness{"a new installation": stranger, "one that came second": late} {
		if n := h.query(`SELECT count(*) FROM activity`); n != 0 {
			t.Errorf("%s has %d events of another", name, n)
		}
	}
}
