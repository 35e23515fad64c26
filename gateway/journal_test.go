package gateway

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/testkit"
)

func journalConfig(dir string) JournalConfig {
	return JournalConfig{Dir: dir, MaxBytes: 1 << 30, Mode: modeBestEffort}
}

func open(t testing.TB, cfg JournalConfig) *journal {
	t.Helper()
	j, err := openJournal(cfg, testkit.Log(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.close() })
	return j
}

func newEvent() event.Request {
	now := time.Now()
	return event.Request{ID: id.New(now), UserID: id.New(now), Method: "GET", Path: "/api/v1/vault/keys/" + strings.Repeat("k", 100), Status: 200, IPAddress: "192.0.2.1"}
}

// contents returns the ids of everything that is not acknowledged, acknowledging it.
func contents(t testing.TB, j *journal) []string {
	t.Helper()
	var out []string
	for {
		seg, records, err := j.next(100)
		if err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			return out
		}
		for _, r := range records {
			eventID, body, ok := decodeRecord(r)
			if e, err := event.Decode(body); !ok || err != nil || e.ID != eventID {
				t.Fatalf("a damaged record: %q", r)
			}
			out = append(out, eventID)
		}
		if err := j.ack(seg, len(records)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatIsAppendedIsReadInOrderOverRestarts(t *testing.T) {
	t.Parallel()
	cfg := journalConfig(t.TempDir())
	var want []string
	for range 5 {
		j := open(t, cfg)
		for range 10 {
			e := newEvent()
			want = append(want, e.ID)
			if err := j.append(e); err != nil {
				t.Fatal(err)
			}
		}
		for left := 7; left > 0; {
			seg, records, err := j.next(left)
			if err != nil || len(records) == 0 {
				t.Fatal(len(records), err)
			}
			if err := j.ack(seg, len(records)); err != nil {
				t.Fatal(err)
			}
			left -= len(records)
		}
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
	}
	j := open(t, cfg)
	if got := contents(t, j); !slices.Equal(got, want[35:]) {
		t.Errorf("got %d events, want the last 15", len(got))
	}
	if entries, _ := j.size(); entries != 0 {
		t.Errorf("%d entries are left", entries)
	}
}

func TestConcurrentAppendsAndAcknowledgementsLoseNothing(t *testing.T) {
	t.Parallel()
	cfg := journalConfig(t.TempDir())
	cfg.MaxBytes = minJournalBytes // segments of 128 KB
	j := open(t, cfg)
	const writers, each = 16, 1000
	var want sync.Map
	var wait sync.WaitGroup
	for range writers {
		wait.Go(func() {
			for range each {
				e := newEvent()
				for j.append(e) != nil { // full until the reader has caught up
					time.Sleep(time.Millisecond)
				}
				want.Store(e.ID, true)
			}
		})
	}
	done := make(chan struct{})
	go func() { wait.Wait(); close(done) }()
	got := map[string]bool{}
	for finished := false; !finished; {
		select {
		case <-done:
			finished = true
		default:
		}
		for _, eventID := range contents(t, j) {
			if got[eventID] {
				t.Fatal("an event was read twice")
			}
			got[eventID] = true
		}
	}
	if len(got) != writers*each {
		t.Errorf("%d events, want %d", len(got), writers*each)
	}
	want.Range(func(eventID, _ any) bool {
		if !got[eventID.(string)] {
			t.Errorf("%v is lost", eventID)
		}
		return !t.Failed()
	})
	if dirs, _ := filepath.Glob(filepath.Join(cfg.Dir, "0*")); len(dirs) > 1 {
		t.Errorf("%d segments are left on the disk", len(dirs))
	}
}

func TestAFolderBelongsToOneGateway(t *testing.T) {
	t.Parallel()
	cfg := journalConfig(t.TempDir())
	open(t, cfg)
	if _, err := openJournal(cfg, testkit.Log(t), prometheus.NewRegistry()); err == nil || !strings.Contains(err.Error(), "another gateway") {
		t.Errorf("a second gateway opened it: %v", err)
	}
}

func TestATornTailIsCutOff(t *testing.T) {
	t.Parallel()
	for name, tail := range map[string][]byte{
		"half a length":         {0x80},
		"half a record":         {0x80, 0x02, 1, 2, 3},
		"zeros":                 make([]byte, 4096),
		"an absurd length":      {0xff, 0xff, 0xff, 0xff, 0x7f, 1, 2},
		"no length that is one": {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		cfg := journalConfig(t.TempDir())
		j := open(t, cfg)
		var want []string
		for range 3 {
			e := newEvent()
			want = append(want, e.ID)
			_ = j.append(e)
		}
		_ = j.close()
		files, _ := filepath.Glob(filepath.Join(cfg.Dir, "*", logFile))
		f, err := os.OpenFile(files[0], os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write(tail)
		_ = f.Close()
		if got := contents(t, open(t, cfg)); !slices.Equal(got, want) {
			t.Errorf("%s: %d events, want 3", name, len(got))
		}
	}
}

func TestAFullJournalDropsAndCountsOrRefuses(t *testing.T) {
	t.Parallel()
	cfg := journalConfig(t.TempDir())
	cfg.MaxBytes = minJournalBytes
	j := open(t, cfg)
	accepted := 0
	for range 20_000 {
		err := j.append(newEvent())
		if err != nil {
			if !errors.Is(err, errJournalFull) {
				t.Fatal(err)
			}
			break
		}
		accepted++
	}
	if got := testutil.ToFloat64(j.metrics.dropped.WithLabelValues(dropFull)); got != 1 {
		t.Errorf("dropped %v", got)
	}
	if _, bytes := j.size(); bytes > cfg.MaxBytes {
		t.Errorf("the journal has %d bytes", bytes)
	}
	if got := len(contents(t, j)); got != accepted {
		t.Errorf("%d events, accepted %d", got, accepted)
	}
	if err := j.append(newEvent()); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestRequiredModeRefusesRequestsThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	full := func(mode string) *door {
		return openDoor(t, func(c *Config) { c.Journal.Mode, c.Journal.MaxBytes, c.Limits = mode, minJournalBytes, LimitConfig{} })
	}
	fill := func(d *door, token string) (last reply) {
		for range 12_000 {
			if last = d.do(ask{method: "GET", path: "/nowhere/" + strings.Repeat("x", 2000), bearer: token}); last.status == 503 || d.value("events_dropped_total") > 0 {
				return last
			}
		}
		return last
	}
	d := full(modeRequired) // no stream: nothing can be shipped
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
	d = full(modeBestEffort)
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
	d := openDoor(t)
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
	d.until("the journal is empty", func() bool { return d.value("journal_entries") == 0 && d.value("journal_oldest_seconds") == 0 })
	time.Sleep(100 * time.Millisecond)
	ids := map[string]bool{}
	for _, e := range events.of(ada.userID) {
		ids[e.ID] = true
	}
	if n := len(events.of(ada.userID)); n != 60 || len(ids) != 60 {
		t.Errorf("%d events, %d different, want 60", n, len(ids))
	}
	if accepted, shipped := d.value("events_accepted_total"), d.value("events_shipped_total"); accepted != 10 || shipped != 40 {
		t.Errorf("this process accepted %v and shipped %v, want 10 and 40", accepted, shipped)
	}
}

// flaky is a JetStream that refuses every third publish and acknowledges out of order.
type flaky struct {
	calls atomic.Int64
	mu    sync.Mutex
	order []string
}

func (f *flaky) MaxData() int { return 0 }

func (f *flaky) Publish(_, _, _ string, data []byte) (bus.Future, error) {
	n := f.calls.Add(1)
	if n%7 == 0 {
		return bus.Future{}, errors.New("away")
	}
	ok, failed := make(chan *jetstream.PubAck, 1), make(chan error, 1)
	go func() {
		if n%3 == 0 {
			failed <- errors.New("not stored")
			return
		}
		f.mu.Lock()
		for e := range event.Split(data) {
			r, _ := event.Decode(e)
			f.order = append(f.order, r.ID)
		}
		f.mu.Unlock()
		ok <- nil
	}()
	return bus.Future{OK: ok, Err: failed}, nil
}

func TestTheShipperAdvancesOnlyOverWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	j := open(t, journalConfig(t.TempDir()))
	var want []string
	for range 3 * event.MaxEvents / 2 { // two messages: of any two publishes in a row, some pair is not refused
		e := newEvent()
		want = append(want, e.ID)
		_ = j.append(e)
	}
	f := &flaky{}
	s := &shipper{journal: j, to: f, subject: testSubject, log: testkit.Log(t)}
	for tries := 0; ; tries++ {
		if n, err := s.step(t.Context()); n == 0 && err == nil {
			break // nothing is left
		}
		if tries > 1000 {
			t.Fatal("no batch passed")
		}
	}
	for _, w := range want {
		if !slices.Contains(f.order, w) {
			t.Errorf("%s was never stored", w)
		}
	}
}

func FuzzRecords(f *testing.F) {
	good, _ := encodeRecord(newEvent())
	f.Add(good)
	f.Add(append([]byte{byte(len(good) & 0x7f)}, good...))
	f.Add(make([]byte, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, records := scanRecords(b); n > len(b) || records > n {
			t.Fatal(n, records)
		}
		if eventID, body, ok := decodeRecord(b); ok && (!id.Valid(eventID) || len(body) == 0) {
			t.Fatal(fmt.Sprint(eventID, body))
		}
	})
}
