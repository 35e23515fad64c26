package activity

import (
	"encoding/binary"
	"slices"
	"time"
)

const oneDay = 24 * time.Hour

// The moments that bound every log. Ids reach from 1970 to the year 10889, dates of PostgreSQL and
// RFC 3339 to 9999.
var (
	firstMoment = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	lastMoment  = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
)

func dayOf(t time.Time) time.Time { return t.UTC().Truncate(oneDay) }

func monthOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// firstID returns the lowest id of the time t: what is at or after t has an id that is not below.
func firstID(t time.Time) []byte {
	var b [14]byte
	binary.BigEndian.PutUint64(b[:8], uint64(max(0, t.UnixMilli())))
	return b[2:]
}

// idTime returns the time that a raw id carries.
func idTime(id string) time.Time {
	var b [8]byte
	copy(b[2:], id[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b[:]))).UTC()
}

// span is a stretch of time and how many records of a log in it match a filter.
type span struct {
	from, to time.Time // from ≤ created_at < to
	records  int64
	bytes    int64
	coarse   bool // longer than a day
}

// stretch is a stretch of time, from ≤ t < to; empty when to is not after from.
type stretch struct{ from, to time.Time }

func (s stretch) empty() bool { return !s.from.Before(s.to) }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// cut says how a stretch of time is counted: whole months from activity_monthly, other whole days
// from activity_daily, and what is left at both ends, less than a day each, from the histogram of
// its day and from the records themselves.
type cut struct {
	before stretch   // whole days before the first whole month
	months stretch   // whole months
	after  stretch   // whole days after the last whole month
	ends   []stretch // parts of a day
}

func cutTime(from, to time.Time) cut {
	var c cut
	days := stretch{dayOf(from.Add(oneDay - 1)), dayOf(to)}
	if days.to.Before(days.from) { // inside one day
		if part := (stretch{from, to}); !part.empty() {
			c.ends = append(c.ends, part)
		}
		return c
	}
	for _, part := range []stretch{{from, days.from}, {days.to, to}} {
		if !part.empty() {
			c.ends = append(c.ends, part)
		}
	}
	c.months = stretch{monthOf(days.from), monthOf(days.to)}
	if c.months.from.Before(days.from) {
		c.months.from = c.months.from.AddDate(0, 1, 0)
	}
	if c.months.empty() {
		c.before = days
		c.months, c.after = stretch{days.to, days.to}, stretch{days.to, days.to}
		return c
	}
	c.before, c.after = stretch{days.from, c.months.from}, stretch{c.months.to, days.to}
	return c
}

// newestFirst sorts spans, which do not overlap.
func newestFirst(spans []span) {
	slices.SortFunc(spans, func(a, b span) int { return b.from.Compare(a.from) })
}

func sum(spans []span) (records, bytes int64) {
	for _, s := range spans {
		records += s.records
		bytes += s.bytes
	}
	return records, bytes
}

// piece is the part of a page that lies in one span: take records after the newest skip ones.
type piece struct {
	span
	skip, take int64
}

// taken returns how many records the pieces have.
func taken(pieces []piece) (n int64) {
	for _, p := range pieces {
		n += p.take
	}
	return n
}

// locate finds a page in spans, which are in the order of newestFirst: where its records are,
// without reading one.
func locate(spans []span, offset, limit int64) []piece {
	var out []piece
	for _, s := range spans {
		if limit == 0 {
			break
		}
		if offset >= s.records {
			offset -= s.records
			continue
		}
		take := min(limit, s.records-offset)
		out = append(out, piece{span: s, skip: offset, take: take})
		offset, limit = 0, limit-take
	}
	return out
}
