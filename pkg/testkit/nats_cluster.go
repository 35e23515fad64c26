package testkit

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// NATSCluster starts n NATS servers for t inside this process, which form one JetStream cluster. It
// returns when they are up, which is before they have elected a leader. They end with t.
func NATSCluster(t testing.TB, n int) []*Broker {
	t.Helper()
	// They must know each other's ports before any of them runs.
	ports, routes := make([]int, n), make([]*url.URL, n)
	for i := range ports {
		ports[i] = freePort(t)
		routes[i] = &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", ports[i])}
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
