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
// what is served. So many answers make it.
const (
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
	sum     time.Duration

	probe struct {
		next time.Time // when it begins
		on   bool
		from time.Time     // when those before it were answered; zero until then
		back int           // the bound afterwards
		n    int           // answers to those who came since
		sum  time.Duration // of their times
	}
}

// begin is the begin of an overload.
func (p *pace) begin(now time.Time) {
	p.restart(now)
	p.probe.on, p.probe.next = false, now.Add(p.between())
}

func (p *pace) restart(now time.Time) { p.began, p.answers, p.sum = now, 0, 0 }

func (p *pace) between() time.Duration { return max(probeEvery, probeTimes*p.alone) }

// note adds the answer to a request.
func (p *pace) note(start, now time.Time) {
	took := now.Sub(start)
	if p.mean == 0 {
		p.mean = took
	}
	p.mean = (p.mean*smoothing + took) / (smoothing + 1)
	p.answers++
	p.sum += took
	if p.probe.on && !p.probe.from.IsZero() && !start.Before(p.probe.from) {
		p.probe.n++
		p.probe.sum += took
		return
	}
	if p.probe.on || !p.full(now) {
		return
	}
	if mean := p.sum / time.Duration(p.answers); p.alone == 0 || mean < p.alone {
		p.alone = mean
	}
}

// settle ends a window while there is no overload: what an answer takes alone is the least of the windows, slowly forgotten.
func (p *pace) settle(now time.Time) {
	if !p.full(now) {
		return
	}
	mean := p.sum / time.Duration(p.answers)
	p.alone += time.Duration(float64(mean-p.alone) * min(1, float64(now.Sub(p.began))/float64(forgetting)))
	p.restart(now)
}

// full says that the window is over.
func (p *pace) full(now time.Time) bool {
	return p.answers >= paceAnswers && now.Sub(p.began) >= paceWindow
}

// bound returns how many requests the address may work on during an overload, when it works on so many and the bound has been limit.
func (p *pace) bound(now time.Time, working, limit int) int {
	switch {
	case p.probe.on && p.probe.from.IsZero():
		if working <= limit {
			p.probe.from = now
		}
	case p.probe.on:
		if p.probe.n >= probeAnswers {
			p.alone = p.probe.sum / time.Duration(p.probe.n)
			p.probe.on, p.probe.next = false, now.Add(p.between())
			p.restart(now)
			return p.probe.back
		}
	case p.full(now):
		rate := float64(p.answers) / float64(now.Sub(p.began))
		p.restart(now)
		limit = max(2, int(math.Ceil(rate*float64(p.alone)*headroom)))
		if now.After(p.probe.next) {
			p.probe.on, p.probe.from, p.probe.back, p.probe.n, p.probe.sum = true, time.Time{}, limit, 0, 0
			return max(1, limit/3)
		}
	}
	return limit
}
