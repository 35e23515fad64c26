//go:build unix

package listen

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// waiting takes a connection that waits at ln, or returns nil when there is none. It does not wait
// itself: the socket never blocks.
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
			case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.ECONNABORTED): // the next one, then
			default:
				return
			}
		}
	})
	return c
}

func accept(listening int) (int, error) {
	syscall.ForkLock.RLock() // no child inherits it
	defer syscall.ForkLock.RUnlock()
	fd, _, err := syscall.Accept(listening)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	return fd, err
}

// connOf makes a connection of a socket; nil, and the socket is closed, when that fails or its
// client has gone.
func connOf(fd int) net.Conn {
	file := os.NewFile(uintptr(fd), "")
	defer func() { _ = file.Close() }() // FileConn has a copy, which it makes non-blocking
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
