//go:build !unix

package listen

import "net"

// waiting returns nil: these systems offer no way to find a waiting connection.
func waiting(*net.TCPListener) net.Conn { return nil }
