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
	slots, capacity int

	mu       sync.Mutex
	running  int // slots in use
	occupied int // places in use, those with a slot included
	flows    map[string]*flow
	ready    list.List // of the *holderLine with a request that waits for a slot; the front is next
}

// holderLine is what one holder has in the queue.
type flow struct {
	queued     list.List     // of the *Ticket without a slot, oldest first
	waiting    list.List     // those of them that wait for a slot
	readyEntry *list.Element // in turns; nil when nothing waits
	tickets    int           // with a slot or without
}

// Ticket is the place of one request. Its context ends with the request's, or when the place is
// lost.
type Ticket struct {
	context.Context
	client          string
	flow            *flow
	evict           context.CancelCauseFunc
	queued, waiting *list.Element
	slot            chan struct{} // closed when the place has got a slot
	evicted         bool
}

var errQueueFull = errors.New("too many password hashes wait")

func newQueue(slots, waiting int) *queue {
	return &queue{slots: slots, capacity: slots + waiting, flows: map[string]*flow{}}
}

// QueueHolder is what an address counts as in the queue: itself, or the /48 network of an IPv6
// address, because a site can have all addresses of one.
func QueueClient(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if addr = addr.Unmap().WithZone(""); addr.Is4() {
		return addr.String()
	}
	network, _ := addr.Prefix(48) // never fails: an IPv6 address has 128 bits
	return network.String()
}

// enter takes a place for holder, or returns errQueueFull. The place ends with leave.
func (q *queue) enter(ctx context.Context, client string) (*Ticket, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f := q.flows[client]
	if f == nil {
		f = &flow{}
	}
	if q.occupied == q.capacity && !q.evictNewest(f) {
		return nil, errQueueFull
	}
	ticket := &Ticket{client: client, flow: f, slot: make(chan struct{})}
	ticket.Context, ticket.evict = context.WithCancelCause(ctx)
	ticket.queued = f.queued.PushBack(ticket)
	f.tickets++
	q.flows[client] = f
	q.occupied++
	return ticket, nil
}

// displace takes the newest place of the longest line, unless own would then be the longest.
func (q *queue) evictNewest(requester *flow) bool {
	longest := requester
	for _, f := range q.flows {
		if f.queued.Len() > longest.queued.Len() {
			longest = f
		}
	}
	if longest.queued.Len() <= requester.queued.Len()+1 {
		return false
	}
	ticket := longest.queued.Back().Value.(*Ticket)
	ticket.evicted = true
	q.remove(ticket)
	ticket.evict(errQueueFull)
	return true
}

// take waits for a slot, which ends with give. The error is the cause for which the context ended.
func (q *queue) acquire(ticket *Ticket) error {
	q.mu.Lock()
	if ticket.evicted {
		q.mu.Unlock()
		return errQueueFull
	}
	ticket.waiting = ticket.flow.waiting.PushBack(ticket)
	if ticket.flow.readyEntry == nil {
		ticket.flow.readyEntry = q.ready.PushBack(ticket.flow)
	}
	q.grant()
	q.mu.Unlock()
	select {
	case <-ticket.slot:
		return nil
	case <-ticket.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-ticket.slot: // granted in the same moment
		return nil
	default:
	}
	q.stopWaiting(ticket)
	return context.Cause(ticket)
}

// give returns the slot of a place.
func (q *queue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
	q.grant()
}

// leave ends a place.
func (q *queue) leave(ticket *Ticket) {
	ticket.evict(nil)
	q.mu.Lock()
	defer q.mu.Unlock()
	if !ticket.evicted {
		q.remove(ticket)
	}
}

// grant gives the free slots to the lines in turn, and in a line to the oldest.
func (q *queue) grant() {
	for q.running < q.slots && q.ready.Len() > 0 {
		f := q.ready.Front().Value.(*flow)
		ticket := f.waiting.Front().Value.(*Ticket)
		q.ready.MoveToBack(f.readyEntry)
		q.stopWaiting(ticket)
		f.queued.Remove(ticket.queued)
		ticket.queued = nil
		q.running++
		close(ticket.slot)
	}
}

func (q *queue) stopWaiting(ticket *Ticket) {
	if ticket.waiting == nil {
		return
	}
	ticket.flow.waiting.Remove(ticket.waiting)
	ticket.waiting = nil
	if ticket.flow.waiting.Len() == 0 {
		q.ready.Remove(ticket.flow.readyEntry)
		ticket.flow.readyEntry = nil
	}
}

func (q *queue) remove(ticket *Ticket) {
	q.stopWaiting(ticket)
	if ticket.queued != nil {
		ticket.flow.queued.Remove(ticket.queued)
		ticket.queued = nil
	}
	q.occupied--
	if ticket.flow.tickets--; ticket.flow.tickets == 0 {
		delete(q.flows, ticket.client)
	}
}

// state returns how many requests hash a password now, and how many wait for that.
func (q *queue) state() (running, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running, max(0, q.occupied-q.running)
}
