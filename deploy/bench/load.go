package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// worker sends one request at a time over its own connection or session. One goroutine uses it.
type worker interface {
	// do performs one operation and returns when the answer is complete; false for an unexpected
	// answer. After an error the worker must be usable again.
	do() (bool, error)
	close()
}

// load describes how a subject is driven.
type load struct {
	conns int
	// rate is the number of operations a second over all connections of an open loop: an operation
	// is due at its time even if the previous one has not finished, and its latency counts from
	// that time. 0 means a closed loop, in which each connection sends again as soon as it has its
	// answer.
	rate   float64
	worker func(i int) (worker, error)
}

// The range of recorded latencies in microseconds, with three digits of precision.
const (
	lowestLatency  = 1
	highestLatency = 60_000_000
	latencyDigits  = 3
	maxFailures    = 1000 // a worker with more failures in a cell gives up
)

// window is the time of a cell. Operations count if they end between measure and end, after the
// warm-up.
type window struct{ start, measure, end time.Time }

// tally has the observations of one worker.
type tally struct {
	requests, failed int64
	latency          *hdrhistogram.Histogram
	err              error
}

// run drives the load for the warm-up and the measured time. It calls measured at the start and the
// end of the measured time.
func (l load) run(ctx context.Context, warmup, seconds time.Duration, measured func(begin bool)) (cell, error) {
	workers, err := l.open()
	defer func() {
		for _, w := range workers {
			w.close()
		}
	}()
	if err != nil {
		return cell{}, err
	}
	now := time.Now()
	win := window{start: now, measure: now.Add(warmup), end: now.Add(warmup + seconds)}
	tallies := make([]tally, len(workers))
	var running sync.WaitGroup
	for i, w := range workers {
		running.Go(func() { tallies[i] = l.drive(ctx, i, w, win) })
	}
	sleep(ctx, time.Until(win.measure))
	measured(true)
	sleep(ctx, time.Until(win.end))
	measured(false)
	running.Wait()
	return merge(tallies, seconds), errors.Join(ctx.Err(), firstError(tallies))
}

func (l load) open() ([]worker, error) {
	workers := make([]worker, 0, l.conns)
	for i := range l.conns {
		w, err := l.worker(i)
		if err != nil {
			return workers, fmt.Errorf("worker %d: %w", i, err)
		}
		workers = append(workers, w)
	}
	return workers, nil
}

// drive sends operations until the window ends.
func (l load) drive(ctx context.Context, i int, w worker, win window) tally {
	t := tally{latency: hdrhistogram.New(lowestLatency, highestLatency, latencyDigits)}
	var interval time.Duration
	due := time.Now()
	if l.rate > 0 {
		interval = time.Duration(float64(l.conns) / l.rate * float64(time.Second))
		due = win.start.Add(interval * time.Duration(i) / time.Duration(l.conns)) // the workers take turns
	}
	for ctx.Err() == nil && t.failed < maxFailures {
		if interval > 0 {
			sleep(ctx, time.Until(due))
		} else {
			due = time.Now()
		}
		if !due.Before(win.end) {
			break
		}
		ok, err := w.do()
		switch done := time.Now(); {
		case err != nil:
			t.err = err
			t.failed++
		case !ok:
			t.failed++
		case l.counts(win, due, done):
			t.count(done.Sub(due))
		}
		due = due.Add(interval)
	}
	return t
}

// counts reports whether an operation counts. In an open loop, an operation that was due during the
// warm-up does not, because its latency includes waiting for the warm-up.
func (l load) counts(win window, due, done time.Time) bool {
	begin := done
	if l.rate > 0 {
		begin = due
	}
	return begin.After(win.measure) && done.Before(win.end)
}

func (t *tally) count(took time.Duration) {
	t.requests++
	// It fails only for values out of range.
	_ = t.latency.RecordValue(min(max(took.Microseconds(), lowestLatency), highestLatency))
}

func merge(tallies []tally, seconds time.Duration) cell {
	all := hdrhistogram.New(lowestLatency, highestLatency, latencyDigits)
	c := cell{Took: seconds}
	for _, t := range tallies {
		c.Requests += t.requests
		c.Failed += t.failed
		all.Merge(t.latency)
	}
	c.P50 = time.Duration(all.ValueAtQuantile(50)) * time.Microsecond
	c.P99 = time.Duration(all.ValueAtQuantile(99)) * time.Microsecond
	return c
}

// firstError returns an error if no operation succeeded. Single failures are only counted.
func firstError(tallies []tally) error {
	var err error
	for _, t := range tallies {
		if t.requests > 0 {
			return nil
		}
		if err == nil {
			err = t.err
		}
	}
	return err
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
