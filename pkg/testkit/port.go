package testkit

import (
	"fmt"
	"testing"

	"github.com/realmgate/realmgate/pkg/freeport"
)

// ports are those of this process's tests.
var ports freeport.Ports

// FreeAddr returns an address of this machine on which nobody listens and that no
// other test of this process gets: for what must know an address before it listens
// there, or shall find nobody.
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
