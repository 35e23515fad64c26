package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func clock() (*time.Time, func() time.Time) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &at, func() time.Time { return at }
}

// write applies one write to the item and returns the rules that it broke.
func write(l *ledger, it *item, v version, status int) []rule {
	before := len(l.breaches)
	a := l.begin("u", "PUT", "/api/v1/vault/keys/"+it.key, it.realm, 0)
	l.end(a, status, map[bool]string{true: "SERVICE_UNAVAILABLE"}[status == 503])
	l.wrote(it, v, a)
	var broken []rule
	for _, b := range l.breaches[before:] {
		broken = append(broken, b.rule)
	}
	return broken
}

func TestAReadMustFindTheLastAcknowledgedWrite(t *testing.T) {
	t.Parallel()
	one, two, gone := version{number: 1, size: 40}, version{number: 2, size: 9}, version{gone: true}
	for _, c := range []struct {
		name     string
		writes   []version
		statuses []int
		found    bool
		value    string
		fine     bool
	}{
		{"nothing was written and nothing is there", nil, nil, false, "", true},
		{"nothing was written and something is there", nil, nil, true, one.value(), false},
		{"the acknowledged value", []version{one}, []int{201}, true, one.value(), true},
		{"an acknowledged value is lost", []version{one}, []int{201}, false, "", false},
		{"the value before the last acknowledged one", []version{one, two}, []int{201, 200}, true, one.value(), false},
		{"a value of which not every byte is right", []version{one}, []int{201}, true, one.value() + "v", false},
		{"a value without answer took effect", []version{one, two}, []int{201, 0}, true, two.value(), true},
		{"a value without answer took no effect", []version{one, two}, []int{201, 503}, true, one.value(), true},
		{"a value without answer emptied the key", []version{one, two}, []int{201, 503}, false, "", false},
		{"an acknowledged deletion", []version{one, gone}, []int{201, 200}, false, "", true},
		{"an acknowledged deletion came back", []version{one, gone}, []int{201, 200}, true, one.value(), false},
		{"a deletion without answer took effect", []version{one, gone}, []int{201, 0}, false, "", true},
		{"a deletion of nothing", []version{gone, one}, []int{404, 201}, true, one.value(), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, now := clock()
			l := &ledger{now: now}
			it := l.newItem(0, "", "k")
			for i, v := range c.writes {
				if broken := write(l, it, v, c.statuses[i]); len(broken) > 0 {
					t.Fatalf("write %d: got %v, want no breach", i, broken)
				}
			}
			if problem := it.holds(c.found, c.value); (problem == "") != c.fine {
				t.Errorf("got %q, want fine: %v", problem, c.fine)
			}
			a := l.begin("u", "GET", "/k", "", 0)
			l.end(a, map[bool]int{true: 200, false: 404}[c.found], "")
			l.read(it, a, c.value)
			if (len(l.breaches) == 0) != c.fine {
				t.Errorf("a read: got %v, want fine: %v", l.breaches, c.fine)
			}
		})
	}
}

func TestWrongAnswersToWritesAreBreaches(t *testing.T) {
	t.Parallel()
	one := version{number: 1, size: 5}
	for _, c := range []struct {
		name   string
		first  bool
		status int
		want   []rule
	}{
		{"created although it was there", true, 201, []rule{ruleWrites}},
		{"updated although it was not there", false, 200, []rule{ruleWrites}},
		{"not found at a write", false, 404, []rule{ruleWrites}},
		{"unauthorized with a good session", false, 401, []rule{ruleAnswers}},
		{"too many requests", false, 429, []rule{ruleAnswers}},
		{"an internal error", false, 500, []rule{ruleAnswers}},
		{"a failure without the code of one", false, 502, []rule{ruleAnswers}},
		{"unavailable is no breach by itself", false, 503, nil},
		{"silence is no breach by itself", false, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, now := clock()
			l := &ledger{now: now}
			it := l.newItem(0, "", "k")
			if c.first {
				write(l, it, version{number: 0, size: 3}, 201)
			}
			if got := write(l, it, one, c.status); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestCalmBeginsAfterTheLastFailure(t *testing.T) {
	t.Parallel()
	at, now := clock()
	l := &ledger{now: now}
	healed := *at
	send := func(after, took time.Duration, status int) {
		*at = healed.Add(after)
		a := l.begin("u", "GET", "/k", "", 0)
		*at = at.Add(took)
		l.end(a, status, "SERVICE_UNAVAILABLE")
	}
	send(-time.Second, 2*time.Second, 503) // sent before the fault ended: no failure of the recovery
	send(100*time.Millisecond, time.Millisecond, 200)
	send(200*time.Millisecond, 3*time.Second, 503)
	send(400*time.Millisecond, time.Millisecond, 200)
	send(500*time.Millisecond, time.Millisecond, 404)
	*at = healed.Add(4 * time.Second)
	if since, good := l.calmSince(healed, time.Second); since.Sub(healed) != 200*time.Millisecond || good != 2 {
		t.Errorf("got calm from %v with %d good answers, want from 200ms with 2", since.Sub(healed), good)
	}
	l.begin("u", "GET", "/k", "", 0)
	*at = at.Add(2 * time.Second)
	if since, good := l.calmSince(healed, time.Second); since.Sub(healed) != 4*time.Second || good != 0 {
		t.Errorf("with one that waits: got calm from %v with %d good answers, want from 4s with 0", since.Sub(healed),
			good)
	}
	if s := l.during(healed, healed.Add(time.Second)); s != (span{requests: 4, refused: 1, slowest: 2 * time.Second}) {
		t.Errorf("got %+v, want 4 requests that ended in the first second, 1 of them refused, the slowest 2s", s)
	}
}

func TestTheLogIsComparedWithTheLedger(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		status  int
		user    string
		known   bool // whether the gateways could identify callers all the time
		records []record
		breach  string // part of its text; "" for none
	}{
		{"answered and recorded", 200, "u", false, []record{{"u", "GET", "/k", "", 200, 1}}, ""},
		{"answered and not recorded", 200, "u", false, nil, "is not in the log"},
		{"answered and recorded twice", 200, "u", false, []record{{"u", "GET", "/k", "", 200, 2}}, "2 times"},
		{"recorded with another status", 200, "u", false, []record{{"u", "GET", "/k", "", 503, 1}},
			"is not in the log"},
		{"recorded for somebody else", 200, "u", false, []record{{"v", "GET", "/k", "", 200, 1}}, "is not in the log"},
		{"recorded with another path", 200, "u", false, []record{{"u", "GET", "/x", "", 200, 1}}, "is not in the log"},
		{"without answer and not recorded", 0, "u", false, nil, ""},
		{"without answer, but handled", 0, "u", false, []record{{"u", "GET", "/k", "", 200, 1}}, ""},
		{"without answer and recorded twice", 0, "u", false, []record{{"u", "GET", "/k", "", 200, 2}}, "2 times"},
		{"refused before the caller was known", 503, "u", false, nil, ""},
		{"refused by a gateway that knew the caller", 503, "u", true, nil, "is not in the log"},
		{"refused and recorded", 503, "u", true, []record{{"u", "GET", "/k", "", 503, 1}}, ""},
		{"nobody's request", 200, "", false, nil, ""},
		{"nobody's request is in somebody's log", 200, "", false, []record{{"u", "GET", "/k", "", 200, 1}}, "1 times"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, now := clock()
			l := &ledger{now: now}
			a := l.begin(c.user, "GET", "/k", "", 0)
			l.end(a, c.status, "SERVICE_UNAVAILABLE")
			for _, r := range c.records {
				l.record(a.number, r)
			}
			l.judgeLog(func(*attempt) callerKnown { return callerKnown(c.known) }, nil)
			var text strings.Builder
			for _, b := range l.breaches {
				text.WriteString(b.text)
			}
			if c.breach == "" && text.Len() > 0 || !strings.Contains(text.String(), c.breach) {
				t.Errorf("got %q, want %q", text.String(), c.breach)
			}
		})
	}
}
