package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// report has the results of a run.
type report struct {
	began       time.Time
	options     options
	redis       string
	file        string
	ledger      *ledger
	windows     []*window
	logComplete time.Duration
	revocations []revocationRow
}

func (r *report) breaches() []breach {
	var out []breach
	if r.ledger != nil {
		out = append(out, r.ledger.breaches...)
	}
	for _, row := range r.revocations {
		out = append(out, row.breaches...)
	}
	return out
}

// write prints the table. It also stores it in the folder of results, unless the run was limited to
// some faults.
func (r *report) write(stdout io.Writer) error {
	var b strings.Builder
	r.head(&b)
	if r.ledger != nil {
		r.faultTable(&b)
		r.promises(&b)
	} else {
		r.revocationTable(&b)
	}
	r.writeBreaches(&b)
	if _, err := io.WriteString(stdout, b.String()); err != nil {
		return err
	}
	if r.options.results == "-" || (r.ledger != nil && r.options.only.String() != "") {
		return nil
	}
	if err := os.MkdirAll(r.options.results, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.options.results, r.file), []byte(b.String()), 0o644)
}

func (r *report) head(b *strings.Builder) {
	fmt.Fprintf(b, "%s, %d CPUs, %s/%s, %s; %s for the whole run.\n\n", r.began.UTC().Format("2006-01-02 15:04 UTC"),
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH,
		r.redis, time.Since(r.began).Round(time.Second))
}

func (r *report) faultTable(b *strings.Builder) {
	fmt.Fprintf(b, "| fault, for %v | requests | refused (503) | no answer | slowest answer | served again | back "+
		"to normal |\n|---|--:|--:|--:|--:|--:|--:|\n", r.options.hold)
	for _, win := range r.windows {
		s := r.ledger.during(win.began, win.closed)
		back, up := "not in time", "-"
		if win.up.After(win.mended) {
			up = win.up.Sub(win.mended).Round(10 * time.Millisecond).String()
		}
		switch {
		case win.calm.Equal(win.mended):
			back = "at once"
		case !win.calm.IsZero():
			back = win.calm.Sub(win.mended).Round(10 * time.Millisecond).String()
		}
		fmt.Fprintf(b, "| %s | %d | %d | %d | %v | %s | %s |\n", win.name, s.requests, s.refused, s.silent,
			s.slowest.Round(10*time.Millisecond), up, back)
	}
	fmt.Fprintf(b, "\nServed again: how long a process that had ended took from its start until it said that it was "+
		"ready. Back to normal: when the last request was sent that failed, counted from the end of the fault, "+
		"which is the start of a process that had ended. No request may fail that was sent more than %v after the "+
		"end of the fault and the readiness of the process.\n\n", r.options.recovery)
}

func (r *report) promises(b *strings.Builder) {
	l := r.ledger
	writes, recorded, answered, silent := 0, 0, 0, 0
	for _, a := range l.attempts {
		if a.method != "GET" && a.user != "" && a.status >= 200 && a.status < 300 {
			writes++
		}
		recorded += a.records
		if a.status == 0 {
			silent++
		} else {
			answered++
		}
	}
	doubt := 0
	for _, it := range l.items {
		if it.doubt != nil {
			doubt++
		}
	}
	fmt.Fprintf(b, "%d requests, %d answered, %d without answer; %d acknowledged writes to %d keys, %d keys with a "+
		"last write that was not acknowledged; %d records in the log, complete %v after the load ended.\n\n",
		len(l.attempts), answered, silent, writes, len(l.items), doubt, recorded,
		r.logComplete.Round(10*time.Millisecond))
	b.WriteString("| promise | breaches |\n|---|--:|\n")
	for _, rule := range rules() {
		if rule == ruleRolling && !r.rolled() {
			continue
		}
		n := 0
		for _, x := range l.breaches {
			if x.rule == rule {
				n++
			}
		}
		fmt.Fprintf(b, "| %s | %d |\n", rule, n)
	}
}

func (r *report) rolled() bool {
	for _, win := range r.windows {
		if win.orderly {
			return true
		}
	}
	return false
}

// writeBreaches describes the breaches.
func (r *report) writeBreaches(b *strings.Builder) {
	seen := map[rule]int{}
	for _, x := range r.breaches() {
		if seen[x.rule]++; seen[x.rule] <= maxBreaches {
			fmt.Fprintf(b, "\n- **%s** %s: %s", x.at.Format("15:04:05.000"), x.rule, x.text)
		}
	}
	if len(seen) > 0 {
		b.WriteString("\n")
	}
	for rule, n := range seen {
		if n > maxBreaches {
			fmt.Fprintf(b, "\n- and %d more of: %s\n", n-maxBreaches, rule)
		}
	}
}

// dump writes one line for every request: number, time, duration, gateway, status, code, method,
// path, records in the log.
func (l *ledger) dump(path string) error {
	var b strings.Builder
	for _, a := range l.attempts {
		fmt.Fprintf(&b, "%d\t%s\t%v\t%d\t%d\t%s\t%s\t%s\t%d\n", a.number, a.sent.Format("15:04:05.000"),
			a.answered.Sub(a.sent).Round(time.Millisecond), a.gateway+1, a.status, a.code, a.method, a.path, a.records)
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}
