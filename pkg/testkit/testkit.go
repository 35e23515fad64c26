// Package testkit provides the real PostgreSQL, NATS and Redis that tests run on. Nothing is mocked
// and nothing is skipped: a test that needs a dependency gets one of its own, or fails.
//
// Every package whose tests use it has one line in a _test.go file:
//
//	func TestMain(m *testing.M) { testkit.Main(m) }
//
// Start reading there, then at [Postgres], [StartNATS], [Redis] and [Log]. A test that looks for
// leaked goroutines calls goleak.IgnoreCurrent after it has started its dependencies, because these
// servers have goroutines of their own.
package testkit

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// Patience is how long a test waits for an event that must come before it fails. It ends tests that
// hang and is no statement about speed, because a busy machine may be slow.
const Patience = 2 * time.Minute

// Main runs the tests of a package and ends the process with their exit code. Then it removes the
// shared PostgreSQL cluster, which the first test that needs a database starts, even when tests
// failed, and calls each of atEnd. After a panic or a time-out PostgreSQL ends with the process and
// the next run removes its folder.
func Main(m *testing.M, atEnd ...func()) {
	ServeOnSmallDisk(natsOnDisk)
	moreInParallel()
	shared.enabled = true
	code := m.Run()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := shared.stop(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "testkit:", err)
	}
	for _, f := range atEnd {
		f()
	}
	os.Exit(code)
}

// moreInParallel sets -parallel to twice the number of processors, unless it was given: most tests
// wait for a server, a disk or a clock half of their time.
func moreInParallel() {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0)))
	}
}
