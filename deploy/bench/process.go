package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server started by this run. It dies with this program.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string // path of its log
	done chan struct{}
}

// Time limits for servers.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 10 * time.Second
	pollEvery    = 10 * time.Millisecond
)

// start runs a program with the environment and writes its output to a file in the folder logs. The
// caller stops it.
func start(logs, name, program string, environ []string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(program, args...), log: filepath.Join(logs, name+".log"),
		done: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + logs, "TMPDIR=" + os.TempDir()}, environ...)
	p.cmd.SysProcAttr = ownGroup()
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// run starts the program and waits for its end on a locked thread: the program would end with the
// thread that forked it (https://go.dev/issue/27505).
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		close(p.done)
		started <- fmt.Errorf("%s: %w", p.name, err)
		return
	}
	started <- nil
	_ = p.cmd.Wait() // the log tells how it ended
	close(p.done)
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// freeze suspends the process, thaw resumes it.
func (p *process) freeze() error { return freeze(p.cmd.Process) }
func (p *process) thaw() error   { return thaw(p.cmd.Process) }

// stop ends the process with SIGTERM, and by force if that takes too long.
func (p *process) stop() {
	_ = p.thaw() // a suspended process does not receive SIGTERM
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		killGroup(p.pid())
		<-p.done
	}
}

// lastWords returns the end of the log.
func (p *process) lastWords() string {
	raw, _ := os.ReadFile(p.log)
	if len(raw) > 2000 {
		raw = raw[len(raw)-2000:]
	}
	return strings.TrimSpace(string(raw))
}

// waitFor waits until ok returns true. It returns an error if the process ends first or takes too
// long.
func (p *process) waitFor(ctx context.Context, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for !ok() {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it was %s: %s", p.name, what, p.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%s was not %s in time: %s", p.name, what, p.lastWords())
		case <-time.After(pollEvery):
		}
	}
	return nil
}

// listening waits until the process accepts connections at addr.
func (p *process) listening(ctx context.Context, addr string) error {
	return p.waitFor(ctx, "listening on "+addr, func() bool {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
}

// answering waits until the process answers 200 at url.
func (p *process) answering(ctx context.Context, url string) error {
	return p.waitFor(ctx, "ready at "+url, func() bool {
		status, _, err := httpGet(url)
		return err == nil && status == http.StatusOK
	})
}

// httpGet fetches a small page.
func httpGet(url string) (int, []byte, error) {
	client := http.Client{Timeout: time.Minute}
	res, err := client.Get(url)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	return res.StatusCode, body, err
}

// freeAddr returns a free loopback address.
func (b *bench) freeAddr() (string, error) {
	port, err := b.ports.Take("127.0.0.1")
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}

// freeAddrs returns several different free addresses.
func (b *bench) freeAddrs(n int) ([]string, error) {
	var out []string
	var all []error
	for range n {
		addr, err := b.freeAddr()
		out, all = append(out, addr), append(all, err)
	}
	return out, errors.Join(all...)
}
