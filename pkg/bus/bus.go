// Package bus provides the connection to NATS: publishing to JetStream, a durable pull consumer
// that delivers batches, and announcements that are not stored. It is the only package that imports
// nats.go. Start reading at Connect.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/trace"
)

// Config is the part of a service's settings that concerns NATS.
type Config struct {
	URL   config.Secret `env:"NATS_URL" envDefault:"nats://127.0.0.1:4222" doc:"NATS servers with JetStream, comma-separated."`
	Files FilesConfig
}

// malformed returns the error for a malformed NATS_URL instead of the library's, which may quote a
// password.
func malformed() error { return config.SecretURLError("NATS_URL", "nats://user:password@host:4222") }

// Validate checks the rules that tags cannot express.
func (c Config) Validate() error {
	for i, one := range strings.Split(c.URL.Reveal(), ",") {
		// Without a scheme, the text after a comma may be the rest of a password.
		if rest := i > 0 && !strings.Contains(one, "://") && strings.Contains(one, "@"); rest ||
			!wellFormed(strings.TrimSpace(one)) {
			return malformed()
		}
	}
	return nil
}

// Conn is a connection that reconnects for ever. Its methods may be called while NATS is
// unreachable; they then fail within the time of their context.
type Conn struct {
	nc  *nats.Conn
	js  jetstream.JetStream
	log *slog.Logger

	cause atomic.Pointer[error] // of the last attempt to connect that failed
	told  rate.Sometimes
}

// publishAckTimeout is how long an asynchronous publish waits for JetStream's acknowledgement
// before it counts as failed.
const publishAckTimeout = 5 * time.Second

// maxPending bounds the asynchronous publishes under way.
const maxPending = 4096

// tellEvery is how often the log repeats that NATS cannot be reached.
const tellEvery = 30 * time.Second

// Connect returns a connection for the process called name. It succeeds even while NATS is
// unreachable or refuses the login, and keeps trying in the background. Only a malformed URL is an
// error.
func Connect(c Config, name string, log *slog.Logger) (*Conn, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	conn := &Conn{log: log, told: rate.Sometimes{Interval: tellEvery}}
	nc, err := nats.Connect(c.URL.Reveal(), c.Files.option, nats.Name(name), nats.CustomInboxPrefix(inbox(name)),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(250*time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, time.Second),
		nats.Timeout(2*time.Second),
		nats.PingInterval(10*time.Second), nats.MaxPingsOutstanding(2), nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("NATS connection lost", "error", err.Error())
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { conn.failed(err) }),
		nats.ReconnectHandler(func(*nats.Conn) { conn.cause.Store(nil); log.Info("NATS connection is back") }),
		nats.ErrorHandler(func(nc *nats.Conn, _ *nats.Subscription, err error) {
			if nc.IsConnected() {
				log.Warn("NATS", "error", err.Error())
			} else { // a refused login, at each attempt
				conn.failed(err)
			}
		}),
	)
	if err != nil {
		return nil, malformed()
	}
	conn.nc = nc
	if conn.js, err = jetstream.New(nc, jetstream.WithPublishAsyncTimeout(publishAckTimeout),
		jetstream.WithPublishAsyncMaxPending(maxPending)); err != nil {
		nc.Close()
		return nil, err
	}
	return conn, nil
}

// inbox returns the prefix of the subjects on which the process called name gets answers. With it
// the permissions of NATS can keep other processes from reading them.
func inbox(name string) string {
	return "_INBOX." + strings.Map(func(r rune) rune {
		if r == '.' || r == '*' || r == '>' || unicode.IsSpace(r) {
			return '_'
		}
		return r
	}, name)
}

// failed stores the error of an attempt to connect, and logs it from time to time.
func (c *Conn) failed(err error) {
	if errors.Is(err, nats.ErrNoServers) { // the sum of the attempts, without a cause
		return
	}
	c.cause.Store(&err)
	c.told.Do(func() {
		c.log.Warn("NATS cannot be reached: see NATS_URL and the server; trying again", "error", err.Error())
	})
}

// wellFormed reports whether address, one of NATS_URL, is an address of NATS. The library accepts
// any scheme and path, and would then try for ever to connect.
func wellFormed(address string) bool {
	if !strings.Contains(address, "://") {
		address = "nats://" + address
	}
	u, err := config.SecretURL("", address, "", "nats", "tls", "ws", "wss")
	if err != nil || u.Hostname() == "" || u.RawQuery != "" {
		return false
	}
	if u.Port() != "" {
		if port, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || port == 0 {
			return false
		}
	}
	switch u.Scheme {
	case "nats", "tls":
		return u.Path == "" || u.Path == "/"
	case "ws", "wss":
		return true
	}
	return false
}

// disconnected returns why nothing can be sent now, nil while connected. The library's own error
// would be about its buffers.
func (c *Conn) disconnected() error {
	if c.nc.IsConnected() {
		return nil
	}
	if cause := c.cause.Load(); cause != nil {
		return fmt.Errorf("NATS cannot be reached: %w", *cause)
	}
	return errors.New("NATS cannot be reached")
}

// Close ends the connection at once.
func (c *Conn) Close() { c.nc.Close() }

// Ready returns an error while NATS is unreachable.
func (c *Conn) Ready(context.Context) error { return c.disconnected() }

// announceTimeout is how long Announce waits for the answer of NATS.
const announceTimeout = 100 * time.Millisecond

// Announce sends data once to every listener of subject; it is not stored. It returns when NATS has
// received data, so that a crash of this process right afterwards loses nothing. It fails when NATS
// is unreachable or does not answer; in the latter case the listeners may receive data all the
// same.
func (c *Conn) Announce(subject string, data []byte) error {
	if err := c.disconnected(); err != nil {
		return err
	}
	if err := c.nc.Publish(subject, data); err != nil {
		return err
	}
	return c.nc.FlushTimeout(announceTimeout)
}

// Listen calls handle with every announcement to subject until stop is called. It continues by
// itself after a lost connection, but announcements made meanwhile are lost; therefore onGap, when
// it is not nil, is called after each reconnection.
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

// roomForHeaders is the size of the other parts of a message beside its data: the names and values
// of its headers and a reply subject.
const roomForHeaders = 1 << 10

// MaxData returns the largest data of a message that the server accepts (max_payload), 0 before the
// first connection.
func (c *Conn) MaxData() int { return max(0, int(c.nc.MaxPayload())-roomForHeaders) }

// Publish sends data to a JetStream subject. JetStream drops a second message with the same msgID
// inside its duplicate window. A traceparent that is not "" is sent as a header. The returned
// future tells when the stream has stored the message.
func (c *Conn) Publish(subject, msgID, traceparent string, data []byte) (Future, error) {
	if err := c.disconnected(); err != nil {
		return Future{}, err
	}
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

// Store publishes data to a JetStream subject and returns when the stream has stored it, or an
// error that says why it did not. ctx must have a deadline, because a stream that cannot write to
// its disk does not answer (nats-server 2.15).
func (c *Conn) Store(ctx context.Context, subject string, data []byte) error {
	if err := c.disconnected(); err != nil {
		return err
	}
	_, err := c.js.Publish(ctx, subject, data)
	if errors.Is(err, context.DeadlineExceeded) {
		return errNoWord
	}
	return err
}

var errNoWord = errors.New("the stream does not say that it stored a message: see the log of nats-server, and " +
	"restart it when its disk has room")
