package event_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/event"
)

// TestMessagesCarryEveryEventOnceAndInOrder packs events of all sizes, some of them traced.
func TestMessagesCarryEveryEventOnceAndInOrder(t *testing.T) {
	t.Parallel()
	var packed []event.Message
	var want []string
	for i := range 1000 {
		e := least()
		e.ID = e.ID[:20] + string("0123456789abcdef"[i>>8&15]) + string("0123456789abcdef"[i>>4&15]) +
			string("0123456789abcdef"[i&15]) + "0"
		e.UserAgent = strings.Repeat("\n", i%event.MaxUserAgent)
		if i%97 == 0 {
			e.Traceparent = traced().Traceparent
		}
		body, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		packed = event.Pack(packed, e.ID, body, e.Traceparent, event.MaxMessage)
		want = append(want, e.ID)
	}
	ids := map[string]bool{}
	var got []string
	for _, m := range packed {
		if len(m.Data) > 64<<10 || m.Events > event.MaxEvents || event.Count(m.Data) != m.Events {
			t.Errorf("a message of %d bytes and %d events, %d by its data", len(m.Data), m.Events, event.Count(m.Data))
		}
		if ids[m.ID()] {
			t.Errorf("id %s twice", m.ID())
		}
		ids[m.ID()] = true
		for body := range event.Split(m.Data) {
			e, err := event.Decode(body)
			if err != nil {
				t.Fatal(err)
			}
			if e.Traceparent != m.Traceparent || (m.Traceparent != "" && m.Events != 1) {
				t.Errorf("event of trace %q in a message of %q with %d events", e.Traceparent, m.Traceparent, m.Events)
			}
			got = append(got, e.ID)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d events came out, in this order: %v", len(got), got)
	}
	if len(packed) > 60 {
		t.Errorf("%d messages for 1000 events", len(packed))
	}
}

func TestAMessageOfOneEventIsThatEvent(t *testing.T) {
	t.Parallel()
	body, _ := full().Encode()
	m := event.Pack(nil, full().ID, body, "", event.MaxMessage)[0]
	if m.ID() != full().ID || string(m.Data) != string(body) {
		t.Errorf("%s %s: a release that knows one event a message could not read it", m.ID(), m.Data)
	}
	for _, data := range []string{"", "x", "\n"} {
		if n := len(slices.Collect(event.Split([]byte(data)))); n != event.Count([]byte(data)) {
			t.Errorf("%q: split into %d, counted %d", data, n, event.Count([]byte(data)))
		}
	}
}
