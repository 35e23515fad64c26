package input

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/realmgate/realmgate/pkg/id"
)

// Query is the query string of a request. The getters return the value, or the default when the parameter is absent.
type Query struct {
	Violations
	get func(name string) (string, bool)
}

// NewQuery reads parameters through get, which says whether a parameter is there.
func NewQuery(get func(name string) (string, bool)) *Query { return &Query{get: get} }

// Text returns a parameter as it is; "" when absent. Bytes that are not UTF-8, and NUL, are violations.
func (q *Query) Text(name string, max int) string {
	s, ok := q.get(name)
	switch {
	case !ok:
		return ""
	case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		q.Fail(name, "must be UTF-8 text without NUL")
	case utf8.RuneCountInString(s) > max:
		q.Fail(name, fmt.Sprintf("must be at most %d characters", max))
	default:
		return s
	}
	return ""
}

// Int returns a whole number from min to max, in decimal digits only.
func (q *Query) Int(name string, def, min, max int) int {
	s, ok := q.get(name)
	if !ok {
		return def
	}
	n, err := strconv.Atoi(s)
	if err != nil || strings.Trim(s, "0123456789") != "" || n < min || n > max {
		q.Fail(name, fmt.Sprintf("must be a whole number from %d to %d", min, max))
		return def
	}
	return n
}

// Bool returns a parameter that is "true" or "false"; def when absent.
func (q *Query) Bool(name string, def bool) bool {
	s, ok := q.get(name)
	switch {
	case !ok:
		return def
	case s == "true":
		return true
	case s == "false":
		return false
	}
	q.Fail(name, `must be "true" or "false"`)
	return def
}

// OneOf returns a parameter that is one of the allowed words; "" when absent.
func (q *Query) OneOf(name string, allowed ...string) string {
	s, ok := q.get(name)
	if !ok || slices.Contains(allowed, s) {
		return s
	}
	q.Fail(name, "must be one of "+strings.Join(allowed, ", "))
	return ""
}

// RealmID returns a realm id, lower-cased; "" when absent or empty.
func (q *Query) RealmID(name string) string {
	s, _ := q.get(name)
	if s == "" {
		return ""
	}
	if s = strings.ToLower(s); !id.Valid(s) {
		q.Fail(name, "must be 24 hexadecimal characters")
		return ""
	}
	return s
}

// Has reports whether the parameter was sent.
func (q *Query) Has(name string) bool { _, ok := q.get(name); return ok }

// Day bounds of a date parameter, for Time.
const (
	StartOfDay = time.Duration(0)
	EndOfDay   = 24*time.Hour - time.Nanosecond
)

// Time returns an RFC 3339 time, or a date (2006-01-02, a UTC day) moved by inDay. The zero time when absent.
func (q *Query) Time(name string, inDay time.Duration) time.Time {
	s, ok := q.get(name)
	if !ok {
		return time.Time{}
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil && t.Year() > 0 && t.Year() < 10000 {
		return t.UTC()
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil && t.Year() > 0 {
		return t.Add(inDay)
	}
	q.Fail(name, "must be an RFC 3339 time or a date such as 2026-01-31")
	return time.Time{}
}
