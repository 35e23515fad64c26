package freeport

import (
	"net"
	"strconv"
	"sync"
	"testing"
)

// TestNoPortIsGivenTwice checks that concurrent callers get different ports, and none on which a
// server listens.
func TestNoPortIsGivenTwice(t *testing.T) {
	t.Parallel()
	hosts := []string{"127.0.0.1"}
	if ln, err := net.Listen("tcp", "127.0.0.2:0"); err == nil { // not everywhere
		hosts = append(hosts, "127.0.0.2")
		ln.Close()
	}
	var p Ports
	var mu sync.Mutex
	var wait sync.WaitGroup
	given := map[int]bool{}
	for range 16 {
		wait.Go(func() {
			for range 20 {
				port, err := p.Take(hosts...)
				mu.Lock()
				if err != nil || given[port] || port < first || port >= first+count {
					t.Errorf("port %d, given before: %t, %v", port, given[port], err)
				}
				given[port] = true
				mu.Unlock()
			}
		})
	}
	wait.Wait()
}

func TestAPortInUseOnOneHostIsSkipped(t *testing.T) {
	t.Parallel()
	var p Ports
	port, err := p.Take("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	next := first + (port-first+1)%count
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.2", strconv.Itoa(next)))
	if err != nil {
		t.Skip("somebody else listens there")
	}
	defer ln.Close()
	if got, err := p.Take("127.0.0.1", "127.0.0.2"); err != nil || got == next {
		t.Errorf("port %d, %v, while somebody listens on %d", got, err, next)
	}
}
