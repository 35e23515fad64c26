//go:build !unix

package listen

import "net"

// waiting cannot be known here.
func waiting(*net.TCPListener) net.Conn { return nil }
