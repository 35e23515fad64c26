// Package bus owns the way to NATS: publishing to JetStream, a durable pull consumer that hands
// over batches, and announcements that are not kept. Start reading at Connect. It is the only
// package that imports nats.go.
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

// malformed stands for the library's text, which may quote a password.
func malformed() error { return config.SecretURLError("NATS_URL", "nats://user:password@host:4222") }

// Validate checks what tags cannot say.
func (c Config) Validate() error {
	for i, one := range strings.Split(c.URL.Reveal(), ",") {
		// Without a scheme, what follows a comma may be the rest of a password.
		if rest := i > 0 && !strings.Contains(one, "://") && strings.Contains(one, "@"); rest ||
			!wellFormed(strings.TrimSpace(one)) {
			return malformed()
		}
	}
	return nil
}

// Conn is a connection that reconnects for ever. Its methods may be called while NATS is away; they
// then fail within their context.
type Conn struct {
	nc  *nats.Conn
	js  jetstream.JetStream
	log *slog.Logger

	cause atomic.Pointer[error] // of the last attempt to connect that failed
	told  rate.Sometimes
}

// publishAckTimeout is how long an asynchronous publish waits for JetStream's word before it counts
// as failed.
const publishAckTimeout = 5 * time.Second

// maxPending bounds the asynchronous publishes under way.
const maxPending = 4096

// tellEvery is how often the log repeats that NATS cannot be reached.
const tellEvery = 30 * time.Second

// Connect returns a connection for the process called name. It succeeds also while NATS is away or
// refuses the login, and tries again for ever; only a malformed URL is an error.
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

// inbox begins the subjects on which the process called name gets answers: NATS can so keep them
// from others.
func inbox(name string) string {
	return "_INBOX." + strings.Map(func(r rune) rune {
		if r == '.' || r == '*' || r == '>' || unicode.IsSpace(r) {
			return '_'
		}
		return r
	}, name)
}

// failed keeps why an attempt to connect failed, and tells it now and then.
func (c *Conn) failed(err error) {
	if errors.Is(err, nats.ErrNoServers) { // the sum of the attempts, without a cause
		return
	}
	c.cause.Store(&err)
	c.told.Do(func() {
		c.log.Warn("NATS cannot be reached: see NATS_URL and the server; trying again", "error", err.Error())
	})
}

// wellFormed reports whether one of the addresses of NATS_URL can be one: the library takes any
// scheme and path, and would only never arrive.
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

// away is why nothing can be sent now, nil when it can: the library's own words for it are about
// its buffers.
func (c *Conn) away() error {
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

// Ready returns an error while NATS is away.
func (c *Conn) Ready(context.Context) error { return c.away() }

// announceTimeout is how long Announce waits for the word of NATS.
const announceTimeout = 100 * time.Millisecond

// Announce tells every listener of subject, once and without keeping it. It returns when NATS has
// it, so that it arrives also when this process dies at once; an error when NATS is away or does
// not answer, and then it may arrive all the same.
func (c *Conn) Announce(subject string, data []byte) error {
	if err := c.away(); err != nil {
		return err
	}
	if err := c.nc.Publish(subject, data); err != nil {
		return err
	}
	return c.nc.FlushTimeout(announceTimeout)
}

// Listen calls handle with every announcement to subject until stop is called; after a lost
// connection it goes on by itself, and what was announced meanwhile is lost. onGap, when given, is
// called after each reconnection, because of that loss.
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

// roomForHeaders is what a message needs besides its data: the names of its headers, their values,
// a reply subject.
const roomForHeaders = 1 << 10

// MaxData is how large the data of a message may be for the server (max_payload), 0 as long as none
// has said.
func (c *Conn) MaxData() int { return max(0, int(c.nc.MaxPayload())-roomForHeaders) }

// Publish sends data to a JetStream subject. JetStream drops a second message with the same msgID
// inside its duplicate window. traceparent, when it is not "", goes with it as a header. The
// returned future tells when the stream has it.
func (c *Conn) Publish(subject, msgID, traceparent string, data []byte) (Future, error) {
	if err := c.away(); err != nil {
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

// Store publishes data to a JetStream subject and returns when the stream has it; the error says
// why it does not. ctx must have a deadline: a stream that cannot write to its disk gives no answer
// (nats-server 2.15).
func (c *Conn) Store(ctx context.Context, subject string, data []byte) error {
	if err := c.away(); err != nil {
		return err
	}
	_, err := c.js.Publish(ctx, subject, data)
	if errors.Is(err, context.DeadlineExceeded) {
		return errNoWord
	}
	return err
}

var errNoWord = errors.New("the stream does not say that it stored a message: see the log of nats-server, and restart it when its disk has room")
