package passwords

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// enterAndTake acquires a slot for client and reports its name to got when it has it. It keeps
// the slot for a second.
func enterAndTake(t *testing.T, q *queue, client string, got func(string)) {
	p, err := q.enter(t.Context(), client)
	if err != nil {
		got(client + " refused")
		return
	}
	go func() {
		defer q.leave(p)
		if err := q.acquire(p); err != nil {
			got(client + " displaced")
			return
		}
		got(client)
		time.Sleep(time.Second)
		q.release()
	}()
	synctest.Wait()
}

func recorder() (got func(string), all func() []string) {
	var mu sync.Mutex
	var order []string
	return func(s string) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, s)
		}, func() []string {
			mu.Lock()
			defer mu.Unlock()
			return append([]string(nil), order...)
		}
}

// TestClientThatFillsTheQueueDelaysOnlyItself: another client gets the next slot, and
// again each time.
func TestClientThatFillsTheQueueDelaysOnlyItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(2, 400)
		got, all := recorder()
		for range 290 {
			enterAndTake(t, q, "attacker", got)
		}
		enterAndTake(t, q, "ann", got)
		enterAndTake(t, q, "bob", got)
		enterAndTake(t, q, "ann", got)
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if order := all(); len(order) != 4 || order[2] != "ann" && order[3] != "ann" {
			t.Errorf("after one round of hashes: got %v, want ann's among the first four", order)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if order := all(); len(order) != 6 || order[4] != "bob" && order[5] != "bob" {
			t.Errorf("after two rounds: got %v, want bob's among the six", order)
		}
		time.Sleep(200 * time.Second)
		synctest.Wait()
		if order := all(); len(order) != 293 {
			t.Errorf("in the end %d had a slot, want all 293", len(order))
		}
		if len(q.flows) != 0 || q.ready.Len() != 0 || q.running != 0 || q.occupied != 0 {
			t.Errorf("afterwards: %d flows, %d ready, %d running, %d tickets, want none",
				len(q.flows), q.ready.Len(), q.running, q.occupied)
		}
	})
}

// TestFullQueueHasRoomForAnother: the longest flow loses its newest tickets, and only while it
// is the longer one.
func TestFullQueueHasRoomForAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1, 8)
		got, all := recorder()
		for range 10 {
			enterAndTake(t, q, "attacker", got) // one has the slot, eight wait, one is refused
		}
		for range 6 {
			enterAndTake(t, q, "ann", got)
		}
		want := append([]string{"attacker", "attacker refused"}, slices.Repeat([]string{"attacker displaced"}, 4)...)
		want = append(want, "ann refused", "ann refused")
		if order := all(); !slices.Equal(order, want) {
			t.Errorf("got %v\nwant %v", order, want)
		}
		enterAndTake(t, q, "bob", got)
		time.Sleep(time.Minute)
		synctest.Wait()
		served := map[string]int{}
		for _, s := range all() {
			served[s]++
		}
		if served["bob"] != 1 || served["ann"]+served["attacker"] != 8 {
			t.Errorf("served: got %v", served)
		}
		if len(q.flows) != 0 || q.occupied != 0 || q.running != 0 {
			t.Errorf("afterwards: %d flows, %d tickets, %d running", len(q.flows), q.occupied, q.running)
		}
	})
}

// TestRequestThatEndsReturnsItsTicket, also at the moment at which it gets its slot.
func TestRequestThatEndsReturnsItsTicket(t *testing.T) {
	t.Parallel()
	q := newQueue(2, 100)
	var served atomic.Int64
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*20*time.Microsecond)
			defer cancel()
			p, err := q.enter(ctx, fmt.Sprint(i%7))
			if err != nil {
				return
			}
			defer q.leave(p)
			switch err := q.acquire(p); {
			case err == nil:
				served.Add(1)
				q.release()
			case !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, errQueueFull):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if running, waiting := q.state(); running != 0 || waiting != 0 || len(q.flows) != 0 || q.ready.Len() != 0 {
		t.Errorf("afterwards: %d running, %d waiting, %d flows, %d ready; %d served",
			running, waiting, len(q.flows), q.ready.Len(), served.Load())
	}
}

func TestClientsOfTheQueue(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1",
		"2001:db8:1:2::3": "2001:db8:1::/48", "2001:db8:1:ffff::9": "2001:db8:1::/48",
		"fe80::1%eth0": "fe80::/48", "": "",
	} {
		if got := QueueClient(address); got != want {
			t.Errorf("%q: got %q, want %q", address, got, want)
		}
	}
}
