package bus_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestTheEntriesOfMessagesFillABatch(t *testing.T) {
	t.Parallel()
	c := connect(t, testkit.NATS(t))
	cc := consumer()
	cc.MaxBatch, cc.MaxWait, cc.Entries = 10, time.Minute, func(data []byte) int { return len(data) }
	var mu sync.Mutex
	var sizes []int
	consume(t, c, cc, func(_ context.Context, batch []bus.Message) error {
		entries := 0
		for _, m := range batch {
			if m.Seq == 0 {
				t.Error("a message without a place in the stream")
			}
			entries += len(m.Data)
			_ = m.Ack()
		}
		mu.Lock()
		defer mu.Unlock()
		sizes = append(sizes, entries)
		return nil
	})
	publish(t, c, "1", "aaaa")
	publish(t, c, "2", "aaaaa")
	publish(t, c, "3", "aaa")          // above the limit, because a message is not split
	publish(t, c, "4", "aaaaaaaaaaaa") // fills a batch by itself
	eventually(t, "two batches, long before the time to fill one is over", func() error {
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(sizes, []int{12, 12}) {
			return fmt.Errorf("%v", sizes)
		}
		return nil
	})
}
