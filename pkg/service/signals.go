package service

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Signals returns the context of a process: it ends with the first SIGINT, SIGTERM or SIGHUP. The
// second signal ends the wait of DRAIN_DELAY; the stop remains orderly. The caller calls release at
// the end.
//
// A process that was started with SIGHUP ignored, as nohup does, goes on ignoring it.
func Signals(parent context.Context) (ctx context.Context, release func()) {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(parent, ends...)
	signals, hurry, done := make(chan os.Signal, 2), make(chan struct{}), make(chan struct{})
	signal.Notify(signals, ends...)
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

// withHurry puts the channel that is closed by the second signal into ctx, through which it reaches
// every service of a process.
func withHurry(ctx context.Context, hurry <-chan struct{}) context.Context {
	return context.WithValue(ctx, hurryKey{}, hurry)
}

// hurried returns that channel, nil when ctx has none.
func hurried(ctx context.Context) <-chan struct{} {
	hurry, _ := ctx.Value(hurryKey{}).(<-chan struct{})
	return hurry
}
