package input

import (
	"regexp"
	"strings"
	"time"
)

// rfc3339 is the format of a time. time.Parse alone would accept a comma for the point, an hour of
// one digit and an offset of a day.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// ParseTime reads an RFC 3339 time of the years 1 to 9999 (T and Z in either case, section 5.6). A
// leap second, 23:59:60 UTC at the end of a month, becomes the second after it, as in Unix time.
func ParseTime(s string) (time.Time, bool) {
	s = strings.ToUpper(s)
	if !rfc3339.MatchString(s) {
		return time.Time{}, false
	}
	const seconds = len("2006-01-02T15:04:")
	leap := s[seconds:seconds+2] == "60"
	if leap {
		s = s[:seconds] + "59" + s[seconds+2:]
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if t = t.UTC(); leap {
		t = t.Add(time.Second)
		if t.Day() != 1 || !t.Truncate(time.Second).Equal(t.Truncate(24*time.Hour)) {
			return time.Time{}, false
		}
	}
	return t, err == nil && t.Year() > 0 && t.Year() < 10000
}
