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

// headroom is how many times what an address works on, when nothing waits inside of it, it is given: it never runs dry, and an answer takes at
// most as many times as long.
const headroom = 1.3

// The time of an answer without a queue is looked at anew every so often, and after no fewer times itself: that costs a few in a hundred of
// what is served. So many answers make it. The first look is early: the machine may not be as quiet any more as it was without the overload.
const (
	firstProbe   = 500 * time.Millisecond
	probeEvery   = 2 * time.Second
	probeTimes   = 20
	probeAnswers = 12
)

// forgetting is how slowly the shortest time of an answer is forgotten while there is no overload, in which probes see to it.
const forgetting = 30 * time.Second

// pace measures how fast an address answers, and how many requests it can work on before they only wait inside of it. As BBR does it for the
// path of a connection (Cardwell et al., BBR: Congestion-Based Congestion Control, ACM Queue 14/5, 2016), that is the rate of its answers times
// what an answer takes when nothing waits; to see the latter, the bound is lowered for a moment now and then.
type pace struct {
	mean  time.Duration // moving average of how long an answer takes
	alone time.Duration // what an answer takes when nothing waits inside of the address

	began   time.Time // of the window
	answers int
	awaited int // answers for whose turns others waited
	sum     time.Duration

	probe probe
}

// probe is a look at what an answer takes when nothing waits.
type probe struct {
	next    time.Time // when it begins
	phase   probePhase
	answers int       // in this phase
	awaited int       // of them, those for whose turns others waited
	rounds  int       // how many times as many answers are counted as requests are at work
	from    time.Time // when counting began
	back    int       // the bound afterwards
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
	p.probe.phase, p.probe.next = noProbe, now.Add(firstProbe)
}

func (p *pace) restart(now time.Time) { p.began, p.answers, p.awaited, p.sum = now, 0, 0, 0 }

func (p *pace) between() time.Duration { return max(probeEvery, probeTimes*p.alone) }

// note adds the answer to a request; awaited says that others wait for its turn.
func (p *pace) note(start, now time.Time, awaited bool) {
	took := now.Sub(start)
	if p.mean == 0 {
		p.mean = took
	}
	p.mean = (p.mean*smoothing + took) / (smoothing + 1)
	p.answers++
	p.sum += took
	p.probe.answers++
	if awaited {
		p.awaited++
		p.probe.awaited++
	}
}

// settle ends a window while there is no overload: what an answer takes alone is the least of the windows, slowly forgotten.
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

// bound returns how many requests the address may work on during an overload, when it works on so many and the bound has been limit: as many as it
// answers in the time of one alone, or in slack when that is longer.
func (p *pace) bound(now time.Time, working, limit int, slack time.Duration) int {
	if p.probe.phase != noProbe {
		return p.look(now, working, limit)
	}
	if !p.full(now) {
		return limit
	}
	rate, idle := float64(p.answers)/float64(now.Sub(p.began)), 2*p.awaited < p.answers
	p.restart(now)
	if idle {
		// What was asked for, and not what the address can do, made the rate; BBR calls that application-limited.
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
	switch {
	case p.probe.phase == draining && working <= limit:
		p.probe.phase, p.probe.answers = passing, 0
	case p.probe.phase == passing && p.probe.answers >= limit:
		p.probe.phase, p.probe.answers, p.probe.awaited, p.probe.from = counting, 0, 0, now
		p.probe.rounds = (probeAnswers + limit - 1) / limit
	case p.probe.phase == counting && p.probe.answers >= p.probe.rounds*limit:
		// Little's law. The mean of their own times would be too small: of requests sent at the same time the quick ones are answered first.
		if alone := now.Sub(p.probe.from) / time.Duration(p.probe.rounds); 2*p.probe.awaited >= p.probe.answers { // else fewer were at work than counted
			if p.alone > 0 {
				alone = min(alone, 2*p.alone) // it may have stood still meanwhile
			}
			p.alone = alone
		}
		back := p.probe.back
		p.probe = probe{next: now.Add(p.between())}
		p.restart(now)
		return back
	}
	return limit
}
