package main

import (
	"context"
	"fmt"
	"time"
)

// group is a set of subjects measured in turn, and the targets that compare them.
type group struct {
	name, title string
	// prepare starts the servers that the group needs beside the product. It returns the plan of
	// the measurement.
	prepare func(ctx context.Context, b *bench) (plan, error)
	// alone groups run without other servers: the product is not started for them.
	alone bool
	// asked groups run only if -only names them.
	asked bool
}

// plan describes the measurements of a group.
type plan struct {
	subjects []subject
	targets  []target
	notes    []string
	// unit is the unit of throughput, "requests" if empty.
	unit string
	// base is the subject by which the others of the table are divided, by default the baseline of
	// the first target.
	base string
	// growth replaces the subjects in the group growth.
	growth *growthTable
}

// subject is a measured thing.
type subject struct {
	name string
	load load
	// fresh, if set, makes a new load for each cell: internal identities live for half a minute.
	fresh func() (load, error)
	// measure replaces the load of subjects that are not driven by requests.
	measure func(ctx context.Context) (cell, error)
	// servers are the processes whose CPU time and memory count for the subject.
	servers []int
	// before and after run before and after each cell, and are not measured.
	before, after func(ctx context.Context) error
	once          bool // measured in the first round only
}

// target is a promise: the figure of subject divided by that of baseline is at least or at most
// bound. Without a baseline the figure is divided by limit, and bound is 1.
type target struct {
	what              string
	subject, baseline string
	figure            metric
	atLeast           bool
	bound             float64
	limit             float64
	write             func(float64) string // formats the figure of a target without baseline
	// informative targets have no promise: they explain another target.
	informative bool
}

// series has the cells of a subject, one for each round.
type series struct {
	subject subject
	cells   []cell
	failed  error
}

// outcome is the result of a group.
type outcome struct {
	group  group
	plan   plan
	series []series
	failed error
	took   time.Duration
}

func (o outcome) find(name string) (series, bool) {
	for _, s := range o.series {
		if s.subject.name == name && s.failed == nil && len(s.cells) > 0 {
			return s, true
		}
	}
	return series{}, false
}

// measure runs the rounds of a group. Each round measures every subject in turn, so that changes on
// the machine affect all of them.
func (b *bench) measure(ctx context.Context, g group) outcome {
	began := time.Now()
	o := outcome{group: g}
	if o.plan, o.failed = g.prepare(ctx, b); o.failed != nil {
		return o
	}
	for _, s := range o.plan.subjects {
		if b.options.subjects.MatchString(s.name) {
			o.series = append(o.series, series{subject: s})
		}
	}
	for round := range b.options.rounds {
		for i := range o.series {
			at := &o.series[(i+round)%len(o.series)]
			if at.failed != nil || ctx.Err() != nil || (at.subject.once && round > 0) {
				continue
			}
			b.say("%s %d/%d: %s", g.name, round+1, b.options.rounds, at.subject.name)
			c, err := b.cell(ctx, g, at.subject, round)
			if at.failed = err; err == nil {
				at.cells = append(at.cells, c)
			}
			b.settle(ctx)
		}
	}
	o.took = time.Since(began)
	return o
}

// cell measures a subject once.
func (b *bench) cell(ctx context.Context, g group, s subject, round int) (c cell, err error) {
	if s.before != nil {
		if err := s.before(ctx); err != nil {
			return c, err
		}
	}
	if s.after != nil {
		defer func() {
			if after := s.after(context.WithoutCancel(ctx)); err == nil {
				err = after
			}
		}()
	}
	if s.measure != nil {
		c, err = s.measure(ctx)
		if c.Memory == 0 && len(s.servers) > 0 {
			c.Memory = memoryOf(s.servers)
		}
		return c, err
	}
	if s.fresh != nil {
		if s.load, err = s.fresh(); err != nil {
			return c, err
		}
	}
	seconds := time.Duration(b.options.seconds * float64(time.Second))
	var used time.Duration
	var memory int64
	profiled := func() {}
	c, err = s.load.run(ctx, seconds/4, seconds, func(begin bool) {
		if begin {
			profiled = b.profile(g, s, round, seconds)
			used -= cpuOf(s.servers)
			return
		}
		used += cpuOf(s.servers)
		memory = memoryOf(s.servers)
	})
	profiled()
	c.CPU, c.Memory = used, memory
	if err == nil && c.Failed > c.Requests/100 {
		err = fmt.Errorf("%d of %d requests were not answered as expected", c.Failed, c.Requests+c.Failed)
	}
	return c, err
}

// How long settle waits for the product to be idle, and the CPU usage that counts as idle: less
// than a tenth of a core.
const (
	longestSettle = 15 * time.Second
	settleLook    = 200 * time.Millisecond
	quietCPU      = settleLook / 10
)

// settle waits until the product is idle, so that events from the previous cell are not stored at
// the expense of the next one.
func (b *bench) settle(ctx context.Context) {
	if b.product.gateway == nil {
		return
	}
	pids := b.pids()
	for until := time.Now().Add(longestSettle); time.Now().Before(until) && ctx.Err() == nil; {
		before := cpuOf(pids)
		sleep(ctx, settleLook)
		if cpuOf(pids)-before < quietCPU {
			return
		}
	}
}

// verdict is a target with its measurement.
type verdict struct {
	target
	ratio    ratio
	measured string // the figure of a target without baseline
	ok       bool
	missing  bool
}

// judge compares the targets of a group with the measurements.
func (o outcome) judge() []verdict {
	var all []verdict
	for _, t := range o.plan.targets {
		v := verdict{target: t, missing: true}
		s, there := o.find(t.subject)
		base, baseThere := o.find(t.baseline)
		switch {
		case !there || (t.baseline != "" && !baseThere):
		case t.baseline != "":
			v.ratio, v.missing = ratioOf(s.cells, base.cells, t.figure.of), false
			if s.subject.once != base.subject.once { // one of the two has only one cell
				m := medianOf(s.cells, t.figure.of) / medianOf(base.cells, t.figure.of)
				v.ratio = ratio{Median: m, Low: m, High: m, Rounds: 1}
			}
		default:
			figure := medianOf(s.cells, t.figure.of)
			v.ratio, v.missing = ratio{Median: figure / t.limit, Rounds: 1}, false
			v.measured = t.write(figure)
		}
		v.ok = !v.missing && ((t.atLeast && v.ratio.Median >= t.bound) || (!t.atLeast && v.ratio.Median <= t.bound))
		all = append(all, v)
	}
	return all
}
