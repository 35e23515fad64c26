package main

import (
	"errors"
	"io"
	"net"
	"sync"
)

// network is a TCP proxy that stands for the wire to one server. When it is cut it neither refuses
// nor closes connections: bytes stop arriving, as when a cable is pulled, and those sent meanwhile
// arrive after the repair. (Toxiproxy's "timeout" toxic drops the bytes and closes the connections,
// which is easier to handle.)
type network struct {
	ln     net.Listener
	target string

	mu    sync.Mutex
	whole sync.Cond // on mu; signals a change of cut or closed
	cut   bool
	conns map[net.Conn]struct{} // nil when closed
}

// newNetwork returns a proxy for target that listens on a loopback address.
func newNetwork(target string) (*network, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &network{ln: ln, target: target, conns: map[net.Conn]struct{}{}}
	n.whole.L = &n.mu
	go n.accept()
	return n, nil
}

func (n *network) addr() string { return n.ln.Addr().String() }

func (n *network) setCut(cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = cut
	n.whole.Broadcast()
}

// passable waits until bytes may pass. It returns false if the network is closed.
func (n *network) passable() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.cut && n.conns != nil {
		n.whole.Wait()
	}
	return n.conns != nil
}

// keep registers a connection so that close ends it. It returns false if the network is closed.
func (n *network) keep(c net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conns == nil {
		return false
	}
	n.conns[c] = struct{}{}
	return true
}

func (n *network) drop(c net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
	_ = c.Close()
}

func (n *network) accept() {
	for {
		c, err := n.ln.Accept()
		if err != nil {
			return
		}
		go n.carry(c)
	}
}

func (n *network) carry(client net.Conn) {
	if !n.keep(client) {
		_ = client.Close()
		return
	}
	defer n.drop(client)
	if !n.passable() {
		return
	}
	server, err := net.Dial("tcp", n.target)
	if err != nil {
		return
	}
	if !n.keep(server) {
		_ = server.Close()
		return
	}
	defer n.drop(server)
	var both sync.WaitGroup
	both.Go(func() { n.copy(server, client) })
	both.Go(func() { n.copy(client, server) })
	both.Wait()
}

// copy forwards bytes until from ends, and then ends to.
func (n *network) copy(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		got, err := from.Read(buf)
		if !n.passable() {
			return
		}
		if got > 0 {
			if _, failed := to.Write(buf[:got]); failed != nil {
				_ = from.Close() // its bytes cannot be delivered
				return
			}
		}
		switch half, ok := to.(*net.TCPConn); {
		case err == nil:
			continue
		case errors.Is(err, io.EOF) && ok:
			_ = half.CloseWrite()
		default:
			_ = to.Close() // a reset is passed on as a reset
		}
		return
	}
}

// close ends every connection.
func (n *network) close() {
	_ = n.ln.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		_ = c.Close()
	}
	n.conns = nil
	n.whole.Broadcast()
}
