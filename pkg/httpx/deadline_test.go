package httpx

import (
	"net"
	"testing"
	"time"
)

// setter counts the deadlines that reach the connection.
type setter struct {
	net.Conn
	last time.Time
	sets int
}

func (s *setter) SetReadDeadline(t time.Time) error {
	s.last = t
	s.sets++
	return nil
}

func TestADeadlineIsSetOnlyWhenItMovesFarEnough(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		name   string
		second time.Duration // after the first, which is 10 s ahead
		moves  bool
	}{
		{"the same", 0, false},
		{"a little later", 99 * time.Millisecond, false},
		{"a hundredth later", 100 * time.Millisecond, true},
		{"sooner", -time.Nanosecond, true},
		{"much later", time.Hour, true},
	} {
		s := &setter{}
		d := Deadlines{Timeout: 10 * time.Second}
		first := now.Add(10 * time.Second)
		_ = d.SetRead(s, first)
		_ = d.SetRead(s, first.Add(c.second))
		want := first
		if c.moves {
			want = first.Add(c.second)
		}
		if !s.last.Equal(want) {
			t.Errorf("%s: the deadline is %v after the first", c.name, s.last.Sub(first))
		}
	}
}

func TestADeadlineThatWasClearedIsSetAgain(t *testing.T) {
	t.Parallel()
	s := &setter{}
	d := Deadlines{Timeout: 10 * time.Second}
	at := time.Now().Add(10 * time.Second)
	for _, to := range []time.Time{at, {}, at} {
		_ = d.SetRead(s, to)
		if !s.last.Equal(to) {
			t.Errorf("the deadline is %v, want %v", s.last, to)
		}
	}
	for i := range 1000 { // 1000 requests of a millisecond each
		_ = d.SetRead(s, at.Add(time.Duration(i)*time.Millisecond))
	}
	if s.sets > 20 {
		t.Errorf("%d deadlines set for a second of requests", s.sets)
	}
}
