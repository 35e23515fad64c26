package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// ledger records all that the clients of a run know: their requests and the answers. The state of
// the product is compared with it.
type ledger struct {
	now func() time.Time

	mu       sync.Mutex
	attempts []*attempt
	items    []*item
	breaches []breach
}

// attempt is one request, sent exactly once. The User-Agent carries its number, so that its record
// in the log can be found.
type attempt struct {
	number               int
	user                 string // id; "" for a request that belongs to no user
	method, path, realm  string
	gateway              int
	sent, answered       time.Time // answered: when the client got the answer or gave up
	status               int       // 0: no answer
	code                 string    // error code of a failure
	done                 bool
	records, otherRecord int // found in the log at the end: equal to the answer, and different from it
}

// failed reports whether the request got no answer, or a status of 500 or more.
func (a *attempt) failed() bool { return a.done && (a.status == 0 || a.status >= 500) }

// breach is a broken promise.
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
	ruleWitness  rule = "a client that resumes a stream sees each change exactly once"
)

func rules() []rule {
	return []rule{ruleWrites, ruleReads, ruleQuota, ruleLog, ruleFailures, ruleAnswers, ruleRefresh, ruleRolling,
		ruleWitness}
}

// maxBreaches of each rule are described; further ones are only counted.
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

// span sums up the requests that ended in a period.
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

// calmSince returns the time since which every request has succeeded, and how many have. A request
// that has waited longer than patience counts as failed.
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

// version is the state of a key after a write.
type version struct {
	number int // number of the write, from which the value is made
	size   int
	gone   bool // a deletion
}

// value returns the text that the write stores. It is unique, and of the given size or a little
// larger.
func (v version) value() string {
	head := fmt.Sprintf("%d:é\x00\"", v.number)
	return head + strings.Repeat("v", max(0, v.size-len(head)))
}

// item is one vault key. Only one client at a time writes it, so its history is a sequence of
// acknowledged writes, perhaps followed by one without an answer. After such a write the key is not
// used any more, because the write may take effect at any later time.
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

// wrote processes the answer to a write or a deletion of the item.
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
		l.breach(ruleWrites, "%s %s was answered %d instead of %d: the server forgot, or remembers what was not "+
			"acknowledged",
			a.method, a.path, a.status, want)
		it.doubt = &v
	default:
		l.breach(ruleAnswers, "%s %s: %d %s", a.method, a.path, a.status, a.code)
		it.doubt = &v
	}
}

// read compares the answer to a read with the acknowledged writes.
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

// holds returns "" if value is allowed under the item's key, and otherwise describes the
// difference.
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
