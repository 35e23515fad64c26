package service

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Signals returns the context of a process: it ends with the first SIGINT or SIGTERM. With the second, what waits out of courtesy only (DRAIN_DELAY)
// waits no longer; the stop remains in order. The caller calls release at the end.
func Signals(parent context.Context) (ctx context.Context, release func()) {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	signals, hurry, done := make(chan os.Signal, 2), make(chan struct{}), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for range 2 {
			select {
			case <-signals:
			case <-done:
				return
			}
		}
		close(hurry)
	}()
	return withHurry(ctx, hurry), func() {
		signal.Stop(signals)
		stop()
		close(done)
	}
}

type hurryKey struct{}

// withHurry puts the channel that is closed by the second signal into ctx, through which it reaches every service of a process.
func withHurry(ctx context.Context, hurry <-chan struct{}) context.Context {
	return context.WithValue(ctx, hurryKey{}, hurry)
}

// hurried returns that channel, nil when ctx has none.
func hurried(ctx context.Context) <-chan struct{} {
	hurry, _ := ctx.Value(hurryKey{}).(<-chan struct{})
	return hurry
}
