package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// cell is one measurement: one subject under load for the seconds of a cell.
type cell struct {
	Requests int64
	Failed   int64 // unexpected answers and broken connections
	Took     time.Duration
	P50, P99 time.Duration
	CPU      time.Duration // of the subject's server processes
	Memory   int64         // bytes, of the subject's server processes at the end
	// Amount replaces Requests/Took for subjects that do not answer requests: rows or hashes a
	// second, or seconds.
	Amount float64
}

// rate returns the operations a second.
func (c cell) rate() float64 {
	if c.Amount != 0 {
		return c.Amount
	}
	if c.Took <= 0 {
		return 0
	}
	return float64(c.Requests) / c.Took.Seconds()
}

// cpuPerRequest returns the servers' CPU time for one request.
func (c cell) cpuPerRequest() time.Duration {
	if c.Requests == 0 {
		return 0
	}
	return c.CPU / time.Duration(c.Requests)
}

// metric reads a figure from a cell.
type metric struct {
	name string
	of   func(cell) float64
}

// The figures that targets compare.
func throughput() metric { return metric{"throughput", cell.rate} }
func p99() metric        { return metric{"p99", func(c cell) float64 { return float64(c.P99) }} }
func p50() metric        { return metric{"p50", func(c cell) float64 { return float64(c.P50) }} }
func cpuTime() metric {
	return metric{"CPU per request", func(c cell) float64 { return float64(c.cpuPerRequest()) }}
}

// median returns the median of the values, NaN if there are none. It does not change them.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	s := slices.Clone(values)
	slices.Sort(s)
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// medianOf returns the median of a figure of the cells.
func medianOf(cells []cell, of func(cell) float64) float64 {
	values := make([]float64, len(cells))
	for i, c := range cells {
		values[i] = of(c)
	}
	return median(values)
}

// ratio compares two subjects that were measured in turn: the median, lowest and highest of the
// rounds' ratios. A temporary slowdown of the machine affects both cells of a round, so these
// ratios vary less than the ratio of two medians.
type ratio struct {
	Median, Low, High float64
	Rounds            int
}

// ratioOf compares the cells of the same rounds. It skips rounds in which the baseline is zero.
func ratioOf(subject, baseline []cell, of func(cell) float64) ratio {
	var all []float64
	for i := range min(len(subject), len(baseline)) {
		if b := of(baseline[i]); b > 0 {
			all = append(all, of(subject[i])/b)
		}
	}
	if len(all) == 0 {
		return ratio{Median: math.NaN(), Low: math.NaN(), High: math.NaN()}
	}
	return ratio{Median: median(all), Low: slices.Min(all), High: slices.Max(all), Rounds: len(all)}
}

func (r ratio) String() string {
	if math.IsNaN(r.Median) {
		return "–"
	}
	if r.Rounds < 2 {
		return number(r.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", number(r.Median), number(r.Low), number(r.High))
}

// number formats a figure with a precision that suits its size.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// thousands formats a count: 48.1 k, 1.20 M.
func thousands(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case v >= 1e6:
		return number(v/1e6) + " M"
	case v >= 1e3:
		return number(v/1e3) + " k"
	default:
		return number(v)
	}
}

// short formats a duration with about three digits.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return "–"
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 100*time.Millisecond:
		return number(float64(d)/1e6) + " ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return number(d.Seconds()) + " s"
	}
}

// megabytes formats a size.
func megabytes(bytes float64) string {
	if math.IsNaN(bytes) || bytes == 0 {
		return "–"
	}
	return number(bytes/(1<<20)) + " MB"
}
