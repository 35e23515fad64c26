package bus_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestABacklogIsDeliveredOnce checks that messages which are pulled ahead of a slow handler have
// room in this process. The client would drop others, which would come again only after the ack
// wait.
func TestABacklogIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	var warnings testkit.Buffer
	log := slog.New(slog.NewTextHandler(&warnings, &slog.HandlerOptions{Level: slog.LevelWarn}))
	c, err := bus.Connect(bus.Config{URL: config.Secret(testkit.NATS(t))}, t.Name(), log)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.EnsureStream(t.Context(), stream()); err != nil {
		t.Fatal(err)
	}
	const messages = 400
	go func() {
		for i := range messages {
			if _, err := c.Publish("log.x", fmt.Sprint(i), "", []byte(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
			time.Sleep(200 * time.Microsecond)
		}
	}()
	cc := consumer()
	cc.MaxBatch, cc.AckWait = 5, time.Minute
	var mu sync.Mutex
	seen, again := map[string]bool{}, 0
	stop := consume(t, c, cc, func(_ context.Context, batch []bus.Message) error {
		time.Sleep(5 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		for _, m := range batch {
			seen[string(m.Data)] = true
			if m.Deliveries > 1 {
				again++
			}
			if err := m.Ack(); err != nil {
				return err
			}
		}
		return nil
	})
	eventually(t, "every message was delivered, long before the ack wait", func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(seen) < messages {
			return fmt.Errorf("%d of %d", len(seen), messages)
		}
		return nil
	})
	stop()
	c.Close()
	if said := warnings.String(); said != "" {
		t.Errorf("the client had no room: %.500s", said)
	}
	if again > 0 {
		t.Errorf("%d messages were delivered again", again)
	}
}
