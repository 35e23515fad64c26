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
// A process that was started with SIGHUP ignored, for example by nohup, still ignores it.
func Signals(parent context.Context) (ctx context.Context, release func()) {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(parent, ends...)
	signals, now, done := make(chan os.Signal, 2), make(chan struct{}), make(chan struct{})
	signal.Notify(signals, ends...)
	go func() {
		for range 2 {
			select {
			case <-signals:
			case <-done:
				return
			}
		}
		close(now)
	}()
	return withDrainNow(ctx, now), func() {
		signal.Stop(signals)
		stop()
		close(done)
	}
}

type drainNowKey struct{}

// withDrainNow puts the channel that is closed by the second signal into ctx, through which it
// reaches every service of a process.
func withDrainNow(ctx context.Context, now <-chan struct{}) context.Context {
	return context.WithValue(ctx, drainNowKey{}, now)
}

// drainNow returns that channel, nil when ctx has none.
func drainNow(ctx context.Context) <-chan struct{} {
	now, _ := ctx.Value(drainNowKey{}).(<-chan struct{})
	return now
}
