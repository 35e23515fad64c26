package streams

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/realmgate/realmgate/pkg/httpx"
)

// MaxEvent bounds one event. Services send far shorter ones.
const MaxEvent = 64 << 10

// firstRoom is the buffer of a stream until an event is longer.
const firstRoom = 1 << 10

var (
	eventEnd   = []byte("\n\n")
	byeEvent   = []byte("event: " + httpx.EventBye + "\n")
	retryEvent = []byte("retry: ")
	dataField  = []byte("\ndata: ")
)

// CopyEvents copies the events of a service, each of them whole, until ctx ends or the service
// does. The error is never nil: the reason that the service gave with its bye event, or EndUpstream
// when it broke off. A retry field at the beginning is left out, because the gateway sends its own.
func CopyEvents(ctx context.Context, to *httpx.EventWriter, from io.Reader) error {
	buf := make([]byte, 0, firstRoom)
	for {
		if len(buf) == cap(buf) {
			if len(buf) >= MaxEvent {
				return fmt.Errorf("an event has more than %d bytes", MaxEvent)
			}
			buf = append(make([]byte, 0, 4*cap(buf)), buf...)
		}
		n, err := from.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if whole := bytes.LastIndex(buf, eventEnd); whole >= 0 {
			whole += len(eventEnd)
			if sent := send(to, buf[:whole]); sent != nil {
				return sent
			}
			rest := copy(buf, buf[whole:])
			if buf = buf[:rest]; cap(buf) > firstRoom && rest <= firstRoom {
				buf = append(make([]byte, 0, firstRoom), buf...) // long events are rare
			}
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, io.EOF):
			return httpx.EndUpstream
		case err != nil:
			return errors.Join(httpx.EndUpstream, err)
		}
	}
}

// send sends whole events up to a bye event, whose reason it returns.
func send(to *httpx.EventWriter, events []byte) error {
	for len(events) > 0 {
		if bytes.HasPrefix(events, retryEvent) {
			events = events[bytes.Index(events, eventEnd)+len(eventEnd):]
			continue
		}
		bye := indexBye(events)
		if bye > 0 {
			if err := to.Raw(events[:bye]); err != nil {
				return err
			}
		}
		if err := to.Flush(); err != nil {
			return err
		}
		return byeReason(events[bye:])
	}
	return nil
}

// indexBye returns the place of a bye event in events, or their length.
func indexBye(events []byte) int {
	if bytes.HasPrefix(events, byeEvent) {
		return 0
	}
	if i := bytes.Index(events, append(eventEnd[:2:2], byeEvent...)); i >= 0 {
		return i + len(eventEnd)
	}
	return len(events)
}

// byeReason reads the reason of a bye event, which may be absent.
func byeReason(event []byte) error {
	if len(event) == 0 {
		return nil
	}
	var data struct{ Reason httpx.EndReason }
	_, line, _ := bytes.Cut(event, dataField)
	line, _, _ = bytes.Cut(line, []byte("\n"))
	_ = json.Unmarshal(line, &data) // an unknown reason counts as a broken service
	switch data.Reason {
	case httpx.EndRevoked, httpx.EndDraining, httpx.EndSlow:
		return data.Reason
	}
	return httpx.EndUpstream
}

// CopyExport copies the parts of an export as they arrive, and returns nil when it is complete.
func CopyExport(ctx context.Context, to *httpx.StreamWriter, from io.Reader) error {
	buf := make([]byte, exportRoom)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, sent := to.Write(buf[:n]); sent != nil {
				return sent
			}
			if sent := to.Flush(); sent != nil {
				return sent
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return errors.Join(httpx.EndUpstream, err)
		}
	}
}

// exportRoom is the buffer of an export.
const exportRoom = 16 << 10
