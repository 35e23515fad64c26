// Package bus owns the way to NATS: publishing to JetStream, a durable pull consumer that hands over batches, and announcements that are not
// kept. Start reading at Connect. It is the only package that imports nats.go.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/trace"
)

// Config is the part of a service's settings that concerns NATS.
type Config struct {
	URL config.Secret `env:"NATS_URL" envDefault:"nats://127.0.0.1:4222" doc:"NATS servers with JetStream, comma-separated."`
}

// Conn is a connection that reconnects for ever. Its methods may be called while NATS is away; they then fail within their context.
type Conn struct {
	nc  *nats.Conn
	js  jetstream.JetStream
	log *slog.Logger
}

// publishAckTimeout is how long an asynchronous publish waits for JetStream's word before it counts as failed.
const publishAckTimeout = 5 * time.Second

// maxPending bounds the asynchronous publishes under way.
const maxPending = 4096

// Connect returns a connection for the process called name. It succeeds also while NATS is away; only a malformed URL is an error.
func Connect(c Config, name string, log *slog.Logger) (*Conn, error) {
	nc, err := nats.Connect(c.URL.Reveal(), nats.Name(name), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(250*time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, time.Second), nats.Timeout(2*time.Second),
		nats.PingInterval(10*time.Second), nats.MaxPingsOutstanding(2), nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("NATS connection lost", "error", err.Error())
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("NATS connection is back") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("NATS", "error", err.Error()) }),
	)
	if err != nil {
		return nil, errors.New("NATS_URL: cannot be used: check its form (nats://host:4222)") // the library's text could quote a password
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncTimeout(publishAckTimeout), jetstream.WithPublishAsyncMaxPending(maxPending))
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &Conn{nc: nc, js: js, log: log}, nil
}

// Close ends the connection at once.
func (c *Conn) Close() { c.nc.Close() }

// Ready returns an error while NATS is away.
func (c *Conn) Ready(context.Context) error {
	if !c.nc.IsConnected() {
		return fmt.Errorf("NATS is %s", c.nc.Status())
	}
	return nil
}

// announceTimeout is how long Announce waits for the word of NATS.
const announceTimeout = 100 * time.Millisecond

// Announce tells every listener of subject, once and without keeping it. It returns when NATS has it, so that it arrives also when this process
// dies at once; an error when NATS is away or does not answer, and then it may arrive all the same.
func (c *Conn) Announce(subject string, data []byte) error {
	if !c.nc.IsConnected() {
		return nats.ErrConnectionClosed
	}
	if err := c.nc.Publish(subject, data); err != nil {
		return err
	}
	return c.nc.FlushTimeout(announceTimeout)
}

// Listen calls handle with every announcement to subject until stop is called; after a lost connection it goes on by itself, and what was
// announced meanwhile is lost. onGap, when given, is called after each reconnection, because of that loss.
func (c *Conn) Listen(subject string, handle func(data []byte), onGap func()) (stop func(), err error) {
	sub, err := c.nc.Subscribe(subject, func(m *nats.Msg) { handle(m.Data) })
	if err != nil {
		return nil, err
	}
	if onGap != nil {
		events := c.nc.StatusChanged(nats.CONNECTED)
		go func() {
			for range events { // closed by RemoveStatusListener
				onGap()
			}
		}()
		return func() { _ = sub.Unsubscribe(); c.nc.RemoveStatusListener(events) }, nil
	}
	return func() { _ = sub.Unsubscribe() }, nil
}

// Future is a publish under way: exactly one of the channels gets a value.
type Future struct {
	OK  <-chan *jetstream.PubAck
	Err <-chan error
}

// Publish sends data to a JetStream subject. JetStream drops a second message with the same msgID inside its duplicate window. traceparent, when
// it is not "", goes with it as a header. The returned future tells when the stream has it.
func (c *Conn) Publish(subject, msgID, traceparent string, data []byte) (Future, error) {
	m := &nats.Msg{Subject: subject, Data: data}
	if traceparent != "" {
		m.Header = nats.Header{trace.Header: {traceparent}}
	}
	f, err := c.js.PublishMsgAsync(m, jetstream.WithMsgID(msgID))
	if err != nil {
		return Future{}, err
	}
	return Future{OK: f.Ok(), Err: f.Err()}, nil
}
