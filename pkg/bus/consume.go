package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go/jetstream"
)

// StreamConfig says how a stream is kept.
type StreamConfig struct {
	Name      string
	Subjects  []string
	MaxBytes  int64         // a full stream refuses new messages; it never drops old ones
	MaxAge    time.Duration // 0: for ever
	Replicas  int
	DupWindow time.Duration // within which a message id is seen once
}

// EnsureStream creates the stream, or changes it to s. Messages are deleted once they are acknowledged by the one consumer (work queue).
func (c *Conn) EnsureStream(ctx context.Context, s StreamConfig) error {
	_, err := c.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: s.Name, Subjects: s.Subjects, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		MaxBytes: s.MaxBytes, MaxAge: s.MaxAge, Replicas: max(1, s.Replicas), Duplicates: s.DupWindow,
	})
	if err != nil {
		return fmt.Errorf("stream %s: %w", s.Name, err)
	}
	return nil
}

// Message is one delivered message. Exactly one of Ack and Terminate must be called, else it is delivered again after the ack wait.
type Message struct {
	Data       []byte
	Deliveries uint64
	msg        jetstream.Msg
}

// Ack says that the message was dealt with.
func (m Message) Ack() error { return m.msg.Ack() }

// Terminate says that the message can never be dealt with; reason is for the log of the server.
func (m Message) Terminate(reason string) error { return m.msg.TermWithReason(reason) }

// ConsumerConfig says how batches are made.
type ConsumerConfig struct {
	Stream, Durable string
	MaxBatch        int           // most messages of a batch
	MaxWait         time.Duration // longest time to fill one, counted from its first message
	AckWait         time.Duration // after which an unacknowledged message goes to another replica
}

// Consume hands batches to handle until ctx ends; all processes with the same durable name share the messages. handle acknowledges what it
// has dealt with. When handle fails, nothing is acknowledged and the same batch is tried again, for ever, with a growing pause of at most 15 s.
func (c *Conn) Consume(ctx context.Context, cc ConsumerConfig, handle func(context.Context, []Message) error) error {
	pause := func() *backoff.ExponentialBackOff {
		return &backoff.ExponentialBackOff{InitialInterval: 100 * time.Millisecond, Multiplier: 2, RandomizationFactor: 0.3, MaxInterval: 15 * time.Second}
	}
	for ctx.Err() == nil {
		_, err := backoff.Retry(ctx, func() (struct{}, error) {
			cons, err := c.js.CreateOrUpdateConsumer(ctx, cc.Stream, jetstream.ConsumerConfig{
				Durable: cc.Durable, AckPolicy: jetstream.AckExplicitPolicy, AckWait: cc.AckWait, MaxDeliver: -1, MaxAckPending: 20 * cc.MaxBatch,
			})
			if err != nil {
				return struct{}{}, err
			}
			return struct{}{}, c.consume(ctx, cons, cc, handle, pause)
		}, backoff.WithBackOff(pause()), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, d time.Duration) {
			c.log.Warn("consumer waits", "stream", cc.Stream, "error", err.Error(), "pause", d)
		}))
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// consume reads batches until ctx ends or the consumer is lost.
func (c *Conn) consume(ctx context.Context, cons jetstream.Consumer, cc ConsumerConfig, handle func(context.Context, []Message) error, pause func() *backoff.ExponentialBackOff) error {
	it, err := cons.Messages(jetstream.PullMaxMessages(cc.MaxBatch), jetstream.PullHeartbeat(5*time.Second), jetstream.PullExpiry(15*time.Second))
	if err != nil {
		return err
	}
	defer it.Stop()
	for {
		batch, err := gather(ctx, it, cc)
		if err != nil || ctx.Err() != nil {
			return err
		}
		_, err = backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, handle(ctx, batch) },
			backoff.WithBackOff(pause()), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, d time.Duration) {
				c.log.Warn("batch will be tried again", "stream", cc.Stream, "messages", len(batch), "error", err.Error(), "pause", d)
				for _, m := range batch {
					_ = m.msg.InProgress() // keep it from going to another replica that would fail the same way
				}
			}))
		if err != nil {
			return nil // only ctx ends the retries
		}
	}
}

// gather waits for one message and then up to MaxWait for more. An empty batch with a nil error means that ctx ended.
func gather(ctx context.Context, it jetstream.MessagesContext, cc ConsumerConfig) ([]Message, error) {
	var batch []Message
	deadline := ctx
	for len(batch) < cc.MaxBatch {
		m, err := it.Next(jetstream.NextContext(deadline))
		switch {
		case err == nil:
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
			return batch, nil
		case errors.Is(err, jetstream.ErrNoHeartbeat) && len(batch) > 0:
			return batch, nil
		default:
			return nil, err
		}
		if len(batch) == 0 {
			var cancel context.CancelFunc
			deadline, cancel = context.WithTimeout(ctx, cc.MaxWait)
			defer cancel()
		}
		meta, err := m.Metadata()
		if err != nil {
			continue
		}
		batch = append(batch, Message{Data: m.Data(), Deliveries: meta.NumDelivered, msg: m})
	}
	return batch, nil
}

// StreamState is how full a stream is and how far its consumer has come.
type StreamState struct {
	Messages uint64 // kept in the stream
	Pending  uint64 // not yet delivered to the consumer
}

// State asks JetStream for the state of a stream and its consumer.
func (c *Conn) State(ctx context.Context, stream, durable string) (StreamState, error) {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return StreamState{}, err
	}
	out := StreamState{Messages: s.CachedInfo().State.Msgs}
	cons, err := s.Consumer(ctx, durable)
	if err != nil {
		return out, err
	}
	out.Pending = cons.CachedInfo().NumPending
	return out, nil
}
