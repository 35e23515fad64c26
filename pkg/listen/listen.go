// Package listen provides TCP listeners that can be drained before they are closed. Start reading
// at TCP.
package listen

import (
	"errors"
	"net"
	"os"
)

// TCP listens on addr, a host and a port, as net.Listen does. After the listener's deadline Accept
// still returns the connections that wait already, however late it is called, and fails when there
// are none. So Close resets hardly any connection. (Accept of net.TCPListener returns none after
// its deadline.)
func TCP(addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &listener{ln.(*net.TCPListener)}, nil // the type that net.Listen documents
}

type listener struct{ *net.TCPListener }

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.TCPListener.Accept()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if late := waiting(l.TCPListener); late != nil {
			return late, nil
		}
	}
	return c, err
}
