// Package freeport owns how tests and commands find a port for a server that must be told it before
// it listens. A server that can listen on port 0 and be asked where it does needs nothing of this.
// Start reading at Ports.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
)

// The ports that are given. They are below those that systems give to connections and to listeners
// without a wish (from 32,768 on in Linux), which would take one before the server that it is for
// begins, or while it is dead.
const (
	first = 10_000
	count = 20_000
)

// Ports gives ports. The zero value is ready.
type Ports struct{ taken atomic.Uint64 }

// Take returns a port on which nobody listens on any of hosts. It returns no port again before it
// has returned all others, because the server that it is for may not listen yet.
func (p *Ports) Take(hosts ...string) (int, error) {
	p.taken.CompareAndSwap(0, 1+rand.Uint64N(count)) // other processes begin elsewhere
	for range count {
		port := first + int(p.taken.Add(1)%count)
		if free(port, hosts) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no port from %d to %d is free on all of %v", first, first+count-1, hosts)
}

func free(port int, hosts []string) bool {
	for _, h := range hosts {
		ln, err := net.Listen("tcp", net.JoinHostPort(h, strconv.Itoa(port)))
		if err != nil {
			return false
		}
		_ = ln.Close()
	}
	return true
}
