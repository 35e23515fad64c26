package main

import (
	"math"
	"testing"
	"time"
)

func TestMedianIsTheMiddle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		about  string
		values []float64
		want   float64
	}{
		{"of one value it is that value", []float64{7}, 7},
		{"of an odd number the middle one, whatever the order", []float64{9, 1, 5}, 5},
		{"of an even number the mean of the two in the middle", []float64{4, 1, 3, 2}, 2.5},
		{"one outlier does not move it", []float64{1, 1, 1000}, 1},
	} {
		if got := median(c.values); got != c.want {
			t.Errorf("%s: median(%v) = %v, want %v", c.about, c.values, got, c.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing = %v, want NaN", got)
	}
	values := []float64{3, 1, 2}
	median(values)
	if values[0] != 3 || values[1] != 1 || values[2] != 2 {
		t.Errorf("median changed its argument to %v", values)
	}
}

func cellsOf(rates ...int64) []cell {
	var cells []cell
	for _, r := range rates {
		cells = append(cells, cell{Requests: r, Took: time.Second, CPU: time.Duration(r) * time.Microsecond})
	}
	return cells
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	t.Parallel()
	// The machine ran at half its speed in the second round: the ratio must not show it.
	got := ratioOf(cellsOf(800, 400, 810), cellsOf(1000, 500, 1000), cell.rate)
	if got.Median != 0.8 || got.Low != 0.8 || got.High != 0.81 || got.Rounds != 3 {
		t.Errorf("got %+v, want 0.8 from 0.8 to 0.81 in 3 rounds", got)
	}
	if got := ratioOf(cellsOf(1, 2), cellsOf(0, 4), cell.rate); got.Median != 0.5 || got.Rounds != 1 {
		t.Errorf("a round without a baseline counts: %+v", got)
	}
	if got := ratioOf(nil, cellsOf(1), cell.rate); !math.IsNaN(got.Median) || got.String() != "–" {
		t.Errorf("a ratio of nothing is %+v, %s", got, got)
	}
	if got := ratioOf(cellsOf(1, 2, 3), cellsOf(1), cell.rate); got.Rounds != 1 {
		t.Errorf("rounds that only one of the two has count: %+v", got)
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	fast, slow := cellsOf(900, 900, 900), cellsOf(1000, 1000, 1000)
	o := outcome{
		plan: plan{targets: []target{
			{what: "kept", subject: "a", baseline: "b", figure: throughput(), atLeast: true, bound: 0.9},
			{what: "missed", subject: "a", baseline: "b", figure: throughput(), atLeast: true, bound: 0.91},
			{what: "at most, kept", subject: "a", baseline: "b", figure: cpuTime(), bound: 1},
			{what: "at most, missed", subject: "a", baseline: "b", figure: cpuTime(), bound: 0.5},
			{what: "limit", subject: "a", figure: throughput(), bound: 1, limit: 1000, write: number},
			{what: "no such baseline", subject: "a", baseline: "c", figure: throughput(), atLeast: true, bound: 0.1},
			{what: "no such subject", subject: "c", baseline: "a", figure: throughput(), atLeast: true, bound: 0.1},
		}},
		series: []series{{subject: subject{name: "a"}, cells: fast}, {subject: subject{name: "b"}, cells: slow}},
	}
	want := []string{"ok", "**below**", "ok", "**above**", "ok", "not measured", "not measured"}
	for i, v := range o.judge() {
		if v.word() != want[i] {
			t.Errorf("%s: got %s (%s), want %s", v.what, v.word(), v.finding(), want[i])
		}
	}
	if got := o.judge()[4].finding(); got != "900, 0.90 of the limit" {
		t.Errorf("a figure with a limit is written %q", got)
	}
}

func TestFiguresAreWrittenForPeople(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{number(0.123), "0.12"}, {number(12.34), "12.3"}, {number(1234.5), "1234"}, {number(math.NaN()), "–"},
		{thousands(999), "999"}, {thousands(48_123), "48.1 k"}, {thousands(1_200_000), "1.20 M"},
		{short(0), "–"}, {short(350 * time.Microsecond), "350 µs"}, {short(1500 * time.Microsecond), "1.50 ms"},
		{short(250 * time.Millisecond), "250 ms"},
		{short(2 * time.Second), "2.00 s"}, {megabytes(3 << 20), "3.00 MB"}, {megabytes(0), "–"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
