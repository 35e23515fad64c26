// Package service provides the life cycle of a process, which is the same in every service: start,
// health, metrics, drain and stop. Start reading at Service; the binaries call Main.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/listen"
	"github.com/realmgate/realmgate/pkg/tlsfiles"
	"github.com/realmgate/realmgate/pkg/trace"
)

// Runtime holds the dependencies that a service gets from its process. None of them is global, so
// several services can share one process.
type Runtime struct {
	// Log names the service in every line.
	Log     *slog.Logger
	Metrics *prometheus.Registry
	Now     func() time.Time
	Version string
	// Traces makes spans; nil when traces are off. New takes ownership of the provider: the service
	// stops it, last of all.
	Traces *trace.Provider
}

// Config is the part of the settings that every process has.
type Config struct {
	AdminAddr string `env:"ADMIN_ADDR" envDefault:"127.0.0.1:0" doc:"Where /livez, /readyz, /metrics and /debug/pprof answer; keep it private."`
	// StopTimeout bounds the whole stop; parts that still run then are cut off.
	StopTimeout time.Duration `env:"STOP_TIMEOUT" envDefault:"20s" doc:"How long a stop may take; requests under way have three quarters of it."`
	DrainDelay  time.Duration `env:"DRAIN_DELAY" envDefault:"0s" doc:"How long /readyz says 503 before the listener closes, for load balancers; a second signal ends it."`
	LogLevel    slog.Level    `env:"LOG_LEVEL" envDefault:"info" doc:"debug, info, warn or error."`
	LogFormat   string        `env:"LOG_FORMAT" envDefault:"json" doc:"json or text."`
	Traces      trace.Config
	LogRequests string `env:"LOG_REQUESTS" envDefault:"all" doc:"all: one line a request; errors: only those with a status of 400 or more."`
}

// Validate checks the rules that tags cannot express.
func (c Config) Validate() error {
	var p config.Problems
	p.Address("ADMIN_ADDR", c.AdminAddr)
	p.Must(c.StopTimeout > 0, "STOP_TIMEOUT must be above 0s")
	p.Must(c.DrainDelay >= 0, "DRAIN_DELAY must not be negative")
	p.Must(c.LogFormat == "json" || c.LogFormat == "text", "LOG_FORMAT must be json or text")
	p.Must(c.LogRequests == "all" || c.LogRequests == "errors", "LOG_REQUESTS must be all or errors")
	return p.Err()
}

// Server answers on a listener until it is stopped; httpx.Server is one.
type Server interface {
	Serve(net.Listener) error
	Stop(context.Context) error
}

// Service is a set of parts that start together and stop in reverse order of their declaration.
type Service struct {
	name  string
	cfg   Config
	log   *slog.Logger
	parts []part
	ready []check
	addr  string
	admin net.Listener
	state atomic.Int32
}

const (
	starting int32 = iota
	serving
	draining
)

type part struct {
	name string
	run  func(context.Context) error // nil for a part that only has to be closed
	stop func(context.Context) error // ends run, or closes
}

type check struct {
	name   string
	f      func(context.Context) error
	needed bool // a failure makes the service unready
}

// New declares a service and serves its admin endpoints from this moment on. /livez answers 200 and
// /readyz 503 while the caller opens the other parts, which may take as long as a database is
// unreachable. A port in use is an error.
func New(name string, cfg Config, rt Runtime) (*Service, error) {
	s := &Service{name: name, cfg: cfg, log: rt.Log}
	ln, err := net.Listen("tcp", cfg.AdminAddr)
	if err != nil {
		return nil, fmt.Errorf("ADMIN_ADDR: %w", err)
	}
	s.admin = ln
	s.OnStop("traces", rt.Traces.Stop)
	s.log.Info("starting", "version", rt.Version, "admin_addr", s.AdminAddr())
	srv := &http.Server{Handler: s.adminHandler(rt), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- ignoreClosed(srv.Serve(ln)) }()
	s.parts = append(s.parts, part{
		name: "admin", run: func(context.Context) error { return <-served },
		stop: func(ctx context.Context) error { return errors.Join(srv.Shutdown(ctx), ignoreClosed(ln.Close())) },
	})
	return s, nil
}

// Build calls New and then build, which opens the dependencies of the service and declares its
// parts. When build fails, Build closes everything that was opened.
func Build(ctx context.Context, name string, cfg Config, rt Runtime, build func(*Service) error) (*Service, error) {
	s, err := New(name, cfg, rt)
	if err != nil {
		return nil, err
	}
	if err := build(s); err != nil {
		_ = s.Close(context.WithoutCancel(ctx)) // err is the error that matters
		return nil, err
	}
	return s, nil
}

// Serve listens on addr and declares srv as a part that answers there. The part stops after
// DrainDelay.
func (s *Service) Serve(addr string, srv Server) error {
	return s.ServeTLS(addr, srv, nil)
}

// ServeTLS is Serve over TLS with the certificate of files; nil files: plain HTTP.
func (s *Service) ServeTLS(addr string, srv Server, files *tlsfiles.Files) error {
	ln, err := listen.TCP(addr)
	if err != nil {
		return err
	}
	if files != nil {
		ln = files.Listener(ln)
	}
	s.ServeListener(ln, srv)
	return nil
}

// ServeListener is Serve on a listener that is already open.
func (s *Service) ServeListener(ln net.Listener, srv Server) {
	s.addr = ln.Addr().String()
	s.parts = append(s.parts, part{
		name: "http", run: func(context.Context) error { return srv.Serve(ln) },
		stop: func(ctx context.Context) error { return errors.Join(srv.Stop(ctx), ignoreClosed(ln.Close())) },
	})
}

// Go declares a background job: run must return when its context ends. It is stopped, and waited
// for, in reverse order of declaration.
func (s *Service) Go(name string, run func(context.Context) error) {
	s.parts = append(s.parts, part{name: name, run: run})
}

// Every declares a background job that runs f once every pause. A failure is logged with the name
// of the job, and f runs again after the next pause.
func (s *Service) Every(name string, pause time.Duration, f func(context.Context) error) {
	s.Go(name, func(ctx context.Context) error {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				if err := f(ctx); err != nil && ctx.Err() == nil {
					s.log.Warn("a background job failed and will run again", "job", name, "error", err.Error())
				}
			}
		}
	})
}

// OnStop declares a part that only has to be closed, after the parts that were declared later have
// stopped.
func (s *Service) OnStop(name string, closeIt func(context.Context) error) {
	s.parts = append(s.parts, part{name: name, stop: closeIt})
}

// Ready declares a check of /readyz for a dependency that the service cannot serve without.
func (s *Service) Ready(name string, f func(context.Context) error) {
	s.ready = append(s.ready, check{name, f, true})
}

// Note declares a check for a dependency that the service can work without: /readyz reports its
// result, but a failure does not make the service unready.
func (s *Service) Note(name string, f func(context.Context) error) {
	s.ready = append(s.ready, check{name, f, false})
}

// Addr returns where the service answers requests, with the port that the system chose when the
// setting said 0.
func (s *Service) Addr() string { return s.addr }

// AdminAddr returns where the admin endpoints answer.
func (s *Service) AdminAddr() string { return s.admin.Addr().String() }

// Name returns the name of the service.
func (s *Service) Name() string { return s.name }

// Run starts every part and serves until ctx ends or a part fails, then drains and stops. It
// returns the first failure.
func (s *Service) Run(ctx context.Context) error {
	running, done := make([]*job, len(s.parts)), make(chan error, len(s.parts))
	for i, p := range s.parts {
		running[i] = startPart(p, done)
	}
	s.state.Store(serving)
	s.log.Info("serving", "addr", s.addr, "admin_addr", s.AdminAddr())
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-done:
	}
	s.state.Store(draining)
	if failure == nil {
		failure = s.drain(ctx, done)
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.StopTimeout)
	defer cancel()
	for _, j := range slices.Backward(running) {
		if err := j.endInShare(stopCtx); err != nil {
			failure = errors.Join(failure, fmt.Errorf("%s: stop %s: %w", s.name, j.name, err))
		}
	}
	s.log.Info("stopped")
	return failure
}

// drain continues to serve for DrainDelay, until load balancers have seen that the service is not
// ready. It ends early at a second signal, and when a part fails, whose error it returns.
func (s *Service) drain(ctx context.Context, done <-chan error) error {
	select {
	case <-time.After(s.cfg.DrainDelay):
	case <-drainNow(ctx):
	case err := <-done:
		return err
	}
	return nil
}

// Close closes all parts of a service that is never run.
func (s *Service) Close(ctx context.Context) error {
	var all []error
	for _, p := range slices.Backward(s.parts) {
		if p.stop != nil {
			all = append(all, p.stop(ctx))
		}
	}
	return errors.Join(all...)
}

// job is a part that has been started.
type job struct {
	part
	cancel context.CancelFunc
	wait   sync.WaitGroup
}

func startPart(p part, done chan<- error) *job {
	ctx, cancel := context.WithCancel(context.Background())
	j := &job{part: p, cancel: cancel}
	if p.run != nil {
		j.wait.Go(func() {
			if err := p.run(ctx); err != nil && ctx.Err() == nil {
				done <- fmt.Errorf("%s: %w", p.name, err)
			}
		})
	}
	return j
}

// endInShare is end with three quarters of the time that ctx has left, so that a part that uses up
// its time leaves some to each of the parts after it.
func (j *job) endInShare(ctx context.Context) error {
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/4*3)
		defer cancel()
	}
	return j.end(ctx)
}

// end stops the job and waits for it until ctx ends.
func (j *job) end(ctx context.Context) error {
	var err error
	if j.run == nil || j.stop == nil {
		j.cancel()
	}
	if j.stop != nil {
		err = j.stop(ctx)
	}
	waited := make(chan struct{})
	go func() { j.wait.Wait(); close(waited) }()
	select {
	case <-waited:
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	j.cancel()
	return err
}

// RunAll runs several services in one process. It stops all of them, the last first, when ctx ends
// or one fails.
func RunAll(ctx context.Context, services ...*Service) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	next := make(chan struct{}) // closed when the services declared later have stopped
	close(next)
	for _, s := range slices.Backward(services) {
		stopped, mayStop := make(chan struct{}), next
		next = stopped
		mine, stop := context.WithCancel(context.WithoutCancel(ctx))
		go func() {
			<-ctx.Done()
			<-mayStop
			stop()
		}()
		g.Go(func() error {
			defer close(stopped)
			defer cancel()
			return s.Run(mine)
		})
	}
	return g.Wait()
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
