package passwords

import (
	"container/list"
	"context"
	"errors"
	"net/netip"
	"sync"
)

// queue distributes the slots for password hashes fairly among clients. A client is the network
// address that sends requests; its tickets form a flow. Free slots go to the flows in turn (round
// robin), so that many requests of one client delay each other but not those of other clients. The
// number of tickets is bounded. When it is reached, a ticket of a shorter flow evicts the newest
// ticket of the longest flow.
type queue struct {
	slots    int
	capacity int // tickets, with a slot or without

	mu       sync.Mutex
	running  int // slots in use
	occupied int // tickets, including those with a slot
	flows    map[string]*flow
	ready    list.List // of the *flow with tickets that wait for a slot; the front is next
}

// flow holds the tickets of one client.
type flow struct {
	queued     list.List     // of the *Ticket without a slot, oldest first
	waiting    list.List     // of the queued *Ticket that wait for a slot in acquire
	readyEntry *list.Element // in queue.ready; nil when no ticket waits
	tickets    int           // with a slot or without
}

// Ticket is the place of one request in the queue. Its context ends with that of the request, or
// when the ticket is evicted.
type Ticket struct {
	context.Context
	client          string
	flow            *flow
	evict           context.CancelCauseFunc
	queued, waiting *list.Element
	slot            chan struct{} // closed when the ticket gets a slot
	evicted         bool
}

var errQueueFull = errors.New("too many password hashes wait")

// newQueue returns a queue with slots, in which further tickets can wait.
func newQueue(slots, waiting int) *queue {
	return &queue{slots: slots, capacity: slots + waiting, flows: map[string]*flow{}}
}

// QueueClient returns the client of an IP address in the queue: the address itself, or the /48
// network of an IPv6 address, because one site can use all addresses of such a network (RFC 6177).
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

// enter returns a ticket for the client, or errQueueFull. Return the ticket with leave.
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

// evictNewest evicts the newest ticket of the longest flow. It evicts none and returns false if the
// requester's flow, with one more ticket, would then be the longest.
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

// acquire waits for a slot. Return it with release. The error is errQueueFull for an evicted
// ticket, else the cause for which the ticket's context ended.
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
	case <-ticket.slot: // granted at the same moment
		return nil
	default:
	}
	q.stopWaiting(ticket)
	return context.Cause(ticket)
}

// release returns a slot.
func (q *queue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
	q.grant()
}

// leave removes a ticket, which must hold no slot.
func (q *queue) leave(ticket *Ticket) {
	ticket.evict(nil)
	q.mu.Lock()
	defer q.mu.Unlock()
	if !ticket.evicted {
		q.remove(ticket)
	}
}

// grant gives free slots to the flows in turn, and within a flow to the oldest ticket.
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

// stopWaiting removes a ticket from those that wait for a slot.
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

// remove removes a ticket from its flow, and the flow with its last ticket.
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

// state returns the number of slots in use and of tickets without a slot.
func (q *queue) state() (running, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running, max(0, q.occupied-q.running)
}
