package testkit

import (
	"fmt"
	"testing"

	"github.com/realmgate/realmgate/pkg/freeport"
)

// ports gives out the ports of this process's tests.
var ports freeport.Ports

// FreeAddr returns an address of this machine on which no server listens and that no other test of
// this process gets. It is for servers that must know their address before they listen, and for
// clients that must find no server.
func FreeAddr(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", freePort(t))
}

func freePort(t testing.TB) int {
	t.Helper()
	port, err := ports.Take("127.0.0.1")
	if err != nil {
		t.Fatalf("testkit: %v", err)
	}
	return port
}
