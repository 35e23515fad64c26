//go:build !unix

package gateway

import "syscall"

// closedByPeer cannot be known here: a request on a connection that the service has closed fails
// instead of being sent again.
func closedByPeer(syscall.RawConn) bool { return false }
