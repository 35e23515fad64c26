//go:build !unix

package upstream

import "syscall"

// closedByPeer always reports false, because this system cannot tell. A request on a connection
// that the service has closed fails instead of being sent again.
func closedByPeer(syscall.RawConn) bool { return false }
