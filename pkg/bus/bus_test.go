package bus_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestAnnouncementsReachEveryListenerAndAGapIsTold(t *testing.T) {
	t.Parallel()
	broker := testkit.StartNATS(t, func(o *server.Options) { o.JetStream = false })
	sender := connect(t, broker.URL())
	var mu sync.Mutex
	got := map[int][]string{}
	var gaps atomic.Int32
	for i := range 2 {
		stop, err := connect(t, broker.URL()).Listen("news", func(data []byte) {
			mu.Lock()
			defer mu.Unlock()
			got[i] = append(got[i], string(data))
		}, func() { gaps.Add(1) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
	}
	heard := func(text string) func() error {
		return func() error {
			if err := sender.Announce("news", []byte(text)); err != nil {
				return err
			}
			time.Sleep(10 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			if !slices.Contains(got[0], text) || !slices.Contains(got[1], text) {
				return fmt.Errorf("heard %v", got)
			}
			return nil
		}
	}
	eventually(t, "before", heard("before"))
	broker.Restart()
	eventually(t, "after", heard("after"))
	eventually(t, "both listeners learn of the gap", func() error {
		if n := gaps.Load(); n < 2 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
}

func TestAMalformedAddressIsRefusedWithoutQuotingIt(t *testing.T) {
	t.Parallel()
	_, err := bus.Connect(bus.Config{URL: "nats://user:hunter2@[::1"}, "x", testkit.Log(t))
	if err == nil || err.Error() != "NATS_URL: cannot be used: check its form (nats://host:4222)" {
		t.Errorf("got %v", err)
	}
}
