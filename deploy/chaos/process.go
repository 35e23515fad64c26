package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// part is a part of the system that can be broken.
type part interface {
	// kill ends it with SIGKILL. start starts it again and returns when it runs, which is before it
	// serves.
	kill() error
	start() error
	// stop ends it in an orderly way.
	stop(context.Context) error
	// freeze suspends it (SIGSTOP), thaw resumes it.
	freeze() error
	thaw() error
	// ready waits until it serves.
	ready(context.Context) error
}

// process is a server in a separate process that can be started repeatedly.
type process struct {
	name, program string
	environ, args []string
	logs          string // folder
	check         func() bool

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
}

// Time limits for servers.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 25 * time.Second
	pollEvery    = 10 * time.Millisecond
)

func (p *process) log() string { return filepath.Join(p.logs, p.name+".log") }

func (p *process) start() error {
	out, err := os.OpenFile(p.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(p.program, p.args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.logs, "TMPDIR=" + os.TempDir()}, p.environ...)
	cmd.SysProcAttr = child()
	done, started := make(chan struct{}), make(chan error)
	go func() {
		// The program would end with the thread that forked it (https://go.dev/issue/27505).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the log tells how it ended
		}
		close(done)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd, p.done = cmd, done
	return nil
}

// running returns the current process, or nil before the first start.
func (p *process) running() (*exec.Cmd, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd, p.done
}

func (p *process) signal(s syscall.Signal) error {
	cmd, _ := p.running()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("%s: %s: %w: %s", p.name, s, err, p.lastWords())
	}
	return nil
}

func (p *process) kill() error {
	err := p.signal(syscall.SIGKILL)
	if _, done := p.running(); done != nil {
		<-done
	}
	return err
}

func (p *process) freeze() error { return p.signal(syscall.SIGSTOP) }
func (p *process) thaw() error   { return p.signal(syscall.SIGCONT) }

func (p *process) stop(ctx context.Context) error {
	_, done := p.running()
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	default:
	}
	err := p.signal(syscall.SIGTERM)
	select {
	case <-done:
		return err
	case <-ctx.Done():
	case <-time.After(stopTimeout):
	}
	return errors.Join(fmt.Errorf("%s did not stop in time", p.name), p.kill())
}

func (p *process) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	_, done := p.running()
	for !p.check() {
		select {
		case <-done:
			return fmt.Errorf("%s ended before it was ready: %s", p.name, p.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%s was not ready in time: %s", p.name, p.lastWords())
		case <-time.After(pollEvery):
		}
	}
	return nil
}

// lastWords returns the end of the log.
func (p *process) lastWords() string {
	raw, _ := os.ReadFile(p.log())
	if len(raw) > 2000 {
		raw = raw[len(raw)-2000:]
	}
	return strings.TrimSpace(string(raw))
}

// listens returns a condition: a server accepts connections at addr.
func listens(addr string) func() bool {
	return func() bool {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		return err == nil && c.Close() == nil
	}
}

// answers returns a condition: url answers 200.
func answers(url string) func() bool {
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return func() bool {
		res, err := client.Get(url)
		return err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusOK
	}
}
