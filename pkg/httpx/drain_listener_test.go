package httpx

import (
	"math"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/listen"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// lateListener accepts nothing until may is closed, like the listener of a process that a busy
// machine does not run.
type lateListener struct {
	net.Listener
	may chan struct{}
}

func (l lateListener) Accept() (net.Conn, error) {
	<-l.may
	return l.Listener.Accept()
}

func (l lateListener) SetDeadline(t time.Time) error {
	return l.Listener.(interface{ SetDeadline(time.Time) error }).SetDeadline(t)
}

// TestALateServerThatStopsAnswersTheConnectionsInItsQueue stops a server that is late to accept,
// and one that is late to serve.
func TestALateServerThatStopsAnswersTheConnectionsInItsQueue(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]func(lateListener) net.Listener{
		"to accept": func(l lateListener) net.Listener { return l },
		"to begin":  func(l lateListener) net.Listener { return unopened{l} },
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); stopLate(t, late) })
	}
}

// unopened delays Fiber before it serves the listener, because Fiber asks for the address first.
type unopened struct{ lateListener }

func (l unopened) Addr() net.Addr {
	<-l.may
	return l.Listener.Addr()
}

// fullListener fails to accept for want of descriptors, left times.
type fullListener struct {
	net.Listener
	left atomic.Int32
}

func (l *fullListener) Accept() (net.Conn, error) {
	if l.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

func (l *fullListener) SetDeadline(t time.Time) error {
	return l.Listener.(interface{ SetDeadline(time.Time) error }).SetDeadline(t)
}

func TestAServerOutlivesALackOfDescriptors(t *testing.T) {
	t.Parallel()
	for name, times := range map[string]int32{"for a moment": 5, "while it stops": math.MaxInt32} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ln, err := listen.TCP("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			full := &fullListener{Listener: ln}
			full.left.Store(times)
			s := New(Options{Name: "test", Log: testkit.Log(t)})
			s.Get("/ok", func(c *fiber.Ctx) error { return nil })
			served := make(chan error, 1)
			go func() { served <- s.Serve(full) }()
			if times < 10 {
				if a := request(t, ln.Addr().String(), "GET", "/ok", ""); a.status != 200 {
					t.Errorf("got %d", a.status)
				}
			} else {
				time.Sleep(50 * time.Millisecond)
			}
			if err := s.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			if err := <-served; err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
	}
}

func TestAServerThatIsStoppedBeforeItServesDoesNotServe(t *testing.T) {
	t.Parallel()
	ln, err := listen.TCP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Name: "test", Log: testkit.Log(t)})
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	select {
	case err := <-served:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(testkit.Patience):
		t.Error("it serves")
	}
}

func stopLate(t *testing.T, how func(lateListener) net.Listener) {
	ln, err := listen.TCP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Name: "test", Log: testkit.Log(t)})
	s.Get("/", func(c *fiber.Ctx) error { return c.SendString("served") })
	late := lateListener{ln, make(chan struct{})}
	served, stopped := make(chan error, 1), make(chan error, 1)
	go func() { served <- s.Serve(how(late)) }()
	for s.listener.Load() == nil {
		time.Sleep(time.Millisecond)
	}
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: test\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	go func() { stopped <- s.Stop(t.Context()) }()
	time.Sleep((drainPolls + 20) * drainPause)
	close(late.may)
	if err := c.SetReadDeadline(time.Now().Add(testkit.Patience)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := c.Read(answer); err != nil || string(answer) != "HTTP/1.1 200" {
		t.Errorf("got %q, %v", answer, err)
	}
	for _, end := range []chan error{stopped, served} {
		if err := <-end; err != nil {
			t.Error(err)
		}
	}
	if c, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("the listener is still open")
	}
}
