package precondition

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

var changed = time.Date(2026, 3, 1, 10, 0, 0, 700e6, time.UTC)

const (
	atChange = "Sun, 01 Mar 2026 10:00:00 GMT"
	before   = "Sun, 01 Mar 2026 09:59:59 GMT"
	after    = "Sun, 01 Mar 2026 10:00:01 GMT"
)

// headers builds a header from lines such as `If-Match: "a"`.
func headers(lines ...string) func(string) []string {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h[name] = append(h[name], value)
	}
	return func(name string) []string { return h[name] }
}

func TestConditionsAreEvaluatedInTheOrderOfTheRFC(t *testing.T) {
	t.Parallel()
	for _, c := range evaluations() {
		parsed, err := Parse(headers(strings.Split(c.lines, "|")...))
		if err != nil {
			t.Errorf("%s: %v", c.lines, err)
			continue
		}
		if got := parsed.Evaluate(c.state, c.safe); got != c.want {
			t.Errorf("%s (exists %v, safe %v): got %d, want %d", c.lines, c.state.Exists, c.safe, got, c.want)
		}
		if parsed.IsZero() != (c.lines == "") {
			t.Errorf("%s: IsZero is %v", c.lines, parsed.IsZero())
		}
	}
}

type evaluation struct {
	lines string // separated by |
	state State
	safe  bool
	want  Outcome
}

func evaluations() []evaluation {
	here := State{Exists: true, ETag: `"a"`, Modified: changed}
	const read, write = true, false
	return []evaluation{
		{`If-Match: "a"`, here, write, Proceed},
		{`If-Match: "b"`, here, write, Failed},
		{`If-Match: "b", "a"`, here, write, Proceed},
		{`If-Match: "b"|If-Match: "a"`, here, write, Proceed},
		{`If-Match: ,, "b" ,	"a",`, here, write, Proceed},
		{`If-Match: "b","c,d","a"`, here, write, Proceed},
		{`If-Match: *`, here, write, Proceed},
		{`If-Match: *`, State{}, write, Failed},
		{`If-Match: "a"`, State{}, write, Failed},
		{`If-Match: W/"a"`, here, write, Failed},
		{`If-Match: "a"`, here, read, Proceed},
		{`If-Match: "b"`, here, read, Failed},
		{`If-None-Match: "a"`, here, read, NotModified},
		{`If-None-Match: W/"a"`, here, read, NotModified},
		{`If-None-Match: *`, here, read, NotModified},
		{`If-None-Match: "b"`, here, read, Proceed},
		{`If-None-Match: "a"`, here, write, Failed},
		{`If-None-Match: W/"a"`, here, write, Failed},
		{`If-None-Match: *`, here, write, Failed},
		{`If-None-Match: *`, State{}, write, Proceed},
		{`If-None-Match: "b", "c"`, here, write, Proceed},
		{`If-Unmodified-Since: ` + before, here, write, Failed},
		{`If-Unmodified-Since: ` + atChange, here, write, Proceed},
		{`If-Unmodified-Since: ` + after, here, write, Proceed},
		{`If-Unmodified-Since: ` + before, State{}, write, Proceed},
		{`If-Unmodified-Since: ` + before, here, read, Failed},
		{`If-Modified-Since: ` + before, here, read, Proceed},
		{`If-Modified-Since: ` + atChange, here, read, NotModified},
		{`If-Modified-Since: Sunday, 01-Mar-26 10:00:00 GMT`, here, read, NotModified},
		{`If-Modified-Since: Sun Mar  1 10:00:00 2026`, here, read, NotModified},
		{`If-Modified-Since: ` + after, here, write, Proceed},
		// If-Match precedes If-Unmodified-Since, and If-None-Match precedes If-Modified-Since.
		{`If-Match: "a"|If-Unmodified-Since: ` + before, here, write, Proceed},
		{`If-Match: "b"|If-Unmodified-Since: ` + after, here, write, Failed},
		{`If-None-Match: "b"|If-Modified-Since: ` + after, here, read, Proceed},
		{`If-None-Match: "a"|If-Modified-Since: ` + before, here, read, NotModified},
		{`If-Match: "a"|If-None-Match: "a"`, here, read, NotModified},
		{`If-Match: "b"|If-None-Match: "a"`, here, read, Failed},
		{`If-Match: "a"|If-None-Match: *`, here, write, Failed},
		{``, here, read, Proceed},
	}
}

func TestAMalformedHeaderIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	for _, lines := range []string{
		`If-Match: `, `If-Match: a`, `If-Match: "a`, `If-Match: a"`, `If-Match: "a" "b"`, `If-Match: w/"a"`,
		`If-Match: W/ "a"`, `If-Match: W/`, `If-Match: *, "a"`, `If-Match: *|If-Match: "a"`, `If-Match: ,`,
		`If-Match: "a b"`, "If-Match: \"a\x7f\"", `If-Match: "a";`, `If-None-Match: **`, `If-None-Match: 'a'`,
		`If-None-Match: "a"|If-None-Match: b`,
		`If-Modified-Since: yesterday`, `If-Modified-Since: `, `If-Unmodified-Since: 2026-03-01T10:00:00Z`,
		`If-Unmodified-Since: Sun, 01 Mar 2026 10:00:00 CET`,
		`If-Unmodified-Since: ` + atChange + `|If-Unmodified-Since: ` + after,
		`If-Unmodified-Since: ` + atChange + `, ` + after,
	} {
		name, _, _ := strings.Cut(lines, ":")
		if _, err := Parse(headers(strings.Split(lines, "|")...)); err == nil ||
			!strings.Contains(err.Error(), "VALIDATION_ERROR") {
			t.Errorf("%s: got %v, want an error about %s", lines, err, name)
		}
	}
}
