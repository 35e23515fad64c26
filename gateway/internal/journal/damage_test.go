package journal

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// damages are what a disk may do to a log of 500 records, each with how many of them it costs at
// least and at most.
var damages = map[string]struct {
	do          func(b []byte, at int) []byte // at: where a record begins, in the first half
	least, most int
}{
	"a length that is 0":       {func(b []byte, at int) []byte { b[at] = 0; return b }, 1, 1},
	"a length that is absurd":  {func(b []byte, at int) []byte { copy(b[at:], "\xff\xff\xff"); return b }, 1, 1},
	"a length that is another": {func(b []byte, at int) []byte { b[at] ^= 1; return b }, 1, 1},
	"a letter of an event":     {func(b []byte, at int) []byte { b[at+100] ^= 1; return b }, 1, 1},
	"a page of zeros":          {func(b []byte, at int) []byte { clear(b[at+10 : at+4106]); return b }, 10, 25},
	"the end is torn":          {func(b []byte, _ int) []byte { return b[:len(b)-100] }, 0, 1},
	"half of it is gone":       {func(b []byte, at int) []byte { return b[:at] }, 250, 500},
	"all of it is gone":        {func([]byte, int) []byte { return nil }, 500, 500},
}

// damage changes the log of a segment that nobody has open.
func damage(t *testing.T, cfg Config, segment string, do func(b []byte, at int) []byte) {
	t.Helper()
	path := filepath.Join(cfg.Dir, segment, logFileName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := scanFrames(b[:len(b)/2])
	if err := os.WriteFile(path, do(b, at), 0o640); err != nil {
		t.Fatal(err)
	}
}

// shipAll ships until nothing is left and returns the ids of what arrived.
func shipAll(t *testing.T, j *Journal) []string {
	t.Helper()
	answered := make(chan *jetstream.PubAck)
	close(answered)
	to := &slow{answer: answered, first: make(chan struct{})}
	s := &Shipper{journal: j, to: to, subject: subject, log: testkit.Log(t)}
	for range 20 {
		if n, err := s.step(context.Background()); n == 0 && err == nil {
			return to.stored
		}
	}
	t.Fatal("the journal is never empty")
	return nil
}

const inSegment = 500 // events of the tests below, all in the first segment

func fill(t *testing.T, j *Journal, n int) (ids []string) {
	t.Helper()
	for range n {
		e := newEvent()
		if err := j.Append(e); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

func TestDamageOfTheJournalCostsOnlyWhatIsDamagedAndIsCounted(t *testing.T) {
	t.Parallel()
	for name, d := range damages {
		cfg := testConfig(t.TempDir())
		j := open(t, cfg)
		want := fill(t, j, inSegment)
		_ = j.Close()
		damage(t, cfg, "00000000000000000001", d.do)
		j = open(t, cfg)
		got := shipAll(t, j)
		lost := inSegment - len(got)
		if lost < d.least || lost > d.most || !inOrder(got, want) {
			t.Errorf("%s: %d events are lost, want %d to %d, and the others in order", name, lost, d.least, d.most)
		}
		counted := testutil.ToFloat64(j.metrics.dropped.WithLabelValues(dropCorrupt))
		// what ends early may never have been written
		if torn := d.least == 0 || d.least >= inSegment/2; !torn && counted != float64(lost) {
			t.Errorf("%s: %v events are counted as lost, %d are", name, counted, lost)
		}
	}
}

// TestDamageWhileTheGatewayRunsStopsNothing: the segment behind the one that is being shipped is
// damaged, before it is opened.
func TestDamageWhileTheGatewayRunsStopsNothing(t *testing.T) {
	t.Parallel()
	for name, d := range damages {
		cfg := testConfig(t.TempDir())
		j := open(t, cfg)
		want := fill(t, j, inSegment)
		j.seal() // as after a failure of the disk
		want = append(want, fill(t, j, 10)...)
		if err := j.segments[0].close(); err != nil {
			t.Fatal(err)
		}
		damage(t, cfg, "00000000000000000001", d.do)
		got := shipAll(t, j)
		lost := len(want) - len(got)
		if lost < d.least || lost > d.most || !inOrder(got, want) || got[len(got)-1] != want[len(want)-1] {
			t.Errorf("%s: %d events are lost, want %d to %d, and the others in order", name, lost, d.least, d.most)
		}
		if counted := testutil.ToFloat64(j.metrics.dropped.WithLabelValues(dropCorrupt)); counted != float64(lost) {
			t.Errorf("%s: %v events are counted as lost, %d are", name, counted, lost)
		}
		if entries, bytes := j.size(); entries != 0 || bytes > int64(inSegment*10) {
			t.Errorf("%s: %d entries of %d bytes are left", name, entries, bytes)
		}
	}
}

// inOrder reports whether got is want with some left out.
func inOrder(got, want []string) bool {
	for _, eventID := range got {
		i := slices.Index(want, eventID)
		if i < 0 {
			return false
		}
		want = want[i+1:]
	}
	return true
}

// TestAFlushedJournalTakesEvents and gives them back; that a power loss leaves its folders no test
// here can see.
func TestAFlushedJournalTakesEvents(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t.TempDir())
	cfg.Sync = true
	j := open(t, cfg)
	want := fill(t, j, 3)
	j.seal()
	want = append(want, fill(t, j, 3)...)
	_ = j.Close()
	if got := contents(t, open(t, cfg)); !slices.Equal(got, want) {
		t.Errorf("got %d events, want 6", len(got))
	}
}
