package activity

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/id"
)

func TestFirstIDIsTheLowestOfItsTime(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{firstMoment, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Now(), lastMoment} {
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
		"ACTIVITY_RETENTION=d", "ACTIVITY_WRITERS=0", "ACTIVITY_WRITERS=17",
		"ACTIVITY_STREAM_MAX_BYTES=1", "ACTIVITY_STREAM_REPLICAS=6",
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
