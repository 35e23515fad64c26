package operate

import (
	"fmt"
	"os"
	"testing"
)

// scratch is a folder of this test run, for what its tests build once.
var scratch string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "realmgate-operate-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scratch = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
