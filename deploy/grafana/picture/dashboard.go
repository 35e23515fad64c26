package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The kinds of panels that can be drawn.
const (
	kindRow        = "row"
	kindStat       = "stat"
	kindTimeseries = "timeseries"
)

// dashboard is what is drawn of a dashboard of Grafana.
type dashboard struct {
	file       string
	Title      string   `json:"title"`
	Panels     []*panel `json:"panels"`
	Templating struct {
		List []struct {
			Name    string `json:"name"`
			Current struct {
				Value any `json:"value"`
			} `json:"current"`
		} `json:"list"`
	} `json:"templating"`
}

// panel is one tile, with what Prometheus answered for it.
type panel struct {
	Title       string                                `json:"title"`
	Type        string                                `json:"type"`
	GridPos     struct{ H, W, X, Y int }              `json:"gridPos"`
	Targets     []struct{ Expr, LegendFormat string } `json:"targets"`
	FieldConfig struct {
		Defaults struct {
			Unit   string `json:"unit"`
			Custom struct {
				Stacking struct {
					Mode string `json:"mode"`
				} `json:"stacking"`
			} `json:"custom"`
		} `json:"defaults"`
	} `json:"fieldConfig"`

	times  []time.Time
	series []series
}

// series is one line: its value at each of the panel's times, null where there is none.
type series struct {
	name   string
	values []float64
}

func readDashboard(path string) (*dashboard, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	board := &dashboard{file: filepath.Base(path)}
	if err := json.Unmarshal(raw, board); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, p := range board.Panels {
		if !slices.Contains([]string{kindRow, kindStat, kindTimeseries}, p.Type) {
			return nil, fmt.Errorf("%s: panel %q is of the type %s, which cannot be drawn", path, p.Title, p.Type)
		}
	}
	return board, nil
}

// drawn counts the panels that show something.
func (d *dashboard) drawn() int {
	n := 0
	for _, p := range d.Panels {
		if p.Type != kindRow {
			n++
		}
	}
	return n
}

// empty returns the titles of the panels for which Prometheus had nothing.
func (d *dashboard) empty() []string {
	var out []string
	for _, p := range d.Panels {
		if p.Type != kindRow && len(p.series) == 0 {
			out = append(out, p.Title)
		}
	}
	return out
}

var variable = regexp.MustCompile(`\$\{?([a-zA-Z_][a-zA-Z0-9_]*)\}?`)

// expand puts values in the place of variables, as Grafana does. One that stands for all of
// something becomes a pattern for anything.
func (d *dashboard) expand(expr string, builtin map[string]string) (string, error) {
	var unknown []string
	out := variable.ReplaceAllStringFunc(expr, func(found string) string {
		name := variable.FindStringSubmatch(found)[1]
		if value, ok := builtin[name]; ok {
			return value
		}
		for _, v := range d.Templating.List {
			if v.Name == name {
				return pattern(v.Current.Value)
			}
		}
		unknown = append(unknown, found)
		return found
	})
	if len(unknown) > 0 {
		return "", fmt.Errorf("unknown variables: %s", strings.Join(unknown, ", "))
	}
	return out, nil
}

// pattern is the value of a variable in a query: one of several, or all.
func pattern(value any) string {
	var all []string
	switch v := value.(type) {
	case string:
		all = []string{v}
	case []any:
		for _, one := range v {
			all = append(all, fmt.Sprint(one))
		}
	}
	switch {
	case len(all) == 0, slices.Contains(all, "$__all"):
		return ".*"
	case len(all) == 1:
		return all[0]
	}
	return "(" + strings.Join(all, "|") + ")"
}

var placeholder = regexp.MustCompile(`\{\{\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*\}\}`)

// legend is the name of a series: the format with its labels, or the labels when there is none.
func legend(format string, labels map[string]string, otherwise string) string {
	if format == "" {
		return otherwise
	}
	name := placeholder.ReplaceAllStringFunc(format, func(found string) string {
		return labels[placeholder.FindStringSubmatch(found)[1]]
	})
	return strings.Join(strings.Fields(name), " ")
}
