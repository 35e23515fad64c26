package event_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/realmgate/realmgate/pkg/event"
)

func full() event.Request {
	return event.Request{
		ID: "019a3c1d2e3f4a5b6c7d8e9f", UserID: "019a3c1d2e3f000000000001", RealmID: "507f1f77bcf86cd799439011",
		Method: "PATCH",
		Path:   "/api/v1/users/019a3c1d2e3f000000000002", Status: 200, IPAddress: "2001:db8::1",
		UserAgent: "curl/8.5.0 (é)",
		OnUserID:  "019a3c1d2e3f000000000002",
	}
}

func least() event.Request {
	return event.Request{ID: "019a3c1d2e3f4a5b6c7d8ea0", UserID: "019a3c1d2e3f000000000001", Method: "GET",
		Path: "/api/v1/vault/keys", Status: 404}
}

// complete has the fields that events have since the release that records credentials.
func complete() event.Request {
	r := full()
	r.RequestID, r.DurationMS = "a-request.id_1", 1234
	r.Auth, r.AuthID = event.AuthSession, "019a3c1d2e3f000000000003"
	return r
}

func traced() event.Request {
	r := full()
	r.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	return r
}

// TestGoldenFiles checks the wire format: events of every release must stay readable, and the
// encoding of this release must not change by accident.
func TestGoldenFiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file    string
		want    event.Request
		written bool // this release encodes it in exactly this form
	}{
		{"1_full.json", full(), true},
		{"1_least.json", least(), true},
		{"2_unknown_field.json", least(), false},
		{"3_traced.json", traced(), true},
		{"4_complete.json", complete(), true},
	} {
		golden, err := os.ReadFile(filepath.Join("testdata", c.file))
		if err != nil {
			t.Fatal(err)
		}
		golden = bytes.TrimSpace(golden)
		if got, err := event.Decode(golden); err != nil || got != c.want {
			t.Errorf("%s reads as %+v, %v; want %+v", c.file, got, err, c.want)
		}
		if got, err := c.want.Encode(); c.written && (err != nil || !bytes.Equal(got, golden)) {
			t.Errorf("%s: wrote %s, %v; want %s", c.file, got, err, golden)
		}
	}
}

func TestDecodeRefusesAnEventThatCannotBeStored(t *testing.T) {
	t.Parallel()
	with := func(change func(*event.Request)) []byte {
		r := complete()
		change(&r)
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, body := range map[string][]byte{
		"nothing":                  nil,
		"no JSON":                  []byte("not json"),
		"an array":                 []byte("[]"),
		"a second value":           append(with(func(*event.Request) {}), '{'),
		"bytes that are not UTF-8": bytes.Replace(with(func(*event.Request) {}), []byte("curl"), []byte{0xff, 0xfe}, 1),
		"a lone surrogate":         bytes.Replace(with(func(*event.Request) {}), []byte("curl"), []byte(`\ud800`), 1),
		"a status that is a text":  bytes.Replace(with(func(*event.Request) {}), []byte(`200`), []byte(`"200"`), 1),
		"the same name twice": bytes.Replace(with(func(*event.Request) {}), []byte(`{`), []byte(`{"method":"GET",`),
			1),
		"an id in upper case":       with(func(r *event.Request) { r.ID = strings.ToUpper(r.ID) }),
		"no user":                   with(func(r *event.Request) { r.UserID = "" }),
		"a realm that is no id":     with(func(r *event.Request) { r.RealmID = "x" }),
		"another user who is no id": with(func(r *event.Request) { r.OnUserID = "x" }),
		"a status of 99":            with(func(r *event.Request) { r.Status = 99 }),
		"a status of 600":           with(func(r *event.Request) { r.Status = 600 }),
		"no method":                 with(func(r *event.Request) { r.Method = "" }),
		"a method of 17 characters": with(func(r *event.Request) { r.Method = strings.Repeat("A", 17) }),
		"a NUL in the method":       with(func(r *event.Request) { r.Method = "GE\x00" }),
		"a path that is too long":   with(func(r *event.Request) { r.Path = strings.Repeat("/", event.MaxPath+1) }),
		"a NUL in the path":         with(func(r *event.Request) { r.Path = "/\x00" }),
		"a user agent that is too long": with(func(r *event.Request) {
			r.UserAgent = strings.Repeat("a",
				event.MaxUserAgent+1)
		}),
		"a request id that is too long": with(func(r *event.Request) {
			r.RequestID = strings.Repeat("a", event.MaxRequestID+1)
		}),
		"a NUL in the request id":     with(func(r *event.Request) { r.RequestID = "\x00" }),
		"a negative duration":         with(func(r *event.Request) { r.DurationMS = -1 }),
		"a duration that is too long": with(func(r *event.Request) { r.DurationMS = event.MaxDurationMS + 1 }),
		"a credential that is no id":  with(func(r *event.Request) { r.AuthID = "x" }),
		"a NUL in the user agent":     with(func(r *event.Request) { r.UserAgent = "\x00" }),
		"an address with a port":      with(func(r *event.Request) { r.IPAddress = "192.0.2.1:80" }),
	} {
		if got, err := event.Decode(body); err == nil {
			t.Errorf("%s was accepted: %+v", name, got)
		}
	}
}

func TestAnEventCarriesItsTime(t *testing.T) {
	t.Parallel()
	r := event.Request{ID: "00000000018bffffffffffff"}
	if got := r.At(); !got.Equal(time.Unix(0, 0).Add(0x18b * time.Millisecond)) {
		t.Errorf("got %v", got)
	}
	r.ID = "018bcfe56800ffffffffffff"
	if got, want := r.At(), time.Date(2023, 11, 14, 22, 13, 20, 0, time.UTC); !got.Equal(want) ||
		got.Location() != time.UTC {
		t.Errorf("got %v, want %v", got, want)
	}
}

func FuzzDecode(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.json")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := event.Decode(b)
		if err != nil {
			return
		}
		again, err := r.Encode()
		if err != nil {
			t.Fatalf("an accepted event cannot be written: %v", err)
		}
		if byTags, err := jsonv2.Marshal(r); err != nil || !bytes.Equal(byTags, again) {
			t.Errorf("wrote %s, but the tags say %s, %v", again, byTags, err)
		}
		if bytes.IndexByte(again, '\n') >= 0 {
			t.Errorf("%q holds a line feed", again)
		}
		if back, err := event.Decode(again); err != nil || back != r {
			t.Errorf("wrote %s, read %+v, %v; want %+v", again, back, err, r)
		}
	})
}

// FuzzMessage checks that Count agrees with Split, and that each event of a message is decoded or
// refused by itself.
func FuzzMessage(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.json")
	var all []byte
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		all = append(append(all, bytes.TrimSpace(b)...), '\n')
	}
	for _, seed := range [][]byte{nil, []byte("\n"), []byte("\n\n{}"), all, bytes.TrimSpace(all)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var messages []event.Message
		n := 0
		for part := range event.Split(b) {
			n++
			if r, err := event.Decode(part); err == nil {
				body, err := r.Encode()
				if err != nil {
					t.Fatal(err)
				}
				messages = event.Pack(messages, r.ID, body, "", event.MaxMessage)
			}
		}
		if got := event.Count(b); got != n {
			t.Fatalf("%q: counted %d of %d", b, got, n)
		}
		for _, m := range messages {
			if got := event.Count(m.Data); got != m.Events || m.Events > event.MaxEvents {
				t.Fatalf("%q holds %d events, and says %d", m.Data, got, m.Events)
			}
		}
	})
}
