// Package activity provides the log of every user's requests: it takes events from the stream,
// stores each one once, counts them, serves the log a page at a time and drops what is too old.
// Start reading at consumer.go for the way in, and at activity_http.go for the way out.
//
// The records are in the table activity, one partition a day. activity_hourly counts the records
// before the watermark, a few seconds ago, per user, hour, realm, method and status;
// activity_daily sums the days that ended before it. Totals, statistics and the position of a page
// come from these counts, and from the records that are not counted yet or lie in a part of an
// hour. So their cost does not grow with the log, and they are exact.
//
// The key of every table but dead letters and single rows begins with user_id, and every statement
// names one user or can run on each shard alone: the tables can be distributed by user_id
// (deploy/docs/growth.md).
package activity

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"

	"github.com/realmgate/realmgate/activity-svc/internal/search"
	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/event"
)

// The times that bound every log. Ids reach from 1970 to the year 10889, dates of PostgreSQL and
// RFC 3339 to 9999.
var (
	firstMoment = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	lastMoment  = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
)

// firstID returns the lowest id of the time t: what is at or after t has an id that is not below.
func firstID(t time.Time) []byte {
	var b [14]byte
	binary.BigEndian.PutUint64(b[:8], uint64(max(0, t.UnixMilli())))
	return b[2:]
}

// idTime returns the time of a raw id.
func idTime(id string) time.Time {
	var b [8]byte
	copy(b[2:], id[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b[:]))).UTC()
}

// record is a row of the log. Ids are their 12 raw bytes.
type record struct {
	userID, id, realmID string // realmID is "" when there is none
	method, path        string
	status              int16
	ipAddress           string
	userAgent           string
	credential          credential
	stored              bool // set by store.insert: the row is new
}

// credential is the part of a record that events of earlier releases do not have.
type credential struct {
	requestID  string // "" when unknown
	durationMS int32  // unknown when kind is
	kind       int16
	id         string // raw; "" when unknown
}

// The kinds of credential in the column auth. Kinds of a later release are stored as unknown, which
// is NULL.
const (
	kindUnknown int16 = iota
	kindSession
	kindToken
)

// kindNames are the names of the kinds in events and answers.
var kindNames = [...]string{kindUnknown: "", kindSession: event.AuthSession, kindToken: event.AuthToken}

func credentialOf(e event.Request) credential {
	return credential{
		requestID: e.RequestID, durationMS: int32(e.DurationMS), id: raw(e.AuthID),
		kind: int16(max(0, slices.Index(kindNames[:], e.Auth))),
	}
}

// recordsOf returns the rows that an event becomes: one in the log of the user who acted and, when
// the request acted on another user, one with the same id in that user's log. The second omits the
// address, the program and the session of the administrator who acted.
func recordsOf(e event.Request) []*record {
	mine := &record{
		userID: raw(e.UserID), id: raw(e.ID), realmID: raw(e.RealmID), method: e.Method, path: e.Path,
		status:    int16(e.Status),
		ipAddress: e.IPAddress, userAgent: e.UserAgent, credential: credentialOf(e),
	}
	if e.OnUserID == "" || e.OnUserID == e.UserID {
		return []*record{mine}
	}
	theirs := *mine
	theirs.userID, theirs.ipAddress, theirs.userAgent = raw(e.OnUserID), "", ""
	theirs.credential.id = ""
	return []*record{mine, &theirs}
}

// fixedBytes is the size of the columns that every record has: two ids and the status.
const fixedBytes = 12 + 12 + 2

// bytes is the size of a record: the bytes of its columns, without what PostgreSQL adds. sizeOf is
// the same in SQL. The columns of the credential do not count, so that the previous release, which
// does not know them, counts the same while it runs beside this one.
func (r *record) bytes() int64 {
	return int64(fixedBytes + len(r.realmID) + len(r.method) + len(r.path) + len(r.ipAddress) + len(r.userAgent))
}

// raw turns a valid id into its bytes, and "" into "".
func raw(id string) string {
	b, _ := hex.DecodeString(id) // callers hold valid ids
	return string(b)
}

// Record is a record in an answer.
type Record struct {
	ID         string   `json:"id"`
	UserID     string   `json:"user_id"`
	RealmID    string   `json:"realm_id"`
	Method     string   `json:"method"`
	Path       string   `json:"path"`
	StatusCode int      `json:"status_code"`
	IPAddress  string   `json:"ip_address"`
	UserAgent  string   `json:"user_agent"`
	CreatedAt  api.Time `json:"created_at"`
	// The fields below are null in records of events of earlier releases. AuthID is null, too, in
	// the record of an administrator's request in the log of the user on whom it acted.
	RequestID  *string `json:"request_id"`
	DurationMS *int32  `json:"duration_ms"`
	Auth       *string `json:"auth"`
	AuthID     *string `json:"auth_id"`
}

// Stats is the size of a user's log and the times of its oldest and newest record.
type Stats struct {
	TotalSizeBytes int64     `json:"total_size_bytes"` // bytes of the columns of the records
	TotalRecords   int64     `json:"total_records"`
	OldestRecord   *api.Time `json:"oldest_record"`
	NewestRecord   *api.Time `json:"newest_record"`
	RetentionDays  int       `json:"retention_days"`
	// TotalCapped tells with a search whether there may be more records than were found. It is left
	// out without a search.
	TotalCapped *bool `json:"total_capped,omitzero"`
}

// filter selects records of one user's log.
type filter struct {
	userID    string // raw; "" for the logs of all users, in charts only
	realmID   string // raw, "" for every realm and none
	method    string // "" for every method
	minStatus int
	maxStatus int
	from, to  time.Time // from ≤ created_at < to, whole milliseconds
	search    search.Filter
}

// allRecords returns the filter that selects all of a user's log.
func allRecords(userID string) filter {
	return filter{userID: userID, minStatus: minStatus, maxStatus: maxStatus, from: firstMoment, to: lastMoment}
}
