package listen

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit"
)

func open(t *testing.T) net.Listener {
	t.Helper()
	ln, err := TCP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

func knock(t *testing.T, ln net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// beLate sets a deadline of ln that has passed.
func beLate(t *testing.T, ln net.Listener) {
	t.Helper()
	if err := ln.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
}

// TestAcceptAfterTheDeadlineReturnsWaitingConnections imitates a process that a busy machine does
// not run until the deadline of its Accept has passed.
func TestAcceptAfterTheDeadlineReturnsWaitingConnections(t *testing.T) {
	t.Parallel()
	ln := open(t)
	const clients = 3
	for range clients {
		c := knock(t, ln)
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	beLate(t, ln)
	for range clients {
		c, err := ln.Accept()
		if err != nil {
			t.Fatalf("a connection that waits is not taken: %v", err)
		}
		if err := c.SetReadDeadline(time.Now().Add(testkit.Patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Errorf("read what the client sent: %v", err)
		}
		_ = c.Close()
	}
	if c, err := ln.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("nobody waits: got %v, %v, not the deadline", c, err)
	}
}

// TestAcceptAfterTheDeadlineSkipsResetConnections checks that a client that reset its connection
// while it waited does not keep the next from being accepted.
func TestAcceptAfterTheDeadlineSkipsResetConnections(t *testing.T) {
	t.Parallel()
	ln := open(t)
	var stays net.Conn
	for _, goes := range []bool{true, true, false} {
		c := knock(t, ln)
		if stays = c; goes {
			if err := errors.Join(c.(*net.TCPConn).SetLinger(0), c.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	beLate(t, ln)
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if c.RemoteAddr().String() != stays.LocalAddr().String() {
		t.Errorf("took %s, not %s", c.RemoteAddr(), stays.LocalAddr())
	}
}

func TestAcceptAfterTheDeadlineReportsAClosedListener(t *testing.T) {
	t.Parallel()
	ln := open(t)
	_ = ln.Close()
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := TCP("127.0.0.1:none"); err == nil {
		t.Error("a port that is none is listened on")
	}
}
