// Package series provides charts of the log: how many records each hour or day of a range has.
// Start reading at Read, which reads the interval of a request, and at New.
package series

import (
	"fmt"
	"time"

	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/input"
)

// maxPoints is the largest number of points.
const maxPoints = 1000

// Point is one interval of a chart.
type Point struct {
	Start     api.Time `json:"start"`
	Total     int64    `json:"total"`
	Status2xx int64    `json:"status_2xx"`
	Status3xx int64    `json:"status_3xx"`
	Status4xx int64    `json:"status_4xx"`
	Status5xx int64    `json:"status_5xx"`
}

// Series has the points of a range, the oldest first.
type Series struct {
	Unit   time.Duration // an hour or a day
	Range  timerange.Range
	Points []Point
}

// Read reads the parameter interval and completes the range of the filter, which begins or ends
// with the zero time where the request has no date: it ends at now then, and begins 24 hours or 30
// days before its end. It records in q what is invalid, and a range of more than 1,000 intervals.
func Read(q *input.Query, r timerange.Range, now time.Time) *Series {
	s := &Series{Unit: time.Hour, Range: r}
	length := timerange.Day
	switch q.OneOf("interval", "hour", "day") {
	case "day":
		s.Unit, length = timerange.Day, 30*timerange.Day
	case "":
		if !q.Has("interval") {
			q.Fail("interval", "is required: hour or day")
		}
	}
	if s.Range.To.IsZero() {
		s.Range.To = now.UTC().Truncate(time.Millisecond).Add(time.Millisecond)
	}
	if s.Range.From.IsZero() {
		s.Range.From = s.Range.To.Add(-length)
	}
	if s.Range.Empty() {
		return s
	}
	first := s.Range.From.UTC().Truncate(s.Unit)
	n := (s.Range.To.Add(-1).Sub(first))/s.Unit + 1 // saturates after 292 years
	if n > maxPoints {
		q.Fail("start_date", fmt.Sprintf("must be at most %d intervals before end_date", maxPoints))
		return s
	}
	s.Points = make([]Point, n)
	for i := range s.Points {
		s.Points[i].Start = api.Time(first.Add(time.Duration(i) * s.Unit))
	}
	return s
}

// Add adds the counts of a part of the series that begins at start to its interval.
func (s *Series) Add(start time.Time, counts Point) {
	if len(s.Points) == 0 {
		return
	}
	i := int(start.Sub(time.Time(s.Points[0].Start)) / s.Unit)
	if i < 0 || i >= len(s.Points) {
		return
	}
	p := &s.Points[i]
	p.Total += counts.Total
	p.Status2xx += counts.Status2xx
	p.Status3xx += counts.Status3xx
	p.Status4xx += counts.Status4xx
	p.Status5xx += counts.Status5xx
}
