// Package activity owns the log of every user's requests: it takes them from the stream, stores
// each one once, counts them, serves the log a page at a time and forgets what is too old. Start
// reading at consume.go for the way in, and at activity_http.go for the way out.
//
// Four tables tell the same story: activity has the records, in one partition a day; activity_daily
// counts them per user, day, realm, method and status, up to a few seconds ago; activity_monthly
// sums the days that are over; activity_histogram has the counts of days with many records by the
// quarter of an hour. Totals, statistics and the place of a page come from the counts, from the few
// records that are not counted yet, and from those that a quarter of an hour, or a day with few,
// has too many or too little. So what they cost does not grow with the log, and they are exact.
package activity

import (
	"encoding/hex"
	"time"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/event"
)

// record is a row of the log. Ids are their 12 raw bytes.
type record struct {
	userID, id, realmID string // realmID is "" when there is none
	method, path        string
	status              int16
	ipAddress           string
	userAgent           string
	stored              bool // set by store.insert: the row is new
}

// recordsOf returns the rows that an event becomes: one in the log of the user who acted and, when
// the request acted on somebody else, one with the same id in that user's log. The second says what
// was done, but neither from which address nor with which program: those are the administrator's
// own affair.
func recordsOf(e event.Request) []*record {
	mine := &record{
		userID: raw(e.UserID), id: raw(e.ID), realmID: raw(e.RealmID), method: e.Method, path: e.Path,
		status:    int16(e.Status),
		ipAddress: e.IPAddress, userAgent: e.UserAgent,
	}
	if e.OnUserID == "" || e.OnUserID == e.UserID {
		return []*record{mine}
	}
	theirs := *mine
	theirs.userID, theirs.ipAddress, theirs.userAgent = raw(e.OnUserID), "", ""
	return []*record{mine, &theirs}
}

// fixedBytes is what a record takes besides its texts and realm: two ids and the status.
const fixedBytes = 12 + 12 + 2

// bytes is the size of a record: the bytes of its columns, without what PostgreSQL adds. sizeOf is
// the same in SQL.
func (r *record) bytes() int64 {
	return int64(fixedBytes + len(r.realmID) + len(r.method) + len(r.path) + len(r.ipAddress) + len(r.userAgent))
}

// raw turns a valid id into its bytes, and "" into "".
func raw(id string) string {
	b, _ := hex.DecodeString(id) // callers hold valid ids
	return string(b)
}

// Record is a record as the contract has it.
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
}

// Stats is the size and the span of a user's log.
type Stats struct {
	TotalSizeBytes int64     `json:"total_size_bytes"` // bytes of the columns of the records
	TotalRecords   int64     `json:"total_records"`
	OldestRecord   *api.Time `json:"oldest_record"`
	NewestRecord   *api.Time `json:"newest_record"`
	RetentionDays  int       `json:"retention_days"`
}

// filter selects records of one user's log.
type filter struct {
	userID    string // raw
	realmID   string // raw, "" for every realm and none
	method    string // "" for every method
	minStatus int
	maxStatus int
	from, to  time.Time // from ≤ created_at < to, whole milliseconds
}

// everything returns the filter that selects all of a user's log.
func everything(userID string) filter {
	return filter{userID: userID, minStatus: minStatus, maxStatus: maxStatus, from: firstMoment, to: lastMoment}
}
