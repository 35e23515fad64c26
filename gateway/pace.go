package gateway

import (
	"math"
	"time"
)

// smoothing is the weight of what was before against one answer.
const smoothing = 63

// A window of measurement is over after this time and this many answers.
const (
	paceWindow  = 100 * time.Millisecond
	paceAnswers = 16
)

// headroom is how many times what an address works on, when nothing waits inside of it, it is
// given: it never runs dry, and an answer takes at most as many times as long.
const headroom = 1.3

// The time of an answer without a queue is looked at anew every so often, and after no fewer times
// itself: that costs a few in a hundred of what is served. So many answers make it. The first look
// is early: the machine may not be as quiet any more as it was without the overload.
const (
	firstProbe   = 500 * time.Millisecond
	probeEvery   = 2 * time.Second
	probeTimes   = 20
	probeAnswers = 12
)

// forgetting is how slowly the shortest time of an answer is forgotten while there is no overload,
// in which probes see to it.
const forgetting = 30 * time.Second

// pace measures how fast an address answers, and how many requests it can work on before they only
// wait inside of it. As BBR does it for the path of a connection (Cardwell et al., BBR:
// Congestion-Based Congestion Control, ACM Queue 14/5, 2016), that is the rate of its answers times
// what an answer takes when nothing waits; to see the latter, the bound is lowered for a moment now
// and then.
type pace struct {
	mean  time.Duration // moving average of how long an answer takes
	alone time.Duration // what an answer takes when nothing waits inside of the address

	// The window, or the phase of a probe: when it began, its answers, those for whose turns others
	// waited, and their times.
	began            time.Time
	answers, awaited int
	sum              time.Duration

	probe probe
}

// probe is a look at what an answer takes when nothing waits.
type probe struct {
	next  time.Time // when it begins
	phase probePhase
	back  int // the bound afterwards
}

type probePhase uint8

const (
	noProbe  probePhase = iota
	draining            // more are at work than the bound of the probe
	passing             // those that were are being answered
	counting
)

// begin is the begin of an overload.
func (p *pace) begin(now time.Time) {
	p.restart(now)
	if p.alone == 0 {
		p.alone = p.mean
	}
	p.probe = probe{next: now.Add(firstProbe)}
}

func (p *pace) restart(now time.Time) { p.began, p.answers, p.awaited, p.sum = now, 0, 0, 0 }

func (p *pace) between() time.Duration { return max(probeEvery, probeTimes*p.alone) }

// note adds an answer, and what it took; awaited says that others wait for its turn.
func (p *pace) note(took time.Duration, awaited bool) {
	if p.mean == 0 {
		p.mean = took
	}
	p.mean = (p.mean*smoothing + took) / (smoothing + 1)
	p.answers++
	p.sum += took
	if awaited {
		p.awaited++
	}
}

// settle ends a window while there is no overload: what an answer takes alone is the least of the
// windows, slowly forgotten.
func (p *pace) settle(now time.Time) {
	if !p.full(now) {
		return
	}
	mean := p.sum / time.Duration(p.answers)
	if p.alone == 0 || mean < p.alone {
		p.alone = mean
	}
	p.alone += time.Duration(float64(mean-p.alone) * min(1, float64(now.Sub(p.began))/float64(forgetting)))
	p.restart(now)
}

// full says that the window is over.
func (p *pace) full(now time.Time) bool {
	return p.answers >= paceAnswers && now.Sub(p.began) >= paceWindow
}

// idle says that for most of the answers nobody waited: what was asked for, and not what the
// address can do, made their rate.
func (p *pace) idle() bool { return 2*p.awaited < p.answers }

// bound returns how many requests the address may work on during an overload, when it works on so
// many and the bound has been limit: as many as it answers in the time of one alone, or in slack
// when that is longer.
func (p *pace) bound(now time.Time, working, limit int, slack time.Duration) int {
	if p.probe.phase != noProbe {
		return p.look(now, working, limit)
	}
	if !p.full(now) {
		return limit
	}
	rate, idle := float64(p.answers)/float64(now.Sub(p.began)), p.idle()
	p.restart(now)
	if idle { // BBR calls that application-limited
		return int(math.Ceil(float64(limit) * headroom))
	}
	limit = max(2, int(math.Ceil(rate*max(float64(p.alone)*headroom, float64(slack)))))
	if now.Before(p.probe.next) {
		return limit
	}
	p.probe = probe{phase: draining, back: limit}
	return max(1, limit/3)
}

// look takes the probe on and returns the bound.
func (p *pace) look(now time.Time, working, limit int) int {
	rounds := (probeAnswers + limit - 1) / limit // how many times as many answers are counted as requests are at work
	switch {
	case p.probe.phase == draining && working <= limit:
		p.probe.phase = passing
		p.restart(now)
	case p.probe.phase == passing && p.answers >= limit:
		p.probe.phase = counting
		p.restart(now)
	case p.probe.phase == counting && p.answers >= rounds*limit:
		if !p.idle() { // else fewer were at work than limit
			p.learn(now.Sub(p.began) / time.Duration(rounds))
		}
		back := p.probe.back
		p.probe = probe{next: now.Add(p.between())}
		p.restart(now)
		return back
	}
	return limit
}

// learn takes on what a probe found an answer to take alone, by Little's law. The mean of their own
// times would be too small: of requests sent at the same time the quick ones are answered first. It
// believes in at most twice of what it knew: the address may have stood still meanwhile.
func (p *pace) learn(alone time.Duration) {
	if p.alone > 0 {
		alone = min(alone, 2*p.alone)
	}
	p.alone = alone
}
