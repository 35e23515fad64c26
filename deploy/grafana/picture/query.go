package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/go-analyze/charts"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// mostPoints is how many points a line may have: more cannot be told apart.
const mostPoints = 120

// asker asks Prometheus what Grafana would ask it for one period.
type asker struct {
	api     v1.API
	period  v1.Range
	times   []time.Time
	builtin map[string]string
	stderr  io.Writer
}

func newAsker(api v1.API, o options, stderr io.Writer) *asker {
	span := o.to.Sub(o.from)
	step := o.scrape * time.Duration(math.Ceil(float64(span)/mostPoints/float64(o.scrape)))
	a := &asker{api: api, period: v1.Range{Start: o.from, End: o.to, Step: step}, stderr: stderr}
	for t := o.from; !t.After(o.to); t = t.Add(step) {
		a.times = append(a.times, t)
	}
	seconds := func(d time.Duration) string { return fmt.Sprintf("%ds", int(d.Seconds())) }
	a.builtin = map[string]string{
		"__interval":      seconds(step),
		"__rate_interval": seconds(max(step+o.scrape, 4*o.scrape)), // Grafana's rule
		"__range":         seconds(span),
	}
	return a
}

// caption says what the pictures are.
func (a *asker) caption() string {
	return fmt.Sprintf("Drawn by deploy/grafana/picture from Prometheus, %s to %s UTC; not a screenshot of Grafana.",
		a.period.Start.UTC().Format("2 January 2006 15:04"), a.period.End.UTC().Format("15:04"))
}

// fill asks every query of a dashboard. What it returns names each that failed.
func (a *asker) fill(ctx context.Context, d *dashboard) error {
	var failures []error
	for _, p := range d.Panels {
		if p.Type == kindRow {
			continue
		}
		p.times = a.times
		for _, target := range p.Targets {
			found, err := a.ask(ctx, d, target.Expr, target.LegendFormat)
			if err != nil {
				failures = append(failures,
					fmt.Errorf("dashboard %q (%s), panel %q, query %s: %w", d.Title, d.file, p.Title, target.Expr, err))
			}
			p.series = append(p.series, found...)
		}
	}
	return errors.Join(failures...)
}

func (a *asker) ask(ctx context.Context, d *dashboard, expr, format string) ([]series, error) {
	query, err := d.expand(expr, a.builtin)
	if err != nil {
		return nil, err
	}
	value, warnings, _, err := a.api.QueryRange(ctx, query, a.period)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		fmt.Fprintf(a.stderr, "picture: %s, query %s: %s\n", d.file, query, w)
	}
	matrix, ok := value.(model.Matrix)
	if !ok {
		return nil, fmt.Errorf("the answer is a %s instead of a matrix", value.Type())
	}
	var out []series
	for _, stream := range matrix {
		labels := map[string]string{}
		for k, v := range stream.Metric {
			labels[string(k)] = string(v)
		}
		s := series{name: legend(format, labels, stream.Metric.String()), values: a.spread(stream.Values)}
		if s.any() {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(x, y series) int { return cmp.Compare(x.name, y.name) })
	return out, nil
}

// spread puts samples in their places in time.
func (a *asker) spread(samples []model.SamplePair) []float64 {
	out := make([]float64, len(a.times))
	for i := range out {
		out[i] = charts.GetNullValue()
	}
	for _, s := range samples {
		at := int(math.Round(float64(s.Timestamp.Time().Sub(a.period.Start)) / float64(a.period.Step)))
		if v := float64(s.Value); at >= 0 && at < len(out) && !math.IsNaN(v) && !math.IsInf(v, 0) {
			out[at] = v
		}
	}
	return out
}

// known returns the values that are there.
func (s series) known() []float64 {
	return slices.DeleteFunc(slices.Clone(s.values), func(v float64) bool { return v == charts.GetNullValue() })
}

func (s series) any() bool { return len(s.known()) > 0 }

// last is the newest value that is there, as Grafana's lastNotNull.
func (s series) last() float64 {
	known := s.known()
	return known[len(known)-1]
}

func (s series) max() float64 { return slices.Max(s.known()) }
