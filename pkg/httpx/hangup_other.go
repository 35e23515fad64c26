//go:build !unix

package httpx

import "net"

// hungUp never knows: a client that left is noticed when a write fails.
func hungUp(net.Conn) bool { return false }
