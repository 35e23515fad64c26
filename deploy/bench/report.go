package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

// report has the results of a run.
type report struct {
	outcomes []outcome
	notes    []string
	options  options
	began    time.Time
	cpus     int
	redis    string
	busy     string // load averages before the run
}

// table is a grid of texts with a heading.
type table struct {
	title string
	head  []string
	rows  [][]string
	notes []string
}

// write prints the tables and stores them, with the picture, in the results folder.
func (r report) write(stdout io.Writer) error {
	tables := r.tables()
	var page strings.Builder
	page.WriteString(r.heading())
	for _, t := range tables {
		t.print(stdout)
		t.markdown(&page)
	}
	for _, n := range r.notes {
		fmt.Fprintf(stdout, "- %s\n", n)
		fmt.Fprintf(&page, "- %s\n", n)
	}
	if err := os.MkdirAll(r.options.results, 0o755); err != nil {
		return err
	}
	path := filepath.Join(r.options.results, r.options.name)
	err := os.WriteFile(path+".md", []byte(page.String()), 0o644)
	if r.hasTargets() {
		err = errors.Join(err, os.WriteFile(path+".svg", []byte(r.picture()), 0o644))
	}
	if err == nil {
		fmt.Fprintf(stdout, "written: %s.md\n", path)
	}
	return err
}

// hasTargets reports whether there are targets to draw: the group growth has only a table.
func (r report) hasTargets() bool { return len(r.targets().rows) > 0 }

func (r report) heading() string {
	picture := ""
	if r.hasTargets() {
		picture = fmt.Sprintf("![promised and measured ratios](%s.svg)\n\n", r.options.name)
	}
	return fmt.Sprintf(`# Benchmark

Written by %s on %s. %s, %d CPUs that the servers and the load generator share. Everything is on the loopback interface; %s serves as
Redis. All subjects of a table are measured in turn, %d times, after a warm-up; a ratio is the median of the ratios of the rounds, with the lowest
and the highest. Load average when it began: %s. Another machine, or another hour, gives other absolute figures: only the ratios mean something.

%s`, "`"+r.command()+"`", r.began.UTC().Format("2 January 2006 15:04 UTC"), cpuModel(), r.cpus, cmpOr(r.redis, "nothing"), r.options.rounds, r.busy, picture)
}

// command returns the command line that reproduces this report.
func (r report) command() string {
	o := r.options
	s := fmt.Sprintf("go run ./deploy/bench -seconds %v -rounds %d", o.seconds, o.rounds)
	if o.only.String() != "" {
		s += fmt.Sprintf(" -only '%s'", o.only)
	}
	if o.name != "latest" {
		s += " -name " + o.name
	}
	for _, found := range r.outcomes {
		switch found.group.name {
		case "log":
			s += fmt.Sprintf(" -rows %d", o.rows)
		case "growth":
			s += fmt.Sprintf(" -growth-users %d -growth-rows %d", o.growthUsers, o.growthRows)
		}
	}
	return s
}

// cpuModel returns the name of the processor.
func cpuModel() string {
	raw, _ := os.ReadFile("/proc/cpuinfo") // on an error the name is unknown
	for line := range strings.Lines(string(raw)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return "unknown processor"
}

func (r report) tables() []table {
	var all []table
	if r.hasTargets() {
		all = append(all, r.targets())
	}
	for _, o := range r.outcomes {
		if o.failed != nil {
			continue
		}
		if o.plan.growth != nil {
			all = append(all, o.plan.growth.table(o))
			continue
		}
		all = append(all, o.table())
	}
	return all
}

func (r report) targets() table {
	t := table{title: "Targets", head: []string{"what", "promised", "measured", "verdict"}}
	for _, o := range r.outcomes {
		for _, v := range o.judge() {
			t.rows = append(t.rows, []string{v.what, v.promise(), v.finding(), v.word()})
		}
	}
	return t
}

func (v verdict) promise() string {
	switch {
	case v.informative:
		return "–"
	case v.baseline == "":
		return "≤ the limit"
	case v.atLeast:
		return "≥ " + number(v.bound)
	default:
		return "≤ " + number(v.bound)
	}
}

func (v verdict) finding() string {
	if v.measured != "" {
		return fmt.Sprintf("%s, %s of the limit", v.measured, v.ratio)
	}
	if v.missing {
		return "–"
	}
	return v.ratio.String()
}

func (v verdict) word() string {
	switch {
	case v.missing:
		return "not measured"
	case v.informative:
		return "for comparison"
	case v.ok:
		return "ok"
	case v.atLeast:
		return "**below**"
	default:
		return "**above**"
	}
}

// table shows the medians of a group, and their ratios to the group's reference.
func (o outcome) table() table {
	unit := cmpOr(o.plan.unit, "requests")
	reference := o.plan.reference()
	t := table{title: o.group.title, notes: o.plan.notes,
		head: []string{"subject", unit + "/s", "÷ reference", "p50", "p99", "CPU/" + strings.TrimSuffix(unit, "s"),
			"memory"}}
	base, _ := o.find(reference)
	for _, s := range o.series {
		if s.failed != nil {
			t.rows = append(t.rows, []string{s.subject.name, "failed: " + firstLine(s.failed), "", "", "", "", ""})
			continue
		}
		name := s.subject.name
		if name == reference {
			name += " (reference)"
		}
		against := "–"
		switch {
		case len(base.cells) == 0:
		case base.cells[0].rate() > 0:
			against = ratioOf(s.cells, base.cells, cell.rate).String()
		default: // memory only
			against = ratioOf(s.cells, base.cells, func(c cell) float64 { return float64(c.Memory) }).String()
		}
		rate := "–"
		if m := medianOf(s.cells, cell.rate); m > 0 {
			rate = thousands(m)
		}
		duration := func(of func(cell) time.Duration) string {
			return short(time.Duration(medianOf(s.cells, func(c cell) float64 { return float64(of(c)) })))
		}
		t.rows = append(t.rows, []string{
			name, rate, against, duration(func(c cell) time.Duration { return c.P50 }),
			duration(func(c cell) time.Duration { return c.P99 }),
			duration(cell.cpuPerRequest),
			megabytes(medianOf(s.cells, func(c cell) float64 { return float64(c.Memory) })),
		})
	}
	return t
}

// reference returns the subject by which the others of the table are divided.
func (p plan) reference() string {
	if p.base != "" {
		return p.base
	}
	for _, t := range p.targets {
		if t.baseline != "" {
			return t.baseline
		}
	}
	return ""
}

func (t *growthTable) table(o outcome) table {
	out := table{title: o.group.title, notes: o.plan.notes,
		head: []string{"of", "size", "operation", "time", "× at the smallest", "answer", "plans", "verdict"}}
	first, faster := map[string]growthRow{}, t.faster()
	for _, r := range t.rows {
		key := r.thing + "\x00" + r.operation
		if _, seen := first[key]; !seen {
			first[key] = r
		}
		verdict := "ok"
		if faster[key] {
			verdict = "**faster than its answer**"
		}
		out.rows = append(out.rows, []string{
			r.thing, thousands(float64(r.size)), r.operation, short(r.took),
			number(float64(r.took) / float64(first[key].took)),
			thousands(float64(r.bytes)) + "B", strings.Join(r.plan, ", "), verdict,
		})
	}
	return out
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func (t table) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n", t.title)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.head}, t.rows...) {
		fmt.Fprintln(tw, strings.ReplaceAll(strings.Join(row, "\t"), "**", ""))
	}
	_ = tw.Flush() // writes to memory or the terminal
}

func (t table) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "## %s\n\n| %s |\n|%s\n", t.title, strings.Join(t.head, " | "), strings.Repeat("---|", len(t.head)))
	for _, row := range t.rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
	}
	b.WriteString("\n")
	for _, n := range t.notes {
		b.WriteString(n + "\n\n")
	}
}

// loadAverage returns the averages over 1, 5 and 15 minutes from /proc/loadavg (proc(5)).
func loadAverage(raw []byte) string {
	fields := strings.Fields(string(raw))
	if len(fields) < 3 {
		return "unknown"
	}
	return strings.Join(fields[:3], ", ")
}
