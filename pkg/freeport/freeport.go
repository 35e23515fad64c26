// Package freeport provides free ports for servers of tests and commands that must know their port
// before they listen. A server that can listen on port 0 and report its port does not need it.
// Start reading at Ports.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
)

// The range of ports. It is below the ephemeral ports of systems (from 32,768 on in Linux), because
// a connection could take one of those before the server starts, or while it restarts.
const (
	first = 10_000
	count = 20_000
)

// Ports gives out ports. The zero value is ready.
type Ports struct{ taken atomic.Uint64 }

// Take returns a port on which no server listens on any of hosts. It returns a port again only
// after all others, because the server for which it was taken may not listen yet.
func (p *Ports) Take(hosts ...string) (int, error) {
	p.taken.CompareAndSwap(0, 1+rand.Uint64N(count)) // other processes start at another port
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
