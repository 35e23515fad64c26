package vault

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// together does what is asked for at about the same time in one statement: a statement costs
// PostgreSQL, the kernel and pgx some ten times what one more row costs in one that is sent anyway,
// and a commit waits for the disk. Nobody waits for company: with no statement under way an
// operation is done at once, together with those of whoever is ready to run. Those that come while
// one is are done by the next one, and so never see what was before they were asked. When it takes
// longer than overdue, because it waits for a disk, a lock or the network, or when as many wait as
// one may hold, another one begins beside it, up to most.
//
// The loaders of data that the field has (dataloader and its kin) wait a fixed time for company or
// remember answers; a service must not be slower for who is alone, and nothing may be remembered.
type together[T any] struct {
	each func(ctx context.Context, batch []*T) error // does all of batch
	// apart names what only one operation at a time may be about, such as the user whose account a
	// write locks; nil: nothing.
	apart func(*T) string
	most  int // statements at once
	size  int // operations of one

	mu      sync.Mutex
	running int
	last    time.Time       // when the last of them began
	busy    map[string]bool // what they are about
	waiting []*seat[T]
	look    bool // a timer will look whether the running ones are overdue

	statements atomic.Int64 // that were begun
}

// seat is the place of an operation.
type seat[T any] struct {
	op   *T
	turn chan []*seat[T] // what the one who waits has to do; nil when somebody else has done it
	err  error
}

// overdue is how long a statement takes whose rows are not in PostgreSQL's memory, or more.
const overdue = 2 * time.Millisecond

// Bounds of one statement: how many operations are done together, and for how long it is waited
// for. Nobody of those who share a statement can end it, so it has a limit of its own, below the
// one of a request.
const (
	mostTogether     = 64
	statementTimeout = 20 * time.Second
)

// errBroke is what those are told who shared a statement that broke off without an error.
var errBroke = errors.New("the statement broke off")

func newTogether[T any](most, size int, apart func(*T) string, each func(context.Context, []*T) error) *together[T] {
	return &together[T]{each: each, apart: apart, most: most, size: size, busy: map[string]bool{}}
}

// do does op and returns the error of its statement, or that of ctx when it ended before op was
// begun.
func (g *together[T]) do(ctx context.Context, op *T) error {
	me := &seat[T]{op: op}
	batch, err := g.join(ctx, me)
	if err != nil {
		return err
	}
	if batch != nil {
		g.lead(ctx, batch)
	}
	return me.err
}

// join returns what the caller has to do, its own in it, or nil when that has been done.
func (g *together[T]) join(ctx context.Context, me *seat[T]) ([]*seat[T], error) {
	me.turn = make(chan []*seat[T], 1)
	g.mu.Lock()
	g.waiting = append(g.waiting, me)
	g.start()
	g.mu.Unlock()
	select {
	case batch := <-me.turn:
		return batch, nil
	case <-ctx.Done():
		if g.leave(me) {
			return nil, ctx.Err()
		}
		return <-me.turn, nil
	}
}

// start lets the first of those who wait lead a statement, when one may begin, for all of them that
// may be in it.
func (g *together[T]) start() {
	if len(g.waiting) > 0 && g.running > 0 && !g.look {
		g.look = true
		time.AfterFunc(overdue, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.look = false
			g.start()
		})
	}
	now := time.Now()
	if g.running > 0 && (g.running >= g.most || len(g.waiting) < g.size && now.Sub(g.last) < overdue) {
		return
	}
	if batch := g.take(nil); len(batch) > 0 {
		g.running++
		g.last = now
		batch[0].turn <- batch
	}
}

// take adds those who wait to batch, as many as it may hold, but for those whose turn has to wait
// for what others are about.
func (g *together[T]) take(batch []*seat[T]) []*seat[T] {
	rest := g.waiting[:0]
	for _, s := range g.waiting {
		if len(batch) < g.size && g.begin(s) {
			batch = append(batch, s)
		} else {
			rest = append(rest, s)
		}
	}
	clear(g.waiting[len(rest):])
	g.waiting = rest
	return batch
}

// begin marks what s is about as busy; false when it was.
func (g *together[T]) begin(s *seat[T]) bool {
	if g.apart == nil {
		return true
	}
	about := g.apart(s.op)
	if g.busy[about] {
		return false
	}
	g.busy[about] = true
	return true
}

// leave takes me out of those who wait; false when its turn has come.
func (g *together[T]) leave(me *seat[T]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, me)
	if i < 0 {
		return false
	}
	g.waiting = slices.Delete(g.waiting, i, i+1)
	return true
}

// lead does batch, and what others ask for who are ready to run: under load that is most of those
// who come at about the same time, and without it nobody.
func (g *together[T]) lead(ctx context.Context, batch []*seat[T]) {
	runtime.Gosched()
	g.mu.Lock()
	batch = g.take(batch)
	g.last = time.Now() // only now does it begin
	g.mu.Unlock()
	err := errBroke
	defer func() {
		g.end(batch)
		for _, s := range batch {
			s.err = err
			s.turn <- nil
		}
	}()
	ops := make([]*T, len(batch))
	for i, s := range batch {
		ops[i] = s.op
	}
	g.statements.Add(1)
	// The others wait for this too: it must not end with the request that happens to lead.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
	defer cancel()
	err = g.each(ctx, ops)
}

// end lets others begin after a batch.
func (g *together[T]) end(batch []*seat[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.apart != nil {
		for _, s := range batch {
			delete(g.busy, g.apart(s.op))
		}
	}
	g.running--
	g.start()
}
