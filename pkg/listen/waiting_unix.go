//go:build unix

package listen

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// waiting accepts a connection that waits at ln, or returns nil when there is none. It never
// blocks, because the socket is non-blocking.
func waiting(ln *net.TCPListener) (c net.Conn) {
	raw, err := ln.SyscallConn()
	if err != nil {
		return nil
	}
	_ = raw.Control(func(listening uintptr) { // c stays nil when ln is closed
		for c == nil {
			fd, err := accept(int(listening))
			switch { // accept returns the errno itself
			case err == nil:
				c = connOf(fd)
			case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.ECONNABORTED): // try the next one
			default:
				return
			}
		}
	})
	return c
}

func accept(listening int) (int, error) {
	syscall.ForkLock.RLock() // so that no child inherits the socket
	defer syscall.ForkLock.RUnlock()
	fd, _, err := syscall.Accept(listening)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	return fd, err
}

// connOf returns a connection for a socket. When that fails or its client has gone, it returns nil
// and closes the socket.
func connOf(fd int) net.Conn {
	file := os.NewFile(uintptr(fd), "")
	defer func() { _ = file.Close() }() // FileConn works on a non-blocking copy
	c, err := net.FileConn(file)
	if err != nil {
		return nil
	}
	if c.RemoteAddr() == nil {
		_ = c.Close()
		return nil
	}
	return c
}
