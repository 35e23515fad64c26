package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const patience = testkit.Patience

func stream() bus.StreamConfig {
	return bus.StreamConfig{Name: "LOG", Subjects: []string{"log.>"}, MaxBytes: 16 << 20, DupWindow: time.Minute}
}

func consumer() bus.ConsumerConfig {
	return bus.ConsumerConfig{Stream: stream(), Durable: "reader", MaxBatch: 10, MaxWait: 20 * time.Millisecond,
		AckWait: 2 * time.Second}
}

func connect(t *testing.T, url string) *bus.Conn {
	t.Helper()
	c, err := bus.Connect(bus.Config{URL: config.Secret(url)}, t.Name(), testkit.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// publish publishes a message until the stream has stored it.
func publish(t *testing.T, c *bus.Conn, id, text string) {
	t.Helper()
	eventually(t, "publish "+text, func() error { return store(c, id, text) })
}

// store publishes a message once and waits for the stream's acknowledgement.
func store(c *bus.Conn, id, text string) error {
	f, err := c.Publish("log.x", id, "", []byte(text))
	if err != nil {
		return err
	}
	select {
	case <-f.OK:
		return nil
	case err := <-f.Err:
		return err
	}
}

func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: still %v after %v", what, err, patience)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// sink counts how often each text was acknowledged.
type sink struct {
	mu   sync.Mutex
	seen map[string]int
	most int // messages of the largest batch
}

func (s *sink) take(batch []bus.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = map[string]int{}
	}
	s.most = max(s.most, len(batch))
	for _, m := range batch {
		s.seen[string(m.Data)]++
	}
}

func (s *sink) store(_ context.Context, batch []bus.Message) error {
	s.take(batch)
	for _, m := range batch {
		if err := m.Ack(); err != nil {
			return err
		}
	}
	return nil
}

func (s *sink) has(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) != n {
		return fmt.Errorf("%d different messages of %d", len(s.seen), n)
	}
	return nil
}

func (s *sink) onceEach(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for text, n := range s.seen {
		if n != 1 {
			t.Errorf("message %s was handed over %d times", text, n)
		}
	}
}

// consume runs a consumer; stop ends it and waits for it.
func consume(t *testing.T, c *bus.Conn, cc bus.ConsumerConfig, handle bus.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Consume(ctx, cc, handle) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Consume: %v", err)
			}
		case <-time.After(patience):
			t.Error("Consume does not stop")
		}
	})
	t.Cleanup(stop)
	return stop
}

func TestTwoConsumersShareTheMessagesInBatches(t *testing.T) {
	t.Parallel()
	url := testkit.NATS(t)
	c := connect(t, url)
	if err := c.EnsureStream(t.Context(), stream()); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		publish(t, c, strconv.Itoa(i), strconv.Itoa(i))
	}
	publish(t, c, "7", "7") // JetStream knows the id
	var s sink
	consume(t, c, consumer(), s.store)
	consume(t, connect(t, url), consumer(), s.store)
	eventually(t, "all arrive", func() error { return s.has(200) })
	eventually(t, "the stream is empty", func() error {
		state, err := c.State(t.Context(), "LOG", "reader")
		if err == nil && state.Messages+state.Pending+state.AckPending != 0 {
			err = fmt.Errorf("%+v", state)
		}
		return err
	})
	s.onceEach(t)
	if s.most < 2 || s.most > 10 {
		t.Errorf("the largest batch has %d messages, want 2 to 10", s.most)
	}
}

func TestAFailedBatchIsRetriedByTheSameConsumer(t *testing.T) {
	t.Parallel()
	url := testkit.NATS(t)
	c := connect(t, url)
	var s sink
	var fails atomic.Int32
	failing := func(ctx context.Context, batch []bus.Message) error {
		if fails.Add(1) <= 3 {
			return errors.New("on purpose")
		}
		return s.store(ctx, batch)
	}
	stop := consume(t, c, consumer(), failing)
	publish(t, c, "a", "a")
	eventually(t, "the fourth attempt", func() error { return s.has(1) })
	stop()
	s.onceEach(t)
	if n := fails.Load(); n != 4 {
		t.Errorf("%d attempts, want 4", n)
	}
}

func TestAMessageWithoutAnAcknowledgementIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	c := connect(t, testkit.NATS(t))
	var s sink
	var again atomic.Bool
	consume(t, c, consumer(), func(ctx context.Context, batch []bus.Message) error {
		if batch[0].Deliveries == 1 {
			return nil // as if the process had died between commit and acknowledgement
		}
		again.Store(true)
		return s.store(ctx, batch)
	})
	publish(t, c, "a", "a")
	eventually(t, "the second delivery", func() error { return s.has(1) })
	if !again.Load() {
		t.Error("the message came with its first delivery's number")
	}
}

func TestAStopReturnsTheMessagesThatCannotBeStored(t *testing.T) {
	t.Parallel()
	url := testkit.NATS(t)
	c := connect(t, url)
	cc := consumer()
	cc.AckWait = 10 * time.Minute
	var tried atomic.Int32
	stop := consume(t, c, cc, func(context.Context, []bus.Message) error {
		tried.Add(1)
		return errors.New("the database is away")
	})
	for i := range 25 {
		publish(t, c, strconv.Itoa(i), strconv.Itoa(i))
	}
	eventually(t, "an attempt", func() error {
		if tried.Load() == 0 {
			return errors.New("none")
		}
		return nil
	})
	stop()
	var s sink
	consume(t, connect(t, url), cc, s.store)
	eventually(t, "the other replica has all", func() error { return s.has(25) })
}

func TestConsumeSurvivesAnUnreachableNATS(t *testing.T) {
	t.Parallel()
	broker := testkit.StartNATS(t)
	broker.Stop()
	c := connect(t, broker.URL())
	if c.Ready(t.Context()) == nil {
		t.Error("ready without a server")
	}
	if err := c.Announce("x", nil); err == nil {
		t.Error("announced without a server")
	}
	var s sink
	consume(t, c, consumer(), s.store)
	broker.Restart()
	publish(t, c, "a", "a")
	eventually(t, "the first message", func() error { return s.has(1) })
	broker.Restart()
	publish(t, c, "b", "b")
	eventually(t, "the second message", func() error { return s.has(2) })
	if err := c.Ready(t.Context()); err != nil {
		t.Errorf("not ready: %v", err)
	}
}

func TestADeletedStreamIsCreatedAgain(t *testing.T) {
	t.Parallel()
	broker := testkit.StartNATS(t)
	c := connect(t, broker.URL())
	var s sink
	consume(t, c, consumer(), s.store)
	publish(t, c, "a", "a")
	eventually(t, "the first message", func() error { return s.has(1) })
	nc, err := nats.Connect(broker.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err == nil {
		err = js.DeleteStream(t.Context(), "LOG")
	}
	if err != nil {
		t.Fatal(err)
	}
	publish(t, c, "b", "b")
	eventually(t, "the second message", func() error { return s.has(2) })
}

func TestANewSettingChangesTheStream(t *testing.T) {
	t.Parallel()
	c := connect(t, testkit.NATS(t))
	small, large := stream(), stream()
	small.MaxBytes = 1024
	for _, s := range []bus.StreamConfig{small, large, large} {
		if err := c.EnsureStream(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	f, err := c.Publish("log.x", "1", "", make([]byte, 4096))
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-f.OK:
	case err := <-f.Err:
		t.Errorf("the stream is still small: %v", err)
	}
}

func TestAFullStreamRefusesNewMessagesAndKeepsTheOld(t *testing.T) {
	t.Parallel()
	c := connect(t, testkit.NATS(t))
	small := stream()
	small.MaxBytes = 4096
	if err := c.EnsureStream(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	stored := 0
	for i := range 100 {
		f, err := c.Publish("log.x", strconv.Itoa(i), "", make([]byte, 200))
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-f.OK:
			stored++
		case <-f.Err: //nolint:errcheck // the stored messages show the refusals
		}
	}
	state, err := c.State(t.Context(), "LOG", "reader")
	if stored == 0 || stored == 100 || int(state.Messages) != stored {
		t.Errorf("stored %d of 100; the stream has %d (%v)", stored, state.Messages, err)
	}
}

func TestABatchStaysWithItsReplicaBeyondTheAckWait(t *testing.T) {
	t.Parallel()
	url := testkit.NATS(t)
	cc := consumer()
	cc.AckWait = time.Second
	var handled atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	for range 2 {
		replica := connect(t, url)
		wait.Go(func() {
			_ = replica.Consume(ctx, cc, func(_ context.Context, batch []bus.Message) error {
				handled.Add(1)
				time.Sleep(3 * cc.AckWait)
				for _, m := range batch {
					if err := m.Ack(); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	c := connect(t, url)
	publish(t, c, "1", "slow")
	eventually(t, "the message is dealt with", func() error {
		if s, err := c.State(t.Context(), cc.Stream.Name, cc.Durable); err != nil || s.Messages > 0 {
			return fmt.Errorf("%d messages left, %w", s.Messages, err)
		}
		return nil
	})
	if n := handled.Load(); n != 1 {
		t.Errorf("handled %d times, want once", n)
	}
}
