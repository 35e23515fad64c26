package main

import (
	"fmt"
	"time"
)

// record is a group of equal records in the log with the same request number.
type record struct {
	user, method, path, realm string
	status, count             int
}

// record enters records of the log into the attempt with this number.
func (l *ledger) record(number int, r record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number < 0 || number >= len(l.attempts) {
		l.breaches = append(l.breaches, breach{l.now(), ruleLog, "the log has a request that nobody sent"})
		return
	}
	a := l.attempts[number]
	alike := r.user == a.user && r.method == a.method && r.path == a.path && r.realm == a.realm &&
		(a.status == 0 || r.status == a.status)
	if alike {
		a.records += r.count
	} else {
		a.otherRecord += r.count
	}
}

// clearRecords drops the entered records, so that the log can be read again.
func (l *ledger) clearRecords() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.attempts {
		a.records, a.otherRecord = 0, 0
	}
}

// callerKnown says whether the answering gateway could identify the caller, despite any fault at
// that time.
type callerKnown bool

// owed returns the lowest and the highest number of records that the log may have of a.
func (a *attempt) owed(known callerKnown) (fewest, most int) {
	switch {
	case a.user == "":
		return 0, 0
	case a.status == 0, a.status >= 500 && !bool(known):
		return 0, 1
	}
	return 1, 1
}

// missing returns how many records the log still lacks.
func (l *ledger) missing(known func(*attempt) callerKnown, excused func(*attempt) bool) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, a := range l.attempts {
		if fewest, _ := a.owed(known(a)); a.done && a.records < fewest && (excused == nil || !excused(a)) {
			n++
		}
	}
	return n
}

// judgeLog compares the entered records with the answers. excused reports whether a gateway counted
// the event of a request as not recorded.
func (l *ledger) judgeLog(known func(*attempt) callerKnown, excused func(*attempt) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	tell := func(a *attempt, text string) {
		l.breaches = append(l.breaches, breach{a.sent, ruleLog, describe(a) + text})
	}
	for _, a := range l.attempts {
		fewest, most := a.owed(known(a))
		switch all := a.records + a.otherRecord; {
		case all > most:
			tell(a, " is in the log "+times(all))
		case a.records < fewest && (excused == nil || !excused(a)):
			tell(a, " is not in the log"+map[bool]string{true: " as it was answered"}[a.otherRecord > 0])
		}
	}
}

// judgeFailures finds requests that failed outside of a fault and its stated recovery.
func (l *ledger) judgeFailures(excusable func(sent, answered time.Time) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.attempts {
		if a.failed() && !excusable(a.sent, a.answered) {
			l.breaches = append(l.breaches,
				breach{a.sent, ruleFailures, describe(a) + " failed while nothing was broken"})
		}
	}
}

func describe(a *attempt) string {
	status := "without answer"
	if a.status > 0 {
		status = fmt.Sprintf("answered %d", a.status)
	}
	return fmt.Sprintf("%s %s (number %d, %s by gateway %d at %s)", a.method, a.path, a.number, status, a.gateway+1,
		a.sent.Format("15:04:05.000"))
}

func times(n int) string { return fmt.Sprintf("%d times", n) }
