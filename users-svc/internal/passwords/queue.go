package passwords

import (
	"container/list"
	"context"
	"errors"
	"net/netip"
	"sync"
)

// queue lends the slots in which passwords are hashed. A holder is who causes the work: a
// client address. Each holder has a line of its own and the lines take turns, so that many requests
// of one address delay each other and not those of everyone else. The places are bounded; when none
// is left, the newest request of the longest line loses its place to one of a shorter line.
type queue struct {
	slots, places int

	mu       sync.Mutex
	running  int // slots in use
	occupied int // places in use, those with a slot included
	lines    map[string]*holderLine
	turns    list.List // of the *holderLine with a request that waits for a slot; the front is next
}

// holderLine is what one holder has in the queue.
type holderLine struct {
	present list.List     // of the *Ticket without a slot, oldest first
	waiting list.List     // those of them that wait for a slot
	turn    *list.Element // in turns; nil when nothing waits
	places  int           // with a slot or without
}

// Ticket is the place of one request. Its context ends with the request's, or when the place is
// lost.
type Ticket struct {
	context.Context
	holder           string
	line             *holderLine
	lose             context.CancelCauseFunc
	present, waiting *list.Element
	slot             chan struct{} // closed when the place has got a slot
	lost             bool
}

var errQueueFull = errors.New("too many password hashes wait")

func newQueue(slots, waiting int) *queue {
	return &queue{slots: slots, places: slots + waiting, lines: map[string]*holderLine{}}
}

// QueueHolder is what an address counts as in the queue: itself, or the /48 network of an IPv6
// address, because a site can have all addresses of one.
func QueueHolder(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a.String()
	}
	site, _ := a.Prefix(48) // never fails: an IPv6 address has 128 bits
	return site.String()
}

// enter takes a place for holder, or returns errQueueFull. The place ends with leave.
func (q *queue) enter(ctx context.Context, holder string) (*Ticket, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	line := q.lines[holder]
	if line == nil {
		line = &holderLine{}
	}
	if q.occupied == q.places && !q.displace(line) {
		return nil, errQueueFull
	}
	p := &Ticket{holder: holder, line: line, slot: make(chan struct{})}
	p.Context, p.lose = context.WithCancelCause(ctx)
	p.present = line.present.PushBack(p)
	line.places++
	q.lines[holder] = line
	q.occupied++
	return p, nil
}

// displace takes the newest place of the longest line, unless own would then be the longest.
func (q *queue) displace(own *holderLine) bool {
	longest := own
	for _, line := range q.lines {
		if line.present.Len() > longest.present.Len() {
			longest = line
		}
	}
	if longest.present.Len() <= own.present.Len()+1 {
		return false
	}
	p := longest.present.Back().Value.(*Ticket)
	p.lost = true
	q.remove(p)
	p.lose(errQueueFull)
	return true
}

// take waits for a slot, which ends with give. The error is the cause for which the context ended.
func (q *queue) take(p *Ticket) error {
	q.mu.Lock()
	if p.lost {
		q.mu.Unlock()
		return errQueueFull
	}
	p.waiting = p.line.waiting.PushBack(p)
	if p.line.turn == nil {
		p.line.turn = q.turns.PushBack(p.line)
	}
	q.grant()
	q.mu.Unlock()
	select {
	case <-p.slot:
		return nil
	case <-p.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-p.slot: // granted in the same moment
		return nil
	default:
	}
	q.stopWaiting(p)
	return context.Cause(p)
}

// give returns the slot of a place.
func (q *queue) give() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
	q.grant()
}

// leave ends a place.
func (q *queue) leave(p *Ticket) {
	p.lose(nil)
	q.mu.Lock()
	defer q.mu.Unlock()
	if !p.lost {
		q.remove(p)
	}
}

// grant gives the free slots to the lines in turn, and in a line to the oldest.
func (q *queue) grant() {
	for q.running < q.slots && q.turns.Len() > 0 {
		line := q.turns.Front().Value.(*holderLine)
		p := line.waiting.Front().Value.(*Ticket)
		q.turns.MoveToBack(line.turn)
		q.stopWaiting(p)
		line.present.Remove(p.present)
		p.present = nil
		q.running++
		close(p.slot)
	}
}

func (q *queue) stopWaiting(p *Ticket) {
	if p.waiting == nil {
		return
	}
	p.line.waiting.Remove(p.waiting)
	p.waiting = nil
	if p.line.waiting.Len() == 0 {
		q.turns.Remove(p.line.turn)
		p.line.turn = nil
	}
}

func (q *queue) remove(p *Ticket) {
	q.stopWaiting(p)
	if p.present != nil {
		p.line.present.Remove(p.present)
		p.present = nil
	}
	q.occupied--
	if p.line.places--; p.line.places == 0 {
		delete(q.lines, p.holder)
	}
}

// state returns how many requests hash a password now, and how many wait for that.
func (q *queue) state() (running, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running, max(0, q.occupied-q.running)
}
