package timerange

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func moment(s string) time.Time {
	for _, layout := range []string{time.DateOnly, "2006-01-02T15", "2006-01-02T15:04"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	panic(s)
}

func (r Range) String() string {
	if r.Empty() {
		return "-"
	}
	return r.From.Format("0102T1504") + "…" + r.To.Format("0102T1504")
}

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, from, to, watermark, days, hours, records string }{
		{"whole days", "2026-01-01", "2026-01-04", "2026-02-01", "0101T0000…0104T0000", "[]", "[]"},
		{"hours at both ends", "2026-01-01T22", "2026-01-04T03", "2026-02-01", "0102T0000…0104T0000",
			"[0101T2200…0102T0000 0104T0000…0104T0300]", "[]"},
		{"minutes at both ends", "2026-01-01T22:10", "2026-01-04T03:20", "2026-02-01", "0102T0000…0104T0000",
			"[0101T2300…0102T0000 0104T0000…0104T0300]", "[0101T2210…0101T2300 0104T0300…0104T0320]"},
		{"parts of two days", "2026-01-01T22:10", "2026-01-02T03:20", "2026-02-01", "-", "[0101T2300…0102T0300]",
			"[0101T2210…0101T2300 0102T0300…0102T0320]"},
		{"less than an hour", "2026-01-01T22:10", "2026-01-01T22:20", "2026-02-01", "-", "[]", "[0101T2210…0101T2220]"},
		{"parts of two hours", "2026-01-01T22:10", "2026-01-01T23:20", "2026-02-01", "-", "[]", "[0101T2210…0101T2320]"},
		{"beyond the watermark", "2026-01-01", "2026-01-09", "2026-01-03T04:05", "0101T0000…0103T0000",
			"[0103T0000…0103T0405]", "[0103T0405…0109T0000]"},
		{"to the watermark", "2026-01-01", "2026-01-03T04:05", "2026-01-03T04:05", "0101T0000…0103T0000",
			"[0103T0000…0103T0405]", "[]"},
		{"to the hour of the watermark", "2026-01-01", "2026-01-03T04:04", "2026-01-03T04:05", "0101T0000…0103T0000",
			"[0103T0000…0103T0400]", "[0103T0400…0103T0404]"},
		{"to the day of a watermark at midnight", "2026-01-01", "2026-01-03", "2026-01-03", "0101T0000…0103T0000", "[]",
			"[]"},
		{"after the watermark", "2026-01-05", "2026-01-09", "2026-01-03", "-", "[]", "[0105T0000…0109T0000]"},
		{"nothing is counted", "2026-01-05", "2026-01-09", "1970-01-01", "-", "[]", "[0105T0000…0109T0000]"},
		{"nothing", "2026-01-05", "2026-01-05", "2026-02-01", "-", "[]", "[]"},
		{"nothing, within an hour", "2026-01-05T03:10", "2026-01-05T03:10", "2026-02-01", "-", "[]", "[]"},
	} {
		got := Split(Range{moment(c.from), moment(c.to)}, moment(c.watermark))
		if s, want := fmt.Sprint(got.Days, got.Hours, got.Records),
			fmt.Sprint(c.days, " ", c.hours, " ", c.records); s != want {
			t.Errorf("%s: got %s, want %s", c.name, s, want)
		}
	}
}

func TestEveryMomentIsInOnePart(t *testing.T) {
	t.Parallel()
	const step = 37 * time.Minute
	base := moment("2026-01-28T22")
	for from := range 48 {
		for to := from; to < 48; to++ {
			r := Range{base.Add(time.Duration(from) * step), base.Add(time.Duration(to) * step)}
			for _, watermark := range []time.Time{moment("2026-02-09"), moment("2026-01-29"), moment("2026-01-29T20:17"),
				moment("2026-01-30T07"), moment("1970-01-01")} {
				p := Split(r, watermark)
				for i := range 49 * 3 {
					at := base.Add(time.Duration(i) * step / 3)
					parts := 0
					for _, part := range append(append([]Range{p.Days}, p.Hours...), p.Records...) {
						if !at.Before(part.From) && at.Before(part.To) {
							parts++
						}
					}
					if inside := !at.Before(r.From) && at.Before(r.To); inside != (parts == 1) || parts > 1 {
						t.Fatalf("%v, counted before %v: %v is in %d parts of %+v", r, watermark, at, parts, p)
					}
				}
			}
		}
	}
}

func TestLocateFindsWhatAWalkFinds(t *testing.T) {
	t.Parallel()
	var ranges []Counted
	var walk []string
	for i, n := range []int64{3, 1, 10, 2} {
		r := Counted{Range: Range{From: moment("2026-01-09").AddDate(0, 0, -i)}, Records: n}
		ranges = append(ranges, r)
		for k := range n {
			walk = append(walk, fmt.Sprint(r.From.Day(), "/", k))
		}
	}
	for offset := range int64(20) {
		for limit := range int64(20) {
			page := Locate(ranges, offset, limit)
			var got []string
			for _, s := range page {
				for k := range s.Take {
					got = append(got, fmt.Sprint(s.From.Day(), "/", s.Skip+k))
				}
			}
			want := walk[min(int(offset), len(walk)):min(int(offset+limit), len(walk))]
			if !slices.Equal(got, want) || Total(page) != int64(len(want)) {
				t.Errorf("offset %d, limit %d: got %v, want %v", offset, limit, got, want)
			}
		}
	}
}
