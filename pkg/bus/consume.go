package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/realmgate/realmgate/pkg/trace"
)

// StreamConfig describes a JetStream stream.
type StreamConfig struct {
	Name      string
	Subjects  []string
	MaxBytes  int64         // a full stream refuses new messages; it never drops old ones
	MaxAge    time.Duration // 0: for ever
	Replicas  int
	DupWindow time.Duration // a message id is stored once in this time
	Owner     string        // installation that owns the stream; another's stream is refused
}

// ownerKey is the metadata key of a stream under which its owner stands.
const ownerKey = "realmgate_installation"

// ErrForeign means that a stream belongs to another installation.
var ErrForeign = errors.New("the stream belongs to another installation: each needs a database, or a NATS account, " +
	"of its own")

// errNoStream means that there is no stream to adopt.
var errNoStream = errors.New("there is no stream of that name")

// adopt makes this installation the owner of an existing stream that has none. The stream's other
// settings stay.
func (c *Conn) adopt(ctx context.Context, s StreamConfig) error {
	if err := c.disconnected(); err != nil {
		return err
	}
	there, err := c.js.Stream(ctx, s.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return errNoStream
	}
	if err != nil {
		return err
	}
	config := there.CachedInfo().Config
	switch config.Metadata[ownerKey] {
	case s.Owner:
		return nil
	case "":
		config.Metadata = maps.Clone(config.Metadata)
		if config.Metadata == nil {
			config.Metadata = map[string]string{}
		}
		config.Metadata[ownerKey] = s.Owner
		_, err := c.js.UpdateStream(ctx, config)
		return err
	}
	return ErrForeign
}

// EnsureStream creates the stream, or updates it to s where it differs. The stream is a work queue:
// a message is deleted once its one consumer has acknowledged it.
func (c *Conn) EnsureStream(ctx context.Context, s StreamConfig) error {
	if err := c.disconnected(); err != nil {
		return err
	}
	want := jetstream.StreamConfig{
		Name: s.Name, Subjects: s.Subjects, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage,
		Discard:  jetstream.DiscardNew,
		MaxBytes: s.MaxBytes, MaxAge: s.MaxAge, Replicas: max(1, s.Replicas), Duplicates: s.DupWindow,
	}
	if s.Owner != "" {
		want.Metadata = map[string]string{ownerKey: s.Owner}
	}
	there, err := c.js.Stream(ctx, s.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		// When another replica created it meanwhile, this changes nothing, or fails and is tried again.
		_, err = c.js.CreateStream(ctx, want)
	case err == nil && s.Owner != "" && there.CachedInfo().Config.Metadata[ownerKey] != s.Owner:
		err = ErrForeign
	case err == nil && differs(there.CachedInfo().Config, want):
		// Only a stream that differs is updated, because nats-server 2.15 has a race between the update
		// of a stream and the creation of its consumer.
		_, err = c.js.UpdateStream(ctx, want)
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", s.Name, err)
	}
	return nil
}

// differs compares the settings that EnsureStream sets; the server fills in the others.
func differs(there, want jetstream.StreamConfig) bool {
	return !slices.Equal(there.Subjects, want.Subjects) || there.Retention != want.Retention ||
		there.Storage != want.Storage ||
		there.Discard != want.Discard || there.MaxBytes != want.MaxBytes || there.MaxAge != want.MaxAge ||
		there.MaxMsgSize > 0 || there.Replicas != want.Replicas || there.Duplicates != want.Duplicates
}

// Message is one delivered message. Without a call of Ack it is delivered again after the ack wait.
type Message struct {
	Data       []byte
	Seq        uint64 // sequence number in the stream; with Data it identifies the message
	Deliveries uint64 // 1 for the first delivery
	// Traceparent names the span of the message's publisher; "" for none.
	Traceparent string
	msg         jetstream.Msg
}

// Ack acknowledges the message. When that cannot be sent, the message is delivered again.
func (m Message) Ack() error { return m.msg.Ack() }

// ConsumerConfig describes a consumer and its batches.
type ConsumerConfig struct {
	Stream   StreamConfig // created or updated before the first message is requested
	Durable  string
	Adopt    bool                  // adopt the stream of an earlier release instead of creating one
	MaxBatch int                   // a batch is full with this many entries
	Entries  func(data []byte) int // returns the number of entries of a message; nil: one
	MaxWait  time.Duration         // longest time to fill a batch, counted from its first message
	// AckWait is the time after which the messages of a dead replica go to another. A replica that
	// lives extends it.
	AckWait time.Duration
}

// Handler processes one batch and acknowledges its messages. A handler that returns an error must
// have acknowledged none of them.
type Handler func(context.Context, []Message) error

// Bounds of the pauses between attempts.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 10 * time.Second
)

// maxPulled bounds the messages that wait in this process; each carries up to a hundred events. The
// bound is a number of messages and not of bytes. With a bound of bytes JetStream ends each pull
// with a message that says how many bytes were left, for which the client (nats.go 1.55) reserves
// no room: it drops a message, which comes again only after the ack wait.
const maxPulled = 64

// lastBatches is the time for the batches of messages that had already arrived when the consumer
// was told to stop.
const lastBatches = 5 * time.Second

// Consume passes batches to handle until ctx ends; all processes with the same durable name share
// the messages. It creates the stream and the consumer as soon as NATS answers, and again when they
// are gone. When handle fails, the batch is retried for ever with growing pauses. When ctx ends,
// the messages that had already arrived are handled in one last attempt or else returned to the
// stream at once, so that they need not wait for the end of AckWait. Consume fails only when the
// connection was closed or the stream belongs to another installation.
func (c *Conn) Consume(ctx context.Context, cc ConsumerConfig, handle Handler) error {
	pauses := newPauses()
	for {
		err := c.consume(ctx, cc, func(ctx context.Context, batch []Message) error {
			pauses.Reset()
			return handle(ctx, batch)
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case c.nc.IsClosed():
			return err
		case cc.Adopt && (errors.Is(err, errNoStream) || errors.Is(err, ErrForeign)):
			c.log.Info("there is nothing of an earlier release to take", "stream", cc.Stream.Name, "reason",
				err.Error())
			return nil
		case errors.Is(err, ErrForeign):
			return err
		}
		pause := pauses.NextBackOff()
		c.log.Warn("consumer waits", "stream", cc.Stream.Name, "error", err.Error(), "pause", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func newPauses() *backoff.ExponentialBackOff {
	b := &backoff.ExponentialBackOff{InitialInterval: firstPause, Multiplier: 2, RandomizationFactor: 0.3,
		MaxInterval: maxPause}
	b.Reset()
	return b
}

// consume reads batches until ctx ends or the consumer is lost, which is an error.
func (c *Conn) consume(ctx context.Context, cc ConsumerConfig, handle Handler) error {
	ensure := c.EnsureStream
	if cc.Adopt {
		ensure = c.adopt
	}
	if err := ensure(ctx, cc.Stream); err != nil {
		return err
	}
	cons, err := c.js.CreateOrUpdateConsumer(ctx, cc.Stream.Name, jetstream.ConsumerConfig{
		Durable: cc.Durable, AckPolicy: jetstream.AckExplicitPolicy, AckWait: cc.AckWait, MaxDeliver: -1,
		MaxAckPending: 20 * cc.MaxBatch,
	})
	if err != nil {
		return err
	}
	it, err := cons.Messages(jetstream.PullMaxMessages(min(cc.MaxBatch, maxPulled)),
		jetstream.PullHeartbeat(5*time.Second), jetstream.PullExpiry(15*time.Second))
	if err != nil {
		return err
	}
	defer it.Stop()
	for {
		batch, err := gather(ctx, it, cc)
		switch {
		case ctx.Err() != nil:
			c.finish(ctx, it, cc, batch, handle)
			return nil
		case err != nil:
			return err
		}
		if err := c.retry(ctx, cc, batch, handle); err != nil {
			c.finish(ctx, it, cc, batch, handle)
			return nil
		}
	}
}

// retry calls handle with batch until it succeeds. Its only error is the end of ctx.
func (c *Conn) retry(ctx context.Context, cc ConsumerConfig, batch []Message, handle Handler) error {
	defer keep(cc, batch)()
	pauses := newPauses()
	for {
		err := attempt(ctx, batch, handle)
		if err == nil {
			return nil
		}
		pause := pauses.NextBackOff()
		c.log.Warn("batch will be tried again", "stream", cc.Stream.Name, "messages", len(batch), "error", err.Error(),
			"pause", pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// attemptTimeout bounds one call of a Handler.
const attemptTimeout = 30 * time.Second

// attempt calls handle once. The end of ctx does not interrupt it.
func attempt(ctx context.Context, batch []Message, handle Handler) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	defer cancel()
	return handle(ctx, batch)
}

// keep reports to JetStream until release is called that the batch is in progress, so that it does
// not go to another replica, however long the handler takes. A replica that dies reports nothing
// more, so AckWait may be short.
func keep(cc ConsumerConfig, batch []Message) (release func()) {
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		tick := time.NewTicker(cc.AckWait / 3)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				for _, m := range batch {
					_ = m.msg.InProgress()
				}
			}
		}
	})
	return func() { close(done); ended.Wait() }
}

// finish handles batch, and the messages that the iterator still holds, after the end of ctx. Each
// batch is tried once; messages that cannot be handled in time are returned to the stream.
func (c *Conn) finish(ctx context.Context, it jetstream.MessagesContext, cc ConsumerConfig, batch []Message,
	handle Handler) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastBatches)
	defer cancel()
	it.Drain()
	for {
		if len(batch) > 0 && (ctx.Err() != nil || handle(ctx, batch) != nil) {
			giveBack(batch)
		}
		var err error
		if batch, err = gather(ctx, it, cc); err != nil {
			giveBack(batch) // the time ended while the batch was filling
			return
		}
	}
}

// giveBack returns messages to the stream at once. Otherwise they would come again only after
// AckWait.
func giveBack(batch []Message) {
	for _, m := range batch {
		_ = m.msg.Nak()
	}
}

// gather waits for one message and then up to MaxWait for more. It returns a batch that is not
// empty together with an error only when ctx ended or a message is not of JetStream.
func gather(ctx context.Context, it jetstream.MessagesContext, cc ConsumerConfig) ([]Message, error) {
	var batch []Message
	filling := ctx
	for entries := 0; entries < cc.MaxBatch; {
		m, err := it.Next(jetstream.NextContext(filling))
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return batch, ctx.Err()
		case len(batch) > 0: // MaxWait is over, or the iterator failed and will fail again
			return batch, nil
		default:
			return nil, err
		}
		if len(batch) == 0 {
			var cancel context.CancelFunc
			filling, cancel = context.WithTimeout(ctx, cc.MaxWait)
			defer cancel()
		}
		meta, err := m.Metadata()
		if err != nil {
			return batch, errors.Join(errors.New("a message that JetStream did not send"), err)
		}
		if entries++; cc.Entries != nil {
			entries += cc.Entries(m.Data()) - 1
		}
		batch = append(batch, Message{
			Data: m.Data(), Seq: meta.Sequence.Stream, Deliveries: meta.NumDelivered,
			Traceparent: m.Headers().Get(trace.Header),
			msg:         m,
		})
	}
	return batch, nil
}

// StreamState describes how full a stream is and how far its consumer has come.
type StreamState struct {
	Messages   uint64 // kept in the stream: not yet acknowledged
	Bytes      uint64
	Pending    uint64 // not yet delivered to the consumer
	AckPending uint64 // delivered, not yet acknowledged
}

// State asks JetStream for the state of a stream and its consumer.
func (c *Conn) State(ctx context.Context, stream, durable string) (StreamState, error) {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return StreamState{}, err
	}
	kept := s.CachedInfo().State
	out := StreamState{Messages: kept.Msgs, Bytes: kept.Bytes}
	cons, err := s.Consumer(ctx, durable)
	if err != nil {
		return out, err
	}
	info := cons.CachedInfo()
	out.Pending, out.AckPending = info.NumPending, uint64(info.NumAckPending)
	return out, nil
}
