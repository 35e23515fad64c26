// Package listen owns how a door begins and ends to take connections. Start reading at TCP.
package listen

import (
	"errors"
	"net"
	"os"
)

// TCP listens on addr, a host and a port, as net.Listen does. The deadline of the listener is its
// end: Accept goes on to return the connections that wait already, however late the process is to
// ask, and fails when there is none, so that Close has hardly anybody to reset. (Accept of
// net.TCPListener does not look after its deadline.)
func TCP(addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &listener{ln.(*net.TCPListener)}, nil // net.Listen says which it is
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
