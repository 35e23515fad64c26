package localpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	fastGrace      = 30 * time.Second
	immediateGrace = 5 * time.Second
	keptLines      = 20
	longestLine    = 8 << 10
)

// process is a postmaster that this process started.
type process struct {
	cmd     *exec.Cmd
	done    chan struct{}
	serving atomic.Bool // ready and not stopping: its end is unexpected
	voice   *voice
}

func startProcess(cmd *exec.Cmd, log *slog.Logger) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{}), voice: &voice{log: log}}
	cmd.Stdout, cmd.Stderr = p.voice, p.voice
	started := make(chan error)
	go p.run(started, log)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("cannot run %s (%w); root needs the right to change users, or run as another user",
			cmd.Path, err)
	}
	return p, nil
}

// run starts PostgreSQL and waits for its end on one locked thread. Linux sends the parent-death
// signal when the thread that forked ends (https://go.dev/issue/27505), and Go ends a thread when a
// goroutine returns while locked to it.
func (p *process) run(started chan<- error, log *slog.Logger) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		close(p.done)
		started <- err
		return
	}
	started <- nil
	err := p.cmd.Wait()
	if p.serving.Load() {
		log.Error("PostgreSQL ended by itself", "state", p.cmd.ProcessState.String(), "error", err, "said",
			p.lastWords())
	}
	close(p.done)
}

// output runs a short-lived program, on a locked thread like run.
func output(cmd *exec.Cmd) (string, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (p *process) pid() int              { return p.cmd.Process.Pid }
func (p *process) said(part string) bool { return p.voice.said(part) }
func (p *process) lastWords() string     { return complaint(p.voice.last()) }

func (p *process) stop(ctx context.Context) error {
	p.serving.Store(false)
	p.voice.stopping.Store(true)
	return shutdown(ctx, p.done, func(s syscall.Signal) error { return p.cmd.Process.Signal(s) })
}

// quit requests the immediate shutdown, which leaves everything to recovery.
func (p *process) quit() {
	p.serving.Store(false)
	_ = p.cmd.Process.Signal(immediate) // fails only when it has ended already
}

// shutdown requests a fast, then an immediate shutdown, then kills the server, until done is
// closed.
func shutdown(ctx context.Context, done <-chan struct{}, send func(syscall.Signal) error) error {
	for _, s := range []syscall.Signal{fast, immediate, syscall.SIGKILL} {
		if err := send(s); err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("cannot signal PostgreSQL (%w); run as the user that started it", err)
		}
		grace := fastGrace
		if s != fast {
			// ctx has ended, but a server that is told to quit must still be waited for.
			ctx, grace = context.Background(), immediateGrace
		}
		select {
		case <-done:
			return nil
		case <-ctx.Done():
		case <-time.After(grace):
		}
	}
	return errors.New("PostgreSQL does not end, not even killed; look for a hung disk")
}

// voice forwards the output of PostgreSQL to the log and keeps the last lines. It maps the levels
// for an operator: LOG is detail, FATAL ends one session, PANIC the server.
type voice struct {
	log   *slog.Logger
	mu    sync.Mutex
	part  []byte
	lines []string
	// stopping is set when sessions end because the server stops.
	stopping atomic.Bool
}

var _ io.Writer = (*voice)(nil)

// Write implements [io.Writer]; it never fails.
func (v *voice) Write(b []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.part = append(v.part, b...)
	for {
		line, rest, found := bytes.Cut(v.part, []byte("\n"))
		if !found && len(v.part) < longestLine {
			return len(b), nil
		}
		v.say(string(bytes.TrimRight(line, "\r")))
		v.part = rest
	}
}

func (v *voice) say(line string) {
	if line == "" {
		return
	}
	v.lines = append(v.lines, line)
	if len(v.lines) > keptLines {
		v.lines = v.lines[1:]
	}
	level := slog.LevelDebug
	switch word, _, _ := strings.Cut(line, ":"); word {
	case "WARNING", "ERROR", "FATAL":
		if !v.stopping.Load() {
			level = slog.LevelWarn
		}
	case "PANIC":
		level = slog.LevelError
	}
	v.log.Log(context.Background(), level, "PostgreSQL: "+line)
}

func (v *voice) last() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.lines)
}

func (v *voice) said(part string) bool {
	return slices.ContainsFunc(v.last(), func(line string) bool { return strings.Contains(line, part) })
}

// complaint returns the line that names the cause of a failure.
func complaint(lines []string) string {
	last := "it said nothing"
	for _, line := range lines {
		line = strings.TrimSpace(line)
		for _, word := range []string{"FATAL:", "PANIC:", "error:"} {
			if strings.Contains(line, word) {
				return line
			}
		}
		if line != "" {
			last = line
		}
	}
	return last
}

// flat is an error with its message on one line.
type flat struct{ error }

func (f flat) Error() string { return strings.Join(strings.Fields(f.error.Error()), " ") }
func (f flat) Unwrap() error { return f.error }
