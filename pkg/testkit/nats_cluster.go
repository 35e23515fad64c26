package testkit

import (
	"fmt"
	"net"
	"net/url"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// NATSCluster starts n NATS servers of t's own that form one JetStream cluster, inside this process. It returns when they are up, which
// is before they have chosen a leader. They end with t.
func NATSCluster(t testing.TB, n int) []*Broker {
	t.Helper()
	ports := freePorts(t, n)
	routes := make([]*url.URL, n)
	for i, port := range ports {
		routes[i] = &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)}
	}
	brokers := make([]*Broker, n)
	for i := range brokers {
		brokers[i] = StartNATS(t, func(o *server.Options) {
			o.ServerName = fmt.Sprint("testkit-", i)
			o.Cluster = server.ClusterOpts{Name: "testkit", Host: "127.0.0.1", Port: ports[i]}
			o.Routes = routes
		})
	}
	return brokers
}

// Name is the server's name.
func (b *Broker) Name() string { return b.options.ServerName }

// freePorts returns n ports of 127.0.0.1 that nobody listens on: servers that must know each other's before any of them runs cannot take
// whatever is free.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("testkit: %v", err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}
