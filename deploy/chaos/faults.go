package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// fault is a way to break a part and to mend it. Unless it is brief, it lasts for the time of
// -seconds.
type fault struct {
	name        string
	begin, mend func(context.Context) error
	// ready, if set, waits until the broken part serves again.
	ready func(context.Context) error
	brief bool
	// cutOff: only the third gateway notices the fault, so the load includes it.
	cutOff bool
	// callersKnown: gateways can identify callers during the fault, so the log must have the
	// refusals too.
	callersKnown bool
	// unrecorded: gateway 2 may answer requests that it cannot record; it must count their events.
	unrecorded bool
	// orderly marks the rolling restart, during which no request may fail.
	orderly bool
}

// faults lists all faults in the order in which they are injected.
func (w *world) faults() []fault {
	var out []fault
	for _, p := range []struct {
		name  string
		part  part
		known bool
	}{
		{"gateway (1 of 2)", w.gateways[0], false}, {"users-svc (the only one)", w.users, false},
		{"vault-svc (1 of 2)", w.vaults[0], true},
		{"activity-svc (1 of 2)", w.activities[0], true}, {"PostgreSQL", w.postgres, false},
		{"nats-server", w.nats, true}, {"Redis", w.redis, false},
	} {
		out = append(out,
			fault{name: "kill -9 " + p.name, begin: plain(p.part.kill), mend: plain(p.part.start), ready: p.part.ready,
				callersKnown: p.known},
			fault{name: "SIGSTOP " + p.name, begin: plain(p.part.freeze), mend: plain(p.part.thaw),
				callersKnown: p.known},
			fault{name: "restart " + p.name, begin: p.part.stop, mend: plain(p.part.start), ready: p.part.ready,
				brief: true, callersKnown: p.known},
		)
	}
	for _, n := range []struct {
		name   string
		nets   []*network
		cutOff bool
		known  bool
	}{
		{"users-svc, from one gateway", []*network{w.nets.users}, true, false},
		{"vault-svc, from one gateway", []*network{w.nets.vault}, true, true},
		{"activity-svc, from one gateway", []*network{w.nets.activity}, true, true},
		{"PostgreSQL, from all", []*network{w.nets.postgres}, false, false},
		{"NATS, from all", []*network{w.nets.nats, w.nets.natsUsers}, false, true},
		{"Redis, from all", []*network{w.nets.redis, w.nets.redisUsers}, false, false},
	} {
		out = append(out,
			fault{name: "network cut to " + n.name, begin: cut(true, n.nets...), mend: cut(false, n.nets...),
				cutOff: n.cutOff, callersKnown: n.known})
	}
	for i, name := range []string{"answers only what it can record", "answers all the same and counts"} {
		out = append(out, fault{name: fmt.Sprintf("journal's disk full, gateway %d (%s)", i+1, name),
			begin: plain(func() error { return fillDisk(w.gateways[i].journal) }),
			mend:  plain(func() error { return clearDisk(w.gateways[i].journal) }), unrecorded: true})
	}
	out = append(out, fault{name: "kill -9 everything at once", begin: plain(w.killAll), mend: plain(w.startAll),
		ready: w.allReady})
	return append(out, fault{name: "rolling restart of all services", begin: w.roll,
		mend: plain(func() error { return nil }), brief: true, orderly: true, callersKnown: true})
}

// cut cuts networks or restores them.
func cut(cut bool, nets ...*network) func(context.Context) error {
	return plain(func() error {
		for _, n := range nets {
			n.setCut(cut)
		}
		return nil
	})
}

// everything returns all processes in an order in which they can start.
func (w *world) everything() []part {
	out := []part{w.postgres, w.nats, w.redis, w.users}
	for _, i := range append(append(append([]*instance{}, w.vaults...), w.activities...), w.gateways...) {
		out = append(out, i)
	}
	return out
}

// killAll kills every process before any of them can react.
func (w *world) killAll() error {
	all := w.everything()
	failures := make([]error, len(all))
	var dying sync.WaitGroup
	for i, p := range all {
		dying.Go(func() { failures[i] = p.kill() })
	}
	dying.Wait()
	return errors.Join(failures...)
}

func (w *world) startAll() error {
	var failures []error
	for _, p := range w.everything() {
		failures = append(failures, p.start())
	}
	return errors.Join(failures...)
}

func (w *world) allReady(ctx context.Context) error {
	var failures []error
	for _, p := range w.everything() {
		failures = append(failures, p.ready(ctx))
	}
	return errors.Join(failures...)
}

// plain adapts a step that needs no context.
func plain(f func() error) func(context.Context) error {
	return func(context.Context) error { return f() }
}

func fillerIn(dir string) string { return filepath.Join(dir, "filler") }

// fillDisk writes until the disk is full.
func fillDisk(dir string) error {
	f, err := os.Create(fillerIn(dir))
	if err != nil {
		return err
	}
	defer f.Close()
	chunk := make([]byte, 4<<10)
	for written := 0; written <= journalDisk; written += len(chunk) {
		if _, err := f.Write(chunk); err != nil {
			return nil // full
		}
	}
	return errors.New("the disk of the journal does not get full: is it not a disk of its own?")
}

func clearDisk(dir string) error { return os.Remove(fillerIn(dir)) }

// list prints the names of the faults.
func (w *world) list(out io.Writer) error {
	w.gateways, w.vaults, w.activities = make([]*instance, 3), make([]*instance, 2), make([]*instance, 2)
	for _, f := range w.faults() {
		fmt.Fprintln(out, f.name)
	}
	fmt.Fprintln(out, revocationName)
	return nil
}

// window is the period of a fault, and the observations made in it.
type window struct {
	fault
	began, mended time.Time
	// up is when the stopped part reported that it was ready again, or mended if none had stopped.
	up time.Time
	// calm is when requests began to succeed for good, zero if that was not reached in time. closed
	// is when the next fault could begin.
	calm, closed time.Time
	dropped      int // events that gateway 2 counted as not recorded
}

// calmFor is how long all requests must succeed before the next fault.
const calmFor = time.Second

// inject injects a fault and waits until requests succeed again.
func (w *world) inject(ctx context.Context, f fault) (*window, error) {
	w.say("%s", f.name)
	if f.cutOff {
		w.load.rotate(0, 1, 2)
		defer w.load.rotate(0, 1)
	}
	before, err := w.droppedEvents()
	if err != nil {
		return nil, err
	}
	win := &window{fault: f, began: time.Now()}
	if err := f.begin(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	if !f.brief {
		pause(ctx, w.options.hold)
	}
	if f.orderly {
		win.mended = time.Now()
	} else if win.mended, err = mend(ctx, f); err != nil {
		return nil, err
	}
	for _, c := range w.load.clients {
		c.http.CloseIdleConnections() // connections to a gateway that has stopped
	}
	win.up = win.mended
	if f.ready != nil {
		if err := f.ready(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		win.up = time.Now()
	}
	w.settle(ctx, win)
	after, err := w.droppedEvents()
	win.dropped = after - before
	return win, errors.Join(err, ctx.Err())
}

// mend ends the fault and returns the time at which it began to do so.
func mend(ctx context.Context, f fault) (time.Time, error) {
	at := time.Now()
	if err := f.mend(context.WithoutCancel(ctx)); err != nil {
		return at, fmt.Errorf("mend %s: %w", f.name, err)
	}
	return at, ctx.Err()
}

// settle waits until requests have succeeded for a while. It waits longer than the stated recovery,
// so that the table can tell how long it took.
func (w *world) settle(ctx context.Context, win *window) {
	deadline := win.up.Add(3*w.options.recovery + patience)
	for ctx.Err() == nil && time.Now().Before(deadline) {
		since, good := w.ledger.calmSince(win.mended, calmFor/2)
		if time.Since(since) >= calmFor && good >= 10 {
			win.calm = since
			break
		}
		pause(ctx, 50*time.Millisecond)
	}
	win.closed = time.Now()
}

// excuses reports whether a request in flight from sent to answered may have failed because of the
// fault.
func (win *window) excuses(sent, answered time.Time, recovery time.Duration) bool {
	return !win.orderly && !answered.Before(win.began) && !sent.After(win.up.Add(recovery))
}

// touches reports whether the request was in flight during the window.
func (win *window) touches(a *attempt) bool {
	return !a.answered.Before(win.began) && !a.sent.After(win.closed)
}
