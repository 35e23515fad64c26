package input

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/realm"
)

// Query is the query string of a request. The getters return the value, or the default when the
// parameter is absent. A parameter that is sent more than once is a violation, because two readers
// could choose different values.
type Query struct {
	Violations
	all func(name string) []string
}

// NewQuery returns a Query that reads through all, which returns every value of a parameter.
func NewQuery(all func(name string) []string) *Query { return &Query{all: all} }

func (q *Query) get(name string) (string, bool) {
	switch values := q.all(name); len(values) {
	case 0:
		return "", false
	case 1:
		return values[0], true
	}
	if !slices.ContainsFunc(q.list, func(v apperr.Violation) bool { return v.InstancePath == "/"+name }) {
		q.Fail(name, "must not stand more than once")
	}
	return "", false
}

// Text returns a parameter unchanged; "" when absent. An empty value, bytes that are not UTF-8, and
// NUL are violations.
func (q *Query) Text(name string, max int) string {
	s, ok := q.get(name)
	switch {
	case !ok:
		return ""
	case s == "":
		q.Fail(name, "must not be empty: leave it out instead")
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

// RealmID returns a realm id, lower-cased; "" when absent. An empty value is a violation.
func (q *Query) RealmID(name string) string {
	s, ok := q.get(name)
	if !ok {
		return ""
	}
	realmID, ok := realm.Parse(s)
	if !ok {
		q.Fail(name, realm.Format)
	}
	return realmID
}

// Has reports whether the parameter was sent.
func (q *Query) Has(name string) bool { return len(q.all(name)) > 0 }

// Day bounds of a date parameter, for Time.
const (
	StartOfDay = time.Duration(0)
	EndOfDay   = 24*time.Hour - time.Nanosecond
)

// notZero moves the first instant of the year 1 by a nanosecond, because it is the zero time, which
// stands for an absent time.
func notZero(t time.Time) time.Time {
	if t.IsZero() {
		return t.Add(1)
	}
	return t
}

// Time returns an RFC 3339 time (T and Z in either case, section 5.6), or a date (2006-01-02, a UTC
// day) moved by inDay. The zero time when absent.
func (q *Query) Time(name string, inDay time.Duration) time.Time {
	s, ok := q.get(name)
	if !ok {
		return time.Time{}
	}
	if t, ok := ParseTime(s); ok {
		return notZero(t)
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil && t.Year() > 0 {
		return notZero(t.Add(inDay))
	}
	q.Fail(name, "must be an RFC 3339 time or a date such as 2026-01-31")
	return time.Time{}
}
