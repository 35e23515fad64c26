package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// found returns a report with a group of two measured subjects, one that failed and one that was
// not measured.
func found(t *testing.T) report {
	t.Helper()
	g := group{name: "forward", title: "Forwarding"}
	return report{
		options: options{results: t.TempDir(), name: "latest", seconds: 2, rounds: 2, only: regexp.MustCompile("")},
		began:   time.Now(), cpus: 2, redis: "redis-server",
		notes: []string{"a note"},
		outcomes: []outcome{{
			group: g,
			plan: plan{
				targets: []target{
					{what: "a ÷ b <escaped> & more", subject: "a", baseline: "b", figure: throughput(), atLeast: true,
						bound: 0.8},
					{what: "gone ÷ b", subject: "gone", baseline: "b", figure: throughput(), atLeast: true, bound: 0.8},
				},
				notes: []string{"about the group"},
			},
			series: []series{
				{subject: subject{name: "a"}, cells: cellsOf(900, 450)},
				{subject: subject{name: "b"}, cells: cellsOf(1000, 500)},
				{subject: subject{name: "gone"}, failed: errors.New("would not start\nsecond line")},
			},
		}},
	}
}

func TestReportShowsEachFigureBesideItsRatio(t *testing.T) {
	t.Parallel()
	r := found(t)
	var out bytes.Buffer
	if err := r.write(&out); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(r.options.results + "/latest.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| a ÷ b <escaped> & more | ≥ 0.80 | 0.90 (0.90–0.90) | ok |", "| gone ÷ b | ≥ 0.80 | – | not measured |",
		"| a | 675 | 0.90 (0.90–0.90) |", "| b (reference) | 750 | 1.00 (1.00–1.00) |", "failed: would not start |",
		"a note", "about the group",
		"go run ./deploy/bench -seconds 2 -rounds 2",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if !strings.Contains(out.String(), "0.90 (0.90–0.90)") {
		t.Errorf("printed:\n%s", &out)
	}
}

func TestPictureIsWellFormed(t *testing.T) {
	t.Parallel()
	picture := found(t).picture()
	d := xml.NewDecoder(strings.NewReader(picture))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, picture)
		}
	}
	if !regexp.MustCompile(`<line x1="530.0" y1="44" x2="530.0" y2="96" `).MatchString(picture) {
		t.Error("the line of the promise is not where it belongs")
	}
	for _, want := range []string{"a ÷ b &lt;escaped&gt; &amp; more", "0.90, promised ≥ 0.80", "not measured"} {
		if !strings.Contains(picture, want) {
			t.Errorf("the picture lacks %q", want)
		}
	}
}

func TestGrowthIsComparedWithTheSizeOfTheAnswer(t *testing.T) {
	t.Parallel()
	g := &growthTable{rows: []growthRow{
		{thing: "keys", size: 1, operation: "list", took: time.Millisecond, bytes: 100},
		{thing: "keys", size: 100, operation: "list", took: 50 * time.Millisecond, bytes: 10_000},
		{thing: "keys", size: 1, operation: "read", took: time.Millisecond, bytes: 100},
		{thing: "keys", size: 100, operation: "read", took: 4 * time.Millisecond, bytes: 100},
	}}
	faster := g.faster()
	if faster["keys\x00list"] {
		t.Error("a list that takes longer because it is longer is called a defect")
	}
	if !faster["keys\x00read"] {
		t.Error("reading one of more keys takes four times as long and is not called a defect")
	}
}

func TestPlansAreReadFromTheLog(t *testing.T) {
	t.Parallel()
	got := planNodes([]string{
		"PostgreSQL: LOG:  duration: 0.020 ms  plan:", "PostgreSQL: Query Text: SELECT 1 FROM x WHERE a = $1",
		"PostgreSQL: Limit  (cost=0.29..8.31 rows=1 width=64)",
		"PostgreSQL:   ->  Index Scan Backward using activity_20261124_pkey on activity_20261124 a_1  (cost=0.29..8.31 rows=1 width=64)",
		"PostgreSQL:         Index Cond: (user_id = '\\x00'::bytea)",
		"PostgreSQL:   ->  Seq Scan on activity_rolled  (cost=0.00..1.01 rows=1 width=4)",
		"PostgreSQL: Result  (cost=0.00..0.01 rows=1 width=4)",
		"PostgreSQL:   ->  Index Scan Backward using activity_20261123_pkey on activity_20261123 a_2  (cost=0.29..8.31 rows=1 width=64)",
	})
	want := "Limit, Index Scan Backward activity_<day>_pkey, Seq Scan activity_rolled"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestProcStatAllowsAnyProgramName(t *testing.T) {
	t.Parallel()
	got, err := parseStat([]byte("42 (a) b (c) S 7 42 42 0 -1 4194560 100 0 0 0 150 50 25 75 20 0 1 0 100 0 0"))
	if err != nil || got.parent != 7 || got.cpu != 3*time.Second {
		t.Errorf("got %+v, %v; want parent 7 and 3 s", got, err)
	}
	if _, err := parseStat([]byte("42 (short) S 7")); err == nil {
		t.Error("a line that is cut off is read")
	}
}

func TestMemoryAndCPUTimeOfThisProcessAreRead(t *testing.T) {
	t.Parallel()
	if !supported {
		t.Skip("no /proc here")
	}
	me := []int{os.Getpid()}
	if n := memoryOf(me); n < 1<<20 {
		t.Errorf("memory %d bytes", n)
	}
	for began := time.Now(); time.Since(began) < 60*time.Millisecond; {
		_ = median([]float64{1, 2, 3})
	}
	if cpuOf(me) <= 0 {
		t.Error("no CPU time")
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		about string
		args  []string
		want  int
	}{
		{"help is no failure", []string{"-h"}, 0}, {"an unknown flag", []string{"-nope"}, 2},
		{"no rounds", []string{"-rounds", "0"}, 2},
		{"a broken expression", []string{"-only", "("}, 2}, {"something behind the flags", []string{"forward"}, 2},
		{"too few rows", []string{"-rows", "5"}, 2},
	} {
		var stderr bytes.Buffer
		if got := command(t.Context(), c.args, io.Discard, &stderr); got != c.want || stderr.Len() == 0 {
			t.Errorf("%s: got %d and %q, want %d and a word about it", c.about, got, &stderr, c.want)
		}
	}
	if _, err := (&bench{options: options{only: regexp.MustCompile("nothing")}}).runGroups(t.Context()); err == nil {
		t.Error("-only that matches nothing is no error")
	}
}

func TestEveryGroupIsCompleteAndEveryTargetHasABound(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, g := range groups() {
		if g.name == "" || g.title == "" || g.prepare == nil || seen[g.name] {
			t.Errorf("group %q is incomplete or there twice", g.name)
		}
		seen[g.name] = true
	}
	for _, target := range forwardTargets() {
		if target.bound == 0 && !target.informative {
			t.Errorf("%s promises nothing", target.what)
		}
	}
}

func TestResultsOfSelectedGroupsGoToTheirOwnFile(t *testing.T) {
	t.Parallel()
	r := found(t)
	r.options.name, r.options.only = "log-20m", regexp.MustCompile("^log$")
	r.options.rows = 20_000_000
	r.outcomes[0].group.name = "log"
	if err := r.write(io.Discard); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(r.options.results + "/log-20m.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"`go run ./deploy/bench -seconds 2 -rounds 2 -only '^log$' -name log-20m -rows 20000000`", "(log-20m.svg)"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if _, err := os.Stat(r.options.results + "/latest.md"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("latest.md: %v, want none", err)
	}
}

func TestAReportWithoutTargetsHasNoPicture(t *testing.T) {
	t.Parallel()
	r := found(t)
	r.outcomes[0].plan = plan{growth: &growthTable{rows: []growthRow{{thing: "users", size: 1000, operation: "read one",
		took: time.Millisecond, bytes: 400}}}}
	if err := r.write(io.Discard); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(r.options.results + "/latest.md")
	if err != nil || strings.Contains(string(page), ".svg") || strings.Contains(string(page), "## Targets") ||
		!strings.Contains(string(page), "| users | 1.00 k | read one |") {
		t.Errorf("%v, page:\n%s", err, page)
	}
	if _, err := os.Stat(r.options.results + "/latest.svg"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("latest.svg: %v, want none", err)
	}
}
