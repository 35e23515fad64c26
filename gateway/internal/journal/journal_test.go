package journal

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

func testConfig(dir string) Config {
	return Config{Dir: dir, MaxBytes: 1 << 30, Mode: ModeBestEffort}
}

// subject is where a shipper of the tests publishes.
func subject() (string, error) { return "events", nil }

func open(t testing.TB, cfg Config) *Journal {
	t.Helper()
	j, err := Open(cfg, testkit.Log(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func newEvent() event.Request {
	now := time.Now()
	return event.Request{ID: id.New(now), UserID: id.New(now), Method: "GET",
		Path: "/api/v1/vault/keys/" + strings.Repeat("k", 100), Status: 200, IPAddress: "192.0.2.1"}
}

// contents returns the ids of everything that is not acknowledged, acknowledging it.
func contents(t testing.TB, j *Journal) []string {
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
	cfg := testConfig(t.TempDir())
	var want []string
	for range 5 {
		j := open(t, cfg)
		for range 10 {
			e := newEvent()
			want = append(want, e.ID)
			if err := j.Append(e); err != nil {
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
		if err := j.Close(); err != nil {
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
	cfg := testConfig(t.TempDir())
	cfg.MaxBytes = MinBytes // segments of 128 KB
	j := open(t, cfg)
	const writers, each = 16, 1000
	var want sync.Map
	var wait sync.WaitGroup
	for range writers {
		wait.Go(func() {
			for range each {
				e := newEvent()
				for j.Append(e) != nil { // full until the reader has caught up
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
	cfg := testConfig(t.TempDir())
	open(t, cfg)
	if _, err := Open(cfg, testkit.Log(t), prometheus.NewRegistry()); err == nil ||
		!strings.Contains(err.Error(), "another gateway") {
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
		cfg := testConfig(t.TempDir())
		j := open(t, cfg)
		var want []string
		for range 3 {
			e := newEvent()
			want = append(want, e.ID)
			_ = j.Append(e)
		}
		_ = j.Close()
		files, _ := filepath.Glob(filepath.Join(cfg.Dir, "*", logFileName))
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
	cfg := testConfig(t.TempDir())
	cfg.MaxBytes = MinBytes
	j := open(t, cfg)
	accepted := 0
	for range 20_000 {
		err := j.Append(newEvent())
		if err != nil {
			if !errors.Is(err, errFull) {
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
	if err := j.Append(newEvent()); err != nil {
		t.Errorf("with room again: %v", err)
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
	j := open(t, testConfig(t.TempDir()))
	var want []string
	for range 3 * event.MaxEvents / 2 { // two messages: of any two publishes in a row, some pair is not refused
		e := newEvent()
		want = append(want, e.ID)
		_ = j.Append(e)
	}
	f := &flaky{}
	s := &Shipper{journal: j, to: f, subject: subject, log: testkit.Log(t)}
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
		if n, records := scanFrames(b); n > len(b) || records > n {
			t.Fatal(n, records)
		}
		if eventID, body, ok := decodeRecord(b); ok && (!id.Valid(eventID) || len(body) == 0) {
			t.Fatal(fmt.Sprint(eventID, body))
		}
	})
}
