package event

import (
	"bytes"
	"iter"
	"strconv"
)

// A JetStream message carries one event, or several with a line feed between them, because a few
// large messages cost a stream far less than many small ones. Encode never writes a line feed.
// Earlier releases knew only one event a message, so activity-svc must be updated before the
// gateways.
const separator = '\n'

// Bounds of a message. They are far below the largest payload of NATS (1 MB by default), so that a
// batch stays near the size that its consumer requested.
const (
	MaxEvents     = 100
	MaxMessage    = 64 << 10
	roomForEvents = 4 << 10
)

// Message is the content of one JetStream message.
type Message struct {
	Data        []byte
	Events      int
	Traceparent string // of its event, if the request was traced
	first       string
}

// ID returns the message id by which JetStream drops duplicates: the id of the first event and the
// number of events. Events are packed in the order of a journal, so the same id means the same
// events.
func (m Message) ID() string {
	if m.Events == 1 {
		return m.first
	}
	return m.first + "+" + strconv.Itoa(m.Events)
}

// Pack adds an encoded event to the last message if the result has at most most bytes and MaxEvents
// events, and else to a new one. A traced event has a message of its own, whose headers carry its trace.
func Pack(messages []Message, eventID string, body []byte, traceparent string, most int) []Message {
	if n := len(messages); n > 0 && traceparent == "" {
		if last := &messages[n-1]; last.Traceparent == "" && last.Events < MaxEvents &&
			len(last.Data)+1+len(body) <= most {
			last.Data = append(append(last.Data, separator), body...)
			last.Events++
			return messages
		}
	}
	data := append(make([]byte, 0, max(roomForEvents, len(body))), body...)
	return append(messages, Message{Data: data, Events: 1, Traceparent: traceparent, first: eventID})
}

// Split returns the encoded events of a message. An empty message has one, which Decode refuses.
func Split(data []byte) iter.Seq[[]byte] { return bytes.SplitSeq(data, []byte{separator}) }

// Count returns how many events Split finds.
func Count(data []byte) int { return 1 + bytes.Count(data, []byte{separator}) }
