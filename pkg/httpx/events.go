package httpx

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/api"
)

// TypeEvents is the content type of server-sent events (WHATWG HTML, section 9.2).
const TypeEvents = "text/event-stream"

// The names of the events that every stream has.
const (
	EventSync  = "sync"  // the position of the stream, in data
	EventReset = "reset" // the stream does not continue where the client was
	EventBye   = "bye"   // the reason of the end, in data
)

// SyncEvery is how often a stream sends EventSync. A client that left is noticed at the second
// write after it did at the latest, and its place must be free within 20 s.
const SyncEvery = 5 * time.Second

// EventFunc writes the events of a stream; its context is that of a StreamFunc. When it returns,
// the stream ends: with EventBye and the reason when its context ended because of EndDraining,
// EndRevoked or EndSlow, and with EndDraining when it failed, so that the client resumes elsewhere.
type EventFunc func(ctx context.Context, w *EventWriter) error

// Events answers with a stream of server-sent events that run writes after the handler has
// returned, as with Stream. It ends as soon as the server stops.
func Events(c *fiber.Ctx, run EventFunc) error {
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set("X-Accel-Buffering", "no") // nginx would keep events back
	return startStream(c, TypeEvents, stream{events: true, buffer: eventBuffer,
		run: func(ctx context.Context, w *StreamWriter) error {
			e := &EventWriter{w: w}
			if err := e.start(); err != nil {
				return err
			}
			err := run(ctx, e)
			return e.end(ctx, err)
		}})
}

// LastEventID returns the position after which a client resumes a stream; false when it starts one.
// The header's value is given by the client and may be anything.
func LastEventID(c *fiber.Ctx) (string, bool) {
	lines := c.Request().Header.PeekAll(HeaderLastEventID)
	if len(lines) == 0 || len(lines[0]) == 0 { // an empty id is that of a client that has seen none
		return "", false
	}
	return string(lines[0]), true
}

// HeaderLastEventID is the name of the header that resumes a stream.
const HeaderLastEventID = "Last-Event-ID"

// EventWriter writes server-sent events.
type EventWriter struct{ w *StreamWriter }

// start tells the client to reconnect a second after the connection was lost.
func (e *EventWriter) start() error {
	_, _ = e.w.Write([]byte("retry: 1000\n\n")) // Flush returns the error
	return e.w.Flush()
}

// Write adds an event to the buffer: its name, its id unless that is "", and data as one line of
// JSON. Send is Write and Flush.
func (e *EventWriter) Write(name, id string, data any) error {
	line, err := api.Marshal(data)
	if err != nil {
		return err
	}
	b := make([]byte, 0, len(name)+len(id)+len(line)+32)
	b = append(append(append(b, "event: "...), name...), '\n')
	if id != "" {
		b = append(append(append(b, "id: "...), id...), '\n')
	}
	b = append(append(append(b, "data: "...), line...), "\n\n"...)
	_, err = e.w.Write(b)
	return err
}

// End ends the stream for a reason that only its caller knows. It may be called at any time by any
// goroutine.
func (e *EventWriter) End(reason EndReason) { e.w.End(reason) }

// Flush sends the events in the buffer.
func (e *EventWriter) Flush() error { return e.w.Flush() }

// Send writes an event and flushes.
func (e *EventWriter) Send(name, id string, data any) error {
	if err := e.Write(name, id, data); err != nil {
		return err
	}
	return e.Flush()
}

// Raw adds whole events, which end with an empty line, to the buffer.
func (e *EventWriter) Raw(events []byte) error {
	_, err := e.w.Write(events)
	return err
}

// Sync sends EventSync, by which a client resumes even when it has got no other event for long.
func (e *EventWriter) Sync(id string) error {
	return e.Send(EventSync, id, map[string]string{"id": id})
}

// end says why the stream ends, given the error of its function.
func (e *EventWriter) end(ctx context.Context, err error) error {
	reason, ended := errors.AsType[EndReason](context.Cause(ctx))
	if !ended {
		if err == nil {
			return nil
		}
		var named bool
		if reason, named = errors.AsType[EndReason](err); !named {
			reason = EndDraining
		}
	}
	told := reason
	switch reason {
	case EndClient:
		return reason
	case EndUpstream:
		told = EndDraining
	}
	if e.w.revive() && e.Send(EventBye, "", map[string]string{"reason": string(told)}) == nil {
		_ = e.w.finish() // complete, so that clients do not report a broken answer
	}
	if !ended {
		return err
	}
	return reason
}

// NewSyncTimer returns a ticker for EventSync. Its first tick comes at a random moment within
// SyncEvery, so that streams that began together do not send at the same moments for ever.
func NewSyncTimer() *SyncTimer {
	return &SyncTimer{time.NewTimer(time.Duration(1 + rand.Int64N(int64(SyncEvery))))}
}

// SyncTimer ticks every SyncEvery. Stop must be called.
type SyncTimer struct{ *time.Timer }

// Next arms the timer again after a tick.
func (t *SyncTimer) Next() { t.Reset(SyncEvery) }
