package testkit

import (
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const readyTimeout = 20 * time.Second

// Broker is a nats-server with JetStream that a test may stop and restart. Its methods are safe for
// concurrent use.
type Broker struct {
	t       testing.TB
	options server.Options

	mu     sync.Mutex
	server *server.Server
}

// NATS starts a NATS server for t, with JetStream, and returns its address.
func NATS(t testing.TB) string {
	t.Helper()
	return StartNATS(t).URL()
}

// StartNATS starts a NATS server for t inside this process, on a free port of 127.0.0.1. JetStream
// stores its data in t.TempDir. Each option may change the server's settings. The server ends with
// t.
func StartNATS(t testing.TB, options ...func(*server.Options)) *Broker {
	t.Helper()
	b := &Broker{t: t, options: server.Options{
		ServerName: "testkit",
		Host:       "127.0.0.1",
		Port:       server.RANDOM_PORT,
		JetStream:  true,
		StoreDir:   t.TempDir(),
		NoLog:      true,
		NoSigs:     true,
		// Without limits the server derives them from the free disk space, which varies.
		JetStreamMaxMemory: 256 << 20,
		JetStreamMaxStore:  4 << 30,
	}}
	for _, option := range options {
		option(&b.options)
	}
	t.Cleanup(b.Stop)
	b.Restart()
	return b
}

// URL is the server's address; it stays the same over Stop and Restart.
func (b *Broker) URL() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	scheme := "nats://"
	if b.options.TLSConfig != nil {
		scheme = "tls://"
	}
	return scheme + net.JoinHostPort(b.options.Host, strconv.Itoa(b.options.Port))
}

// Stop ends the server and every connection; the data of JetStream stays. It does nothing when the
// server is stopped.
func (b *Broker) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server == nil {
		return
	}
	b.server.Shutdown()
	b.server.WaitForShutdown()
	b.server = nil
}

// Restart stops the server if it runs and starts it again on the same port with the same data. Each
// option changes its settings from now on. The test fails when the server does not start.
func (b *Broker) Restart(options ...func(*server.Options)) {
	b.t.Helper()
	b.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, option := range options {
		option(&b.options)
	}
	// The server fills its options in, so each run gets a fresh copy.
	fresh := b.options
	s, err := server.NewServer(&fresh)
	if err != nil {
		b.t.Fatalf("testkit: NATS: %v", err)
	}
	s.Start()
	if !s.ReadyForConnections(readyTimeout) {
		s.Shutdown()
		b.t.Fatalf("testkit: NATS: not ready in %v; is its port taken?", readyTimeout)
	}
	b.options.Port = s.Addr().(*net.TCPAddr).Port
	b.server = s
}
