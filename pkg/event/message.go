package event

import (
	"bytes"
	"iter"
	"strconv"
)

// A JetStream message carries one event, or several with a line feed between them: a stream takes
// few large messages for far less than many small ones. Encode never writes a line feed. Both
// readers and writers before this form knew one event a message, so a release that writes it is
// rolled out to activity-svc first.
const separator = '\n'

// Bounds of a message. They are far below the largest payload of NATS (1 MB by default), so that a
// batch of a consumer stays near the size that it asked for.
const (
	MaxEvents     = 100
	MaxMessage    = 64 << 10
	roomForEvents = 4 << 10
)

// Message is what one JetStream message carries.
type Message struct {
	Data        []byte
	Events      int
	Traceparent string // of its event, when that was traced
	first       string
}

// ID is the message id by which JetStream drops a message that it has: the id of the first event
// and how many there are. Events are packed in the order of a journal, so the same id means the
// same events.
func (m Message) ID() string {
	if m.Events == 1 {
		return m.first
	}
	return m.first + "+" + strconv.Itoa(m.Events)
}

// Pack adds an encoded event to the last of the messages, when that stays within most bytes, or
// begins another. A traced event has a message of its own, whose headers carry its trace.
func Pack(messages []Message, eventID string, body []byte, traceparent string, most int) []Message {
	if n := len(messages); n > 0 && traceparent == "" {
		if last := &messages[n-1]; last.Traceparent == "" && last.Events < MaxEvents && len(last.Data)+1+len(body) <= most {
			last.Data = append(append(last.Data, separator), body...)
			last.Events++
			return messages
		}
	}
	data := append(make([]byte, 0, max(roomForEvents, len(body))), body...)
	return append(messages, Message{Data: data, Events: 1, Traceparent: traceparent, first: eventID})
}

// Split returns the events that a message carries, each to be decoded by itself; an empty message
// has one, which is none.
func Split(data []byte) iter.Seq[[]byte] { return bytes.SplitSeq(data, []byte{separator}) }

// Count returns how many events Split finds.
func Count(data []byte) int { return 1 + bytes.Count(data, []byte{separator}) }
