package upstream

import (
	"math"
	"time"
)

// smoothing is the weight of a moving average's old value against one new sample.
const smoothing = 63

// A measuring window is over after windowTime and windowAnswers.
const (
	windowTime    = 100 * time.Millisecond
	windowAnswers = 16
)

// headroom is the bound divided by the bandwidth-delay product: above 1, so that the address never
// runs dry. A latency grows by at most the same factor.
const headroom = 1.3

// A probe measures the latency without a queue. Probes are probeEvery apart, or probeLatencies
// times that latency if it is longer, so that they cost a few percent of the throughput; the first
// is earlier, because the machine may have become slower with the overload. A probe measures at
// least probeAnswers answers.
const (
	firstProbe     = 500 * time.Millisecond
	probeEvery     = 2 * time.Second
	probeLatencies = 20
	probeAnswers   = 12
)

// decay is the time constant with which minLatency returns to the current latency while there is no
// overload. In an overload, probes correct it.
const decay = 30 * time.Second

// estimator measures the bandwidth-delay product of an address: the number of requests that it can
// work on before they only queue inside of it. As in BBR (Cardwell et al., BBR: Congestion-Based
// Congestion Control, ACM Queue 14/5, 2016), that is the rate of answers times the latency without
// a queue; to see the latter, a probe lowers the bound for a moment now and then.
type estimator struct {
	latency    time.Duration // moving average
	minLatency time.Duration // without a queue inside of the address

	// The window, or the phase of a probe: its begin, its answers, those that other requests queued
	// for, and the sum of their latencies.
	began            time.Time
	answers, awaited int
	sum              time.Duration

	probe probe
}

// probe is a measurement of the latency without a queue.
type probe struct {
	next         time.Time
	phase        probePhase
	restoreLimit int // the bound afterwards
}

type probePhase uint8

const (
	noProbe  probePhase = iota
	draining            // more requests are in flight than the bound of the probe
	passing             // the requests that were in flight are being answered
	counting
)

// begin starts the measurements of an overload.
func (e *estimator) begin(now time.Time) {
	e.restart(now)
	if e.minLatency == 0 {
		e.minLatency = e.latency
	}
	e.probe = probe{next: now.Add(firstProbe)}
}

func (e *estimator) restart(now time.Time) { e.began, e.answers, e.awaited, e.sum = now, 0, 0, 0 }

func (e *estimator) probeInterval() time.Duration {
	return max(probeEvery, probeLatencies*e.minLatency)
}

// observe adds an answer; awaited says that other requests queue.
func (e *estimator) observe(latency time.Duration, awaited bool) {
	if e.latency == 0 {
		e.latency = latency
	}
	e.latency = (e.latency*smoothing + latency) / (smoothing + 1)
	e.answers++
	e.sum += latency
	if awaited {
		e.awaited++
	}
}

// endWindow ends a window that is over while there is no overload. minLatency is the least mean of
// a window, with decay.
func (e *estimator) endWindow(now time.Time) {
	if !e.windowOver(now) {
		return
	}
	mean := e.sum / time.Duration(e.answers)
	if e.minLatency == 0 || mean < e.minLatency {
		e.minLatency = mean
	}
	e.minLatency += time.Duration(float64(mean-e.minLatency) * min(1, float64(now.Sub(e.began))/float64(decay)))
	e.restart(now)
}

func (e *estimator) windowOver(now time.Time) bool {
	return e.answers >= windowAnswers && now.Sub(e.began) >= windowTime
}

// applicationLimited reports whether nothing queued for most of the answers: their rate shows what
// the clients asked for, not what the address can do.
func (e *estimator) applicationLimited() bool { return 2*e.awaited < e.answers }

// bound returns the number of requests that the address may work on during an overload, given those
// in flight and the bound until now: as many as it answers in minLatency, or in allowance if that
// is longer.
func (e *estimator) bound(now time.Time, inFlight, limit int, allowance time.Duration) int {
	if e.probe.phase != noProbe {
		return e.advanceProbe(now, inFlight, limit)
	}
	if !e.windowOver(now) {
		return limit
	}
	rate, applicationLimited := float64(e.answers)/float64(now.Sub(e.began)), e.applicationLimited()
	e.restart(now)
	if applicationLimited {
		return int(math.Ceil(float64(limit) * headroom))
	}
	limit = max(2, int(math.Ceil(rate*max(float64(e.minLatency)*headroom, float64(allowance)))))
	if now.Before(e.probe.next) {
		return limit
	}
	e.probe = probe{phase: draining, restoreLimit: limit}
	return max(1, limit/3)
}

// advanceProbe moves the probe to its next phase when the current one is over, and returns the
// bound.
func (e *estimator) advanceProbe(now time.Time, inFlight, limit int) int {
	rounds := (probeAnswers + limit - 1) / limit // how often the in-flight requests are answered while counting
	switch {
	case e.probe.phase == draining && inFlight <= limit:
		e.probe.phase = passing
		e.restart(now)
	case e.probe.phase == passing && e.answers >= limit:
		e.probe.phase = counting
		e.restart(now)
	case e.probe.phase == counting && e.answers >= rounds*limit:
		if !e.applicationLimited() { // otherwise fewer than limit were in flight
			e.setMinLatency(now.Sub(e.began) / time.Duration(rounds))
		}
		limit = e.probe.restoreLimit
		e.probe = probe{next: now.Add(e.probeInterval())}
		e.restart(now)
	}
	return limit
}

// setMinLatency takes over the latency that a probe found by Little's law. The mean of the measured
// latencies would be too small: of requests sent at the same time, the quick ones are answered
// first. The value at most doubles, because the address may have paused during the probe.
func (e *estimator) setMinLatency(latency time.Duration) {
	if e.minLatency > 0 {
		latency = min(latency, 2*e.minLatency)
	}
	e.minLatency = latency
}
