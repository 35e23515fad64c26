package event

import "bytes"

// Traceparent returns the traceparent of an encoded event, "" when the request was not traced. It
// decodes only events that have the field: a client cannot imitate it, because JSON escapes quotes.
func Traceparent(encoded []byte) string {
	if !bytes.Contains(encoded, []byte(`"tp":"`)) {
		return ""
	}
	e, err := Decode(encoded)
	if err != nil {
		return "" // activity-svc reports what is wrong with it
	}
	return e.Traceparent
}
