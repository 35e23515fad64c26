package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// ledger is what the clients of a run know: every request that they sent and what came back. The
// product is held against it.
type ledger struct {
	now func() time.Time

	mu       sync.Mutex
	attempts []*attempt
	items    []*item
	breaches []breach
}

// attempt is one request. It is sent once and never again: the User-Agent carries its number, so
// that its record in the log can be found.
type attempt struct {
	number               int
	user                 string // id; "" for a request that nobody can be made answerable for
	method, path, realm  string
	gateway              int
	sent, answered       time.Time // answered: also when the client gave up
	status               int       // 0: no answer
	code                 string    // machine code of a failure
	done                 bool
	records, otherRecord int // in the log, at the end: as answered, and not as answered
}

// failed says that the request got no answer, or one that blames the server.
func (a *attempt) failed() bool { return a.done && (a.status == 0 || a.status >= 500) }

// breach is a promise that was broken.
type breach struct {
	at   time.Time
	rule rule
	text string
}

// rule is a promise.
type rule string

const (
	ruleWrites   rule = "every acknowledged write is there with its last acknowledged value"
	ruleReads    rule = "a read returns the last acknowledged value"
	ruleQuota    rule = "the quota equals the sum of the items"
	ruleLog      rule = "every answered request stands in the log exactly once"
	ruleFailures rule = "no request fails outside of a fault and its stated recovery"
	ruleAnswers  rule = "no answer is wrong: no 500, no 4xx that the request did not earn"
	ruleRefresh  rule = "no session is lost"
	ruleRolling  rule = "a rolling restart loses no request"
)

func rules() []rule {
	return []rule{ruleWrites, ruleReads, ruleQuota, ruleLog, ruleFailures, ruleAnswers, ruleRefresh, ruleRolling}
}

// maxBreaches of one rule are told in words; more are only counted.
const maxBreaches = 20

func (l *ledger) breach(r rule, format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.breaches = append(l.breaches, breach{l.now(), r, fmt.Sprintf(format, v...)})
}

func (l *ledger) begin(user, method, path, realm string, gateway int) *attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &attempt{number: len(l.attempts), user: user, method: method, path: path, realm: realm, gateway: gateway,
		sent: l.now()}
	l.attempts = append(l.attempts, a)
	return a
}

func (l *ledger) end(a *attempt, status int, code string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.status, a.code, a.answered, a.done = status, code, l.now(), true
	if status == 500 || status > 500 && code != "SERVICE_UNAVAILABLE" {
		l.breaches = append(l.breaches,
			breach{a.answered, ruleAnswers, fmt.Sprintf("%s %s: %d %s", a.method, a.path, status, code)})
	}
}

// agentPrefix begins the User-Agent of every request.
const agentPrefix = "chaos/"

func (a *attempt) agent() string { return fmt.Sprintf("%s%d", agentPrefix, a.number) }

// numberOf reads the number of an attempt from the User-Agent of a record.
func numberOf(agent string) (n int, ok bool) {
	text, ok := strings.CutPrefix(agent, agentPrefix)
	if !ok {
		return 0, false
	}
	_, err := fmt.Sscanf(text, "%d", &n)
	return n, err == nil
}

// span is the requests that were answered, or given up, between two moments.
type span struct {
	requests, refused, silent int
	slowest                   time.Duration
}

// during sums up the requests that ended in [from, to].
func (l *ledger) during(from, to time.Time) span {
	l.mu.Lock()
	defer l.mu.Unlock()
	var s span
	for _, a := range l.attempts {
		if !a.done || a.answered.Before(from) || a.answered.After(to) {
			continue
		}
		s.requests++
		s.slowest = max(s.slowest, a.answered.Sub(a.sent))
		switch {
		case a.status == 0:
			s.silent++
		case a.failed():
			s.refused++
		}
	}
	return s
}

// calmSince returns the moment from which on every request was answered well, and how many were; a
// request that waits for its answer for longer than patience is not calm.
func (l *ledger) calmSince(from time.Time, patience time.Duration) (since time.Time, good int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	since = from
	now := l.now()
	for _, a := range l.attempts {
		if a.sent.Before(from) {
			continue
		}
		switch waits := !a.done && now.Sub(a.sent) > patience; {
		case waits, a.failed():
			since, good = later(since, a.sent), 0
		case a.done && a.sent.After(since):
			good++
		}
	}
	return since, good
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// version is what a write leaves under a key.
type version struct {
	number int // of the write; the value is made from it
	size   int
	gone   bool // a deletion
}

// value is the text that the write with this number stores: unlike any other, and of the given size
// or a little more.
func (v version) value() string {
	head := fmt.Sprintf("%d:é\x00\"", v.number)
	return head + strings.Repeat("v", max(0, v.size-len(head)))
}

// item is one vault key. One client at a time writes it, so its history is a line: acknowledged
// writes, and perhaps one at the end that the client got no word about. After such a one the key is
// left alone, because it may take effect at any later time.
type item struct {
	user       int // index of the account
	realm, key string
	acked      version
	doubt      *version
}

func (l *ledger) newItem(user int, realm, key string) *item {
	l.mu.Lock()
	defer l.mu.Unlock()
	it := &item{user: user, realm: realm, key: key, acked: version{gone: true}}
	l.items = append(l.items, it)
	return it
}

// wrote takes note of the answer to a write or a deletion of the item.
func (l *ledger) wrote(it *item, v version, a *attempt) {
	want := 200
	switch {
	case it.acked.gone && v.gone:
		want = 404
	case it.acked.gone:
		want = 201
	}
	switch {
	case a.status == want:
		it.acked = v
	case a.status == 0 || a.status >= 500:
		it.doubt = &v
	case a.status == 200 || a.status == 201 || a.status == 404:
		l.breach(ruleWrites, "%s %s was answered %d instead of %d: the server forgot, or remembers what was not acknowledged",
			a.method, a.path, a.status, want)
		it.doubt = &v
	default:
		l.breach(ruleAnswers, "%s %s: %d %s", a.method, a.path, a.status, a.code)
		it.doubt = &v
	}
}

// read holds the answer to a read against what was acknowledged.
func (l *ledger) read(it *item, a *attempt, value string) {
	if a.failed() {
		return
	}
	if a.status != 200 && a.status != 404 {
		l.breach(ruleAnswers, "%s %s: %d %s", a.method, a.path, a.status, a.code)
		return
	}
	if problem := it.holds(a.status == 200, value); problem != "" {
		l.breach(ruleReads, "%s: %s", a.path, problem)
	}
}

// holds says what is wrong with finding value under the item's key, or nothing; "" when it is as it
// must be.
func (it *item) holds(found bool, value string) string {
	if it.acked.is(found, value) || (it.doubt != nil && it.doubt.is(found, value)) {
		return ""
	}
	got := "nothing is there"
	if found {
		got = fmt.Sprintf("there is %.20q", value)
	}
	return fmt.Sprintf("%s, the last acknowledged is %s", got, it.acked)
}

func (v version) is(found bool, value string) bool {
	if v.gone || !found {
		return v.gone == !found
	}
	return v.value() == value
}

// String describes the version in messages.
func (v version) String() string {
	if v.gone {
		return "that there is nothing"
	}
	return fmt.Sprintf("%.20q", v.value())
}
