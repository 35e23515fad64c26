package activity

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/id"
)

func moment(s string) time.Time {
	for _, layout := range []string{time.DateOnly, "2006-01-02T15"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	panic(s)
}

func (s stretch) String() string {
	if s.empty() {
		return "-"
	}
	return s.from.Format("0102T15") + "…" + s.to.Format("0102T15")
}

func TestHowTimeIsCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ from, to, before, months, after, ends string }{
		{"2026-01-01", "2026-04-01", "-", "0101T00…0401T00", "-", "[]"},
		{"2026-01-02", "2026-04-02", "0102T00…0201T00", "0201T00…0401T00", "0401T00…0402T00", "[]"},
		{"2026-01-01T01", "2026-03-01T02", "0102T00…0201T00", "0201T00…0301T00", "-", "[0101T01…0102T00 0301T00…0301T02]"},
		{"2026-01-05", "2026-01-09", "0105T00…0109T00", "-", "-", "[]"},
		{"2026-01-30", "2026-02-03", "0130T00…0203T00", "-", "-", "[]"},
		{"2026-01-05T03", "2026-01-05T04", "-", "-", "-", "[0105T03…0105T04]"},
		{"2026-01-05T03", "2026-01-06T04", "-", "-", "-", "[0105T03…0106T00 0106T00…0106T04]"},
		{"2026-01-05T03", "2026-01-06", "-", "-", "-", "[0105T03…0106T00]"},
		{"2026-01-05", "2026-01-05T03", "-", "-", "-", "[0105T00…0105T03]"},
		{"2026-01-05", "2026-01-05", "-", "-", "-", "[]"},
		{"2026-01-05T03", "2026-01-05T03", "-", "-", "-", "[]"},
	} {
		got := cutTime(moment(c.from), moment(c.to))
		if s := fmt.Sprint(got.before, got.months, got.after,
			got.ends); s != strings.Join([]string{c.before, c.months, c.after, c.ends}, " ") {
			t.Errorf("%s to %s: got %s, want %+v", c.from, c.to, s, c)
		}
	}
}

func TestEveryMomentIsInOnePartOfACut(t *testing.T) {
	t.Parallel()
	base := moment("2026-01-28")
	for from := range 60 {
		for to := from; to < 60; to++ {
			all := stretch{base.Add(time.Duration(from) * 37 * time.Hour), base.Add(time.Duration(to) * 37 * time.Hour)}
			c := cutTime(all.from, all.to)
			for i := range 61 * 37 {
				at := base.Add(time.Duration(i) * time.Hour)
				parts := 0
				for _, s := range append([]stretch{c.before, c.months, c.after}, c.ends...) {
					if !at.Before(s.from) && at.Before(s.to) {
						parts++
					}
				}
				inside := !at.Before(all.from) && at.Before(all.to)
				if inside != (parts == 1) || parts > 1 {
					t.Fatalf("%v: %v is in %d parts of %+v", all, at, parts, c)
				}
			}
		}
	}
}

func TestLocateFindsWhatAWalkFinds(t *testing.T) {
	t.Parallel()
	var spans []span
	var walk []string
	for i, n := range []int64{3, 1, 10, 2} {
		s := span{from: moment("2026-01-09").AddDate(0, 0, -i), records: n}
		spans = append(spans, s)
		for k := range n {
			walk = append(walk, fmt.Sprint(s.from.Day(), "/", k))
		}
	}
	for offset := range int64(20) {
		for limit := range int64(20) {
			var got []string
			for _, p := range locate(spans, offset, limit) {
				for k := range p.take {
					got = append(got, fmt.Sprint(p.from.Day(), "/", p.skip+k))
				}
			}
			want := walk[min(int(offset), len(walk)):min(int(offset+limit), len(walk))]
			if !slices.Equal(got, want) {
				t.Errorf("offset %d, limit %d: got %v, want %v", offset, limit, got, want)
			}
		}
	}
}

func TestFirstIDIsTheLowestOfItsTime(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{firstMoment, moment("2026-01-01"), time.Now(), lastMoment} {
		at = at.Truncate(time.Millisecond)
		first, some := string(firstID(at)), raw(id.New(at))
		if some < first || some >= string(firstID(at.Add(time.Millisecond))) || !idTime(first).Equal(at) {
			t.Errorf("%v: first id %s, some id %s", at, hex.EncodeToString([]byte(first)), hex.EncodeToString([]byte(some)))
		}
	}
	if got := hex.EncodeToString(firstID(time.Unix(-5, 0))); got != strings.Repeat("0", 24) {
		t.Errorf("before 1970: %s", got)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	load := func(vars ...string) (Config, error) {
		var c Config
		err := config.Load(&c, append(vars, "ACTIVITY_INTERNAL_KEYS="+internalKey, "DATABASE_URL=postgres://x"))
		return c, err
	}
	for text, want := range map[string]Retention{"8760h": 365, "365d": 365, "24h": 1, "1d": 1, "3660d": 3660} {
		if c, err := load("ACTIVITY_RETENTION=" + text); err != nil || c.Retention != want {
			t.Errorf("retention %s: got %d, %v; want %d", text, c.Retention, err, want)
		}
	}
	for _, wrong := range []string{
		"ACTIVITY_RETENTION=0d", "ACTIVITY_RETENTION=-5d", "ACTIVITY_RETENTION=3661d", "ACTIVITY_RETENTION=90m",
		"ACTIVITY_RETENTION=25h", "ACTIVITY_RETENTION=x",
		"ACTIVITY_RETENTION=d", "ACTIVITY_WRITERS=0", "ACTIVITY_WRITERS=17", "ACTIVITY_BATCH=0", "ACTIVITY_BATCH=10001",
		"ACTIVITY_BATCH_WAIT=0s",
		"ACTIVITY_STREAM_MAX_BYTES=1", "ACTIVITY_STREAM_REPLICAS=6", "ACTIVITY_STREAM_DUPLICATES=1ms",
		"ACTIVITY_STREAM_MAX_AGE=1m", "ACTIVITY_ACK_WAIT=1ms",
		"LOG_FORMAT=xml", "DATABASE_MAX_CONNS=1", "DATABASE_MAX_CONNS=0",
	} {
		name, _, _ := strings.Cut(wrong, "=")
		_, err := load(wrong)
		// The library names the field of a text that does not parse, not the variable.
		if err == nil || !(strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "Retention")) {
			t.Errorf("%s: got %v", wrong, err)
		}
	}
	c, err := load()
	if err != nil || c.Retention != 365 || c.consumer("").MaxBatch != 1000 || c.consumer("").Stream.Name != "ACTIVITY" {
		t.Errorf("defaults: %+v, %v", c, err)
	}
}
