package apitoken

import (
	"testing"
	"time"
)

func FuzzParseExpiry(f *testing.F) {
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for _, s := range []string{"today", "tomorrow", "2026-03-01", "2026-03-01T10:00:00+14:00", "1772359200",
		"1772359200000", "1e300", "-1e18", "NaN", "0001-01-01T00:00:00+23:59"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		end, ok := parseExpiry(s, now)
		if ok && (end.Year() < -290 || end.Year() > 9999 || end.Location() != time.UTC) {
			t.Errorf("%q: got %v", s, end)
		}
	})
}

func FuzzParseAddresses(f *testing.F) {
	for _, s := range []string{"*", "10.0.0.7", "10.0.0.7/8", "::ffff:10.0.0.7/100", "2001:db8::1/32", "fe80::1%eth0",
		"0.0.0.0/0", "::/0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, ok := parseAddresses([]string{s})
		if !ok {
			return
		}
		again, ok := parseAddresses(list.strings())
		if !ok || len(again) != len(list) || len(list) == 1 && again[0] != list[0] {
			t.Errorf("%q: written %v, read again %v", s, list, again)
		}
		for _, p := range list {
			if p != p.Masked() || !covers(p, p) {
				t.Errorf("%q: %v is not canonical", s, p)
			}
		}
	})
}
