package input_test

import (
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/input"
)

// FuzzTimeParameter checks that an accepted time can be formatted and parsed again with the same
// result, and that any other text is an error.
func FuzzTimeParameter(f *testing.F) {
	for _, seed := range []string{
		"", "2026-01-31", "2026-02-30", "2026-01-31T12:00:00Z", "2026-01-31t12:00:00.123456789z",
		"2026-01-31T12:00:00+23:59",
		"2026-01-31T12:00:00,5Z",
		"2026-1-31", "0000-01-01", "9999-12-31T23:59:59-12:00", "2026-01-31T24:00:00Z", "1e9", "today",
		"2026-01-31T12:00:60Z", "0001-01-01", "0001-01-01T00:00:00Z",
		"0001-01-01T00:00:00+23:59",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, inDay := range []time.Duration{input.StartOfDay, input.EndOfDay} {
			q := input.NewQuery(func(string) []string { return []string{s} })
			at := q.Time("start_date", inDay)
			if err := q.Err(); (err == nil) == at.IsZero() {
				t.Fatalf("%q: %v and %v", s, at, err)
			}
			if at.IsZero() {
				continue
			}
			if at.Location() != time.UTC || at.Year() < 0 || at.Year() > 10000 {
				t.Errorf("%q is %v", s, at)
			}
			again := input.NewQuery(func(string) []string { return []string{at.Format(time.RFC3339Nano)} })
			if back := again.Time("start_date", inDay); !back.Equal(at) && at.Year() > 0 && at.Year() < 10000 {
				t.Errorf("%q is %v, which is read as %v", s, at, back)
			}
		}
	})
}
