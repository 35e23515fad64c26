// Package batch provides group commit: operations that arrive at about the same time share one
// statement and one commit. Start reading at Batcher.Do.
package batch

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/realmgate/realmgate/pkg/trace"
)

// Batcher runs operations in batches, each with one call of run. This saves work: a statement costs
// PostgreSQL, the kernel and pgx about ten times as much as one more row in it, and each commit
// waits for the disk.
//
// No operation waits for others to arrive. While no batch runs, an operation starts a batch at
// once, together with the operations of goroutines that are ready to run. Operations that arrive
// while a batch runs are collected for the next one, so a read never returns a state from before
// its request. Another batch starts beside the running one, up to maxRunning, when the running
// batch takes longer than slowStatement (it waits for a disk, a lock or the network) or when the
// collected batch is full.
//
// Libraries such as dataloader do not fit: they delay every operation by a fixed time, or cache
// results. A single client must not become slower, and reads must be current.
type Batcher[T any] struct {
	run         func(ctx context.Context, batch []*T) error
	conflictKey func(*T) string
	maxRunning  int
	maxSize     int

	mu         sync.Mutex
	running    int
	lastStart  time.Time
	reserved   map[string]bool // conflict keys of the running batches
	waiting    []*pending[T]
	timerSet   bool // a timer will call start after slowStatement
	statements atomic.Int64
}

// pending is an operation that waits for its batch.
type pending[T any] struct {
	op  *T
	ctx context.Context
	// turn receives the batch that this operation leads, or nil when another one has run it.
	turn chan []*pending[T]
	err  error
}

// slowStatement is the duration after which another batch may start beside a running one.
// Statements whose rows are in PostgreSQL's memory take less.
const slowStatement = 2 * time.Millisecond

// statementTimeout bounds a batch. It is shorter than the timeout of a request. A batch needs its
// own timeout because no single client can cancel a shared statement.
const statementTimeout = 20 * time.Second

// errAborted is the error of operations whose batch panicked.
var errAborted = errors.New("the statement was aborted")

// New returns a batcher that runs at most maxRunning batches at once, each of at most maxSize
// operations. No two operations with the same conflict key run at the same time; a nil conflictKey
// means that no operations conflict.
func New[T any](maxRunning, maxSize int, conflictKey func(*T) string,
	run func(context.Context, []*T) error) *Batcher[T] {
	return &Batcher[T]{run: run, conflictKey: conflictKey, maxRunning: maxRunning, maxSize: maxSize,
		reserved: map[string]bool{}}
}

// Statements returns the number of batches that were started.
func (b *Batcher[T]) Statements() int64 { return b.statements.Load() }

// Do runs op in a batch and returns the error of the batch. If ctx ends before the batch starts, op
// does not run and Do returns the error of ctx.
func (b *Batcher[T]) Do(ctx context.Context, op *T) error {
	p := &pending[T]{op: op, ctx: ctx}
	batch, err := b.join(p)
	if err != nil {
		return err
	}
	if batch != nil {
		b.lead(batch)
	}
	return p.err
}

// join waits until p leads a batch or another operation has run it. It returns the batch that p
// must lead, or nil when p is done.
func (b *Batcher[T]) join(p *pending[T]) ([]*pending[T], error) {
	p.turn = make(chan []*pending[T], 1)
	b.mu.Lock()
	b.waiting = append(b.waiting, p)
	b.start()
	b.mu.Unlock()
	select {
	case batch := <-p.turn:
		return batch, nil
	case <-p.ctx.Done():
		if b.cancel(p) {
			return nil, p.ctx.Err()
		}
		return <-p.turn, nil
	}
}

// start starts the next batch, if another one may run: its first operation leads it. b.mu is
// locked.
func (b *Batcher[T]) start() {
	if len(b.waiting) > 0 && b.running > 0 && !b.timerSet {
		b.timerSet = true
		time.AfterFunc(slowStatement, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.timerSet = false
			b.start()
		})
	}
	now := time.Now()
	full, slow := len(b.waiting) >= b.maxSize, now.Sub(b.lastStart) >= slowStatement
	if b.running > 0 && (b.running >= b.maxRunning || !full && !slow) {
		return
	}
	if batch := b.collect(nil); len(batch) > 0 {
		b.running++
		b.lastStart = now
		batch[0].turn <- batch
	}
}

// collect moves waiting operations to batch until it is full. It skips operations that conflict
// with a running one. b.mu is locked.
func (b *Batcher[T]) collect(batch []*pending[T]) []*pending[T] {
	rest := b.waiting[:0]
	for _, p := range b.waiting {
		if len(batch) < b.maxSize && b.reserve(p) {
			batch = append(batch, p)
		} else {
			rest = append(rest, p)
		}
	}
	clear(b.waiting[len(rest):])
	b.waiting = rest
	return batch
}

// reserve reserves the conflict key of p. It returns false when another operation holds the key.
// b.mu is locked.
func (b *Batcher[T]) reserve(p *pending[T]) bool {
	if b.conflictKey == nil {
		return true
	}
	key := b.conflictKey(p.op)
	if b.reserved[key] {
		return false
	}
	b.reserved[key] = true
	return true
}

// cancel removes p from the waiting operations. It returns false when p is already in a batch.
func (b *Batcher[T]) cancel(p *pending[T]) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.waiting, p)
	if i < 0 {
		return false
	}
	b.waiting = slices.Delete(b.waiting, i, i+1)
	return true
}

// lead lets other goroutines that are ready to run add their operations to batch, and runs it.
// Under load these are most of the operations that arrive at about the same time; without load
// there are none.
func (b *Batcher[T]) lead(batch []*pending[T]) {
	runtime.Gosched()
	b.mu.Lock()
	batch = b.collect(batch)
	b.lastStart = time.Now() // the statement starts now
	b.mu.Unlock()
	err := errAborted
	defer func() {
		b.finish(batch)
		for _, p := range batch {
			p.err = err
			p.turn <- nil
		}
	}()
	ops, contexts := make([]*T, len(batch)), make([]context.Context, len(batch))
	for i, p := range batch {
		ops[i], contexts[i] = p.op, p.ctx
	}
	b.statements.Add(1)
	// The end of the leading request must not cancel the statement: other requests wait for it too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(trace.Shared(contexts)), statementTimeout)
	defer cancel()
	err = b.run(ctx, ops)
}

// finish releases the conflict keys of batch and starts the next batch.
func (b *Batcher[T]) finish(batch []*pending[T]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conflictKey != nil {
		for _, p := range batch {
			delete(b.reserved, b.conflictKey(p.op))
		}
	}
	b.running--
	b.start()
}
