// Package timerange computes with ranges of time: how the records of one are counted, by the day,
// by the hour and one by one, and in which ranges the records of a page are. Start reading at Split
// and Locate.
package timerange

import (
	"slices"
	"time"
)

// Day is a day of UTC, the only time zone of the log.
const Day = 24 * time.Hour

// DayOf returns the first moment of the day of t.
func DayOf(t time.Time) time.Time { return t.UTC().Truncate(Day) }

// Earlier returns the earlier of two times.
func Earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Later returns the later of two times.
func Later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Range is the time From ≤ t < To; it is empty when To is not after From.
type Range struct{ From, To time.Time }

// Empty reports whether no time is in r.
func (r Range) Empty() bool { return !r.From.Before(r.To) }

// aligned returns the part of r that consists of whole units.
func (r Range) aligned(unit time.Duration) Range {
	return Range{r.From.UTC().Add(unit - 1).Truncate(unit), r.To.UTC().Truncate(unit)}
}

// without returns what is left of r before and after middle, a range inside of it.
func (r Range) without(middle Range) []Range {
	return notEmpty(Range{r.From, middle.From}, Range{middle.To, r.To})
}

func notEmpty(ranges ...Range) []Range { return slices.DeleteFunc(ranges, Range.Empty) }

// Parts of a range do not overlap and cover it.
type Parts struct {
	Days    Range   // whole days, which are counted by the day
	Hours   []Range // whole hours, which are counted by the hour
	Records []Range // less than an hour each, or not counted yet: its records are counted one by one
}

// Split returns the parts of r when the records before the watermark are counted. The counts of
// the watermark's own hour end at the watermark, so that hour is whole for a range that reaches
// beyond.
func Split(r Range, watermark time.Time) Parts {
	hours := r.aligned(time.Hour)
	if !r.To.Before(watermark) {
		hours.To = watermark.UTC()
	}
	if hours.Empty() {
		return Parts{Records: notEmpty(r)}
	}
	p := Parts{Records: r.without(hours)}
	if p.Days = hours.aligned(Day); p.Days.Empty() {
		p.Hours = []Range{hours}
	} else {
		p.Hours = hours.without(p.Days)
	}
	return p
}

// Counted is a range and how many records of a log in it match a filter.
type Counted struct {
	Range
	Records int64
	Bytes   int64
	// WholeDay is set when the range can be counted by the hour as well.
	WholeDay bool
}

// NewestFirst sorts ranges, which do not overlap.
func NewestFirst(ranges []Counted) {
	slices.SortFunc(ranges, func(a, b Counted) int { return b.From.Compare(a.From) })
}

// Sum returns the totals of ranges.
func Sum(ranges []Counted) (records, bytes int64) {
	for _, r := range ranges {
		records += r.Records
		bytes += r.Bytes
	}
	return records, bytes
}

// Slice is the part of a page that lies in one range: the Take records after the newest Skip ones.
type Slice struct {
	Counted
	Skip, Take int64
}

// Total returns how many records the slices have.
func Total(page []Slice) (n int64) {
	for _, s := range page {
		n += s.Take
	}
	return n
}

// Locate returns in which of the ranges, the newest of which comes first, the records of a page
// are: limit records after the newest offset ones.
func Locate(ranges []Counted, offset, limit int64) []Slice {
	var page []Slice
	for _, r := range ranges {
		if limit == 0 {
			break
		}
		if offset >= r.Records {
			offset -= r.Records
			continue
		}
		take := min(limit, r.Records-offset)
		page = append(page, Slice{Counted: r, Skip: offset, Take: take})
		offset, limit = 0, limit-take
	}
	return page
}
