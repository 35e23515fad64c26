package event

import "bytes"

// Traceparent returns the traceparent of an encoded event, "" when the request was not traced. It
// decodes only events with the text of the field, which a client cannot imitate, because JSON
// escapes quotes.
func Traceparent(encoded []byte) string {
	if !bytes.Contains(encoded, []byte(`"tp":"`)) {
		return ""
	}
	e, err := Decode(encoded)
	if err != nil {
		return "" // activity-svc reports the error
	}
	return e.Traceparent
}
