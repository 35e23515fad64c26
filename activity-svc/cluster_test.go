package activity

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestAClusterOfNATSLosesItsServersInTurnAndNoEvent: with three copies of the stream, one server
// after the other goes away and comes back while events are published and stored; the one that
// leads the stream goes first.
func TestAClusterOfNATSLosesItsServersInTurnAndNoEvent(t *testing.T) {
	t.Parallel()
	brokers := testkit.NATSCluster(t, 3)
	var urls []string
	for _, b := range brokers {
		urls = append(urls, b.URL())
	}
	h := prepare(t, func(c *Config) {
		c.Bus.URL, c.Stream.Replicas = config.Secret(strings.Join(urls, ",")), 3
	})
	h.run()
	h.run()
	events := manyEvents(300)
	h.publish(events[0])

	js := h.streamOf(strings.Join(urls, ","))
	info := js.CachedInfo()
	if info.Config.Replicas != 3 || info.Cluster == nil {
		t.Fatalf("the stream is %+v", info)
	}
	stop := make(chan struct{})
	var published atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i, e := range events[1:] {
			h.publish(e)
			published.Store(int64(i))
			select {
			case <-stop: // the rest as quickly as it goes
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	first := 0
	for i, b := range brokers {
		if b.Name() == info.Cluster.Leader {
			first = i
		}
	}
	for i := range brokers {
		b := brokers[(first+i)%len(brokers)]
		before := published.Load()
		b.Stop()
		h.eventually("events are published without "+b.Name(), func() error {
			if n := published.Load(); n < before+20 && n < int64(len(events)-2) {
				return fmt.Errorf("%d since", n-before)
			}
			return nil
		})
		b.Restart()
		h.eventually(b.Name()+" has caught up", func() error { return h.caughtUp(js) })
	}
	close(stop)
	<-done
	h.drained()
	h.agrees(int64(len(events)))
}

// streamOf returns the stream as one sees it through the addresses.
func (h *harness) streamOf(urls string) jetstream.Stream {
	h.t.Helper()
	nc, err := nats.Connect(urls, nats.MaxReconnects(-1))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		h.t.Fatal(err)
	}
	var s jetstream.Stream
	h.eventually("the stream is there", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s, err = js.Stream(ctx, h.names().Stream)
		return err
	})
	return s
}

// caughtUp returns an error while a copy of the stream is behind or away.
func (h *harness) caughtUp(s jetstream.Stream) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	info, err := s.Info(ctx)
	if err != nil {
		return err
	}
	if info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != 2 {
		return fmt.Errorf("cluster %+v", info.Cluster)
	}
	for _, r := range info.Cluster.Replicas {
		if r.Offline || !r.Current {
			return fmt.Errorf("%s: offline %v, lag %d", r.Name, r.Offline, r.Lag)
		}
	}
	return nil
}
