// Package event provides the request event, the gateway's record of a request that it answered, and
// its encoding. It only defines data; package bus transports it. Start reading at Request.
package event

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/realmgate/realmgate/pkg/id"
)

// Names are the JetStream names of the log of requests.
type Names struct{ Stream, Subject, Consumer string }

// NamesOf returns the names of an installation, which has an id of its own so that several can
// share a NATS server; "" returns the names of earlier releases, which were the same for every
// installation.
func NamesOf(installation string) Names {
	if installation == "" {
		return Names{"ACTIVITY", "activity.requests", "activity-svc"}
	}
	return Names{"ACTIVITY_" + installation, "activity." + installation + ".requests", "activity-svc_" + installation}
}

// Installation is the answer of activity-svc that tells a gateway the names for its events.
type Installation struct {
	ID string `json:"id"`
}

// Request is one answered request that can be attributed to a user. The field names are the wire
// format; testdata/ holds golden files that every later release must read.
type Request struct {
	ID        string `json:"id"` // carries the time of the request, see At
	UserID    string `json:"user_id"`
	RealmID   string `json:"realm_id,omitempty"`
	Method    string `json:"method"`
	Path      string `json:"path"` // without the query string
	Status    int    `json:"status"`
	IPAddress string `json:"ip,omitempty"`
	UserAgent string `json:"ua,omitempty"`
	// OnUserID is the other user that an admin's request acted on; the record is in the logs of
	// both users.
	OnUserID string `json:"on_user_id,omitempty"`
	// RequestID is the X-Request-ID of the answer. Like the three fields below, it is "" or 0 in
	// events of earlier releases.
	RequestID string `json:"request_id,omitempty"`
	// DurationMS is how long the answer took, in whole milliseconds. An event without Auth has no
	// duration; one with Auth and 0 took less than a millisecond.
	DurationMS int64 `json:"duration_ms,omitzero"`
	// Auth is the kind of credential of the request, AuthSession or AuthToken, and AuthID the id of
	// that session or auth token.
	Auth   string `json:"auth,omitempty"`
	AuthID string `json:"auth_id,omitempty"`
	// Traceparent is the span of the request at the gateway (W3C Trace Context), when the request
	// is traced; it is not stored.
	Traceparent string `json:"tp,omitempty"`
}

// The kinds of credential. Later releases may add others.
const (
	AuthSession = "session"
	AuthToken   = "token"
)

// MaxDurationMS is the longest duration of an event, about 24 days; longer ones are cut to it.
const MaxDurationMS = math.MaxInt32

// The largest sizes, in bytes, of the texts that clients choose.
const (
	MaxRequestID = 128
	MaxPath      = 2048
	MaxUserAgent = 512
	maxMethod    = 16
	maxAuth      = 16
)

// At returns the time of the answer to the millisecond, which the id contains.
func (r Request) At() time.Time {
	t, _ := id.Time(r.ID)
	return t
}

// Encode returns the event as JSON, without a line feed. It fails when a text is not UTF-8.
func (r Request) Encode() ([]byte, error) { return r.AppendTo(nil) }

// AppendTo appends the encoded event to b. It is written by hand because the gateway calls it with
// every request; a test compares it with the tags of Request.
func (r Request) AppendTo(dst []byte) ([]byte, error) {
	var wrong error
	text := func(name, value string) {
		dst = append(append(dst, name...), ':')
		var err error
		if dst, err = jsontext.AppendQuote(dst, value); err != nil && wrong == nil {
			wrong = fmt.Errorf("request event: %s: %w", name, err)
		}
	}
	optional := func(name, value string) {
		if value != "" {
			text(name, value)
		}
	}
	text(`{"id"`, r.ID)
	text(`,"user_id"`, r.UserID)
	optional(`,"realm_id"`, r.RealmID)
	text(`,"method"`, r.Method)
	text(`,"path"`, r.Path)
	dst = strconv.AppendInt(append(dst, `,"status":`...), int64(r.Status), 10)
	optional(`,"ip"`, r.IPAddress)
	optional(`,"ua"`, r.UserAgent)
	optional(`,"on_user_id"`, r.OnUserID)
	optional(`,"request_id"`, r.RequestID)
	if r.DurationMS != 0 {
		dst = strconv.AppendInt(append(dst, `,"duration_ms":`...), r.DurationMS, 10)
	}
	optional(`,"auth"`, r.Auth)
	optional(`,"auth_id"`, r.AuthID)
	optional(`,"tp"`, r.Traceparent)
	return append(dst, '}'), wrong
}

// Decode reads an event and checks that it can be stored. Unknown fields, from a later release, are
// ignored.
func Decode(b []byte) (Request, error) {
	var r Request
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("request event: %w", err)
	}
	if !id.Valid(r.ID) || !id.Valid(r.UserID) || (r.RealmID != "" && !id.Valid(r.RealmID)) ||
		(r.OnUserID != "" && !id.Valid(r.OnUserID)) || (r.AuthID != "" && !id.Valid(r.AuthID)) {
		return r, fmt.Errorf("request event %.40q: an id is not 24 hexadecimal characters", r.ID)
	}
	if r.Status < 100 || r.Status > 599 || r.Method == "" || len(r.Method) > maxMethod || len(r.Path) > MaxPath ||
		len(r.UserAgent) > MaxUserAgent || len(r.RequestID) > MaxRequestID || len(r.Auth) > maxAuth ||
		r.DurationMS < 0 || r.DurationMS > MaxDurationMS {
		return r, fmt.Errorf("request event %s: status, duration or the length of a text out of bounds", r.ID)
	}
	// JSON can contain a NUL, but PostgreSQL's text cannot.
	if strings.ContainsRune(r.Method, 0) || strings.ContainsRune(r.Path, 0) ||
		strings.ContainsRune(r.UserAgent, 0) || strings.ContainsRune(r.RequestID, 0) {
		return r, fmt.Errorf("request event %s: a text holds a NUL", r.ID)
	}
	if _, err := netip.ParseAddr(r.IPAddress); err != nil && r.IPAddress != "" {
		return r, fmt.Errorf("request event %s: ip is no address", r.ID)
	}
	return r, nil
}
