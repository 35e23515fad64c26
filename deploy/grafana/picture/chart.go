package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/go-analyze/charts"
)

// The measures of the table under a chart, in pixels.
const (
	legendLine  = 15
	valueColumn = 78
	leastChart  = 104 // height that the legend leaves to the chart
	timeLabels  = 6
	narrow      = 420 // width of a panel that has room for fewer of them
)

// drawLines draws a chart of time and under it a table of its series: the newest value and the
// greatest.
func (p *panel) drawLines(on *charts.Painter) error {
	shown := min(len(p.series), (on.Height()-titleHeight-leastChart)/legendLine-1)
	if hidden := len(p.series) - shown; hidden > 0 {
		shown-- // its line says how many are hidden
	}
	top := on.Height() - padding - p.legendLines(shown)*legendLine
	chart := on.Child(charts.PainterBoxOption(p.inside(padding, titleHeight, on.Width()-padding, top)))
	if err := chart.LineChart(p.lines()); err != nil {
		return err
	}
	p.drawLegend(on, top, shown)
	return nil
}

// inside is a part of the panel, from its own corner.
func (p *panel) inside(left, top, right, bottom int) charts.Box {
	b := p.box()
	return charts.Box{Left: b.Left + left, Top: b.Top + top, Right: b.Left + right, Bottom: b.Top + bottom, IsSet: true}
}

func (p *panel) lines() charts.LineChartOption {
	unit := p.FieldConfig.Defaults.Unit
	values, colours := p.runs()
	o := charts.NewLineChartOptionWithData(values)
	o.Theme = charts.MakeTheme(charts.ThemeOption{
		AxisStrokeColor: frameColour, AxisSplitLineColor: frameColour, BackgroundColor: panelColour, TextColor: quietColour,
		SeriesColors: colours,
	})
	o.Padding = charts.Box{IsSet: true}
	o.Symbol = charts.Symbol{Shape: charts.SymbolNone}
	o.LineStrokeWidth = 1.4
	o.FillArea, o.FillOpacity = charts.Ptr(true), 22
	o.Legend.Show, o.Title.Show = charts.Ptr(false), charts.Ptr(false)
	o.StackSeries = charts.Ptr(p.stacked())
	o.XAxis.Labels, o.XAxis.LabelCount, o.XAxis.LabelFontStyle = clock(p.times), p.timeLabels(),
		font(smallLetters, quietColour)
	o.XAxis.BoundaryGap = charts.Ptr(false)
	o.YAxis[0].LabelFontStyle = font(smallLetters, quietColour)
	o.YAxis[0].LabelCount, o.YAxis[0].PreferNiceIntervals = axisSteps+1, charts.Ptr(false)
	o.YAxis[0].RangeValuePaddingScale = charts.Ptr(0.0)
	o.YAxis[0].ValueFormatter = func(v float64) string { return inUnit(unit, v) }
	if greatest, whole, negative := p.extent(values); !negative {
		o.YAxis[0].Min, o.YAxis[0].Max = charts.Ptr(0.0), charts.Ptr(axisTop(unit, greatest, whole))
	}
	return o
}

// stacked says whether the lines stand on each other.
func (p *panel) stacked() bool { return p.FieldConfig.Defaults.Custom.Stacking.Mode == "normal" }

// extent returns the greatest value that is drawn, and whether all are whole numbers, and any below
// zero.
func (p *panel) extent(lines [][]float64) (greatest float64, whole, negative bool) {
	whole = slices.Contains([]string{"short", "bytes"}, p.FieldConfig.Defaults.Unit)
	for at := range p.times {
		sum := 0.0
		for _, values := range lines {
			if at >= len(values) || values[at] == charts.GetNullValue() {
				continue
			}
			v := values[at]
			whole, negative, sum = whole && v == math.Trunc(v), negative || v < 0, sum+v
			if p.stacked() {
				v = sum
			}
			greatest = max(greatest, v)
		}
	}
	return greatest, whole, negative
}

// runs returns the lines to draw and their colours. A series with gaps is one line for each of its
// parts, because the area under a line with a gap is not drawn well; in a stack, a gap is zero, on
// which others stand.
func (p *panel) runs() (lines [][]float64, colours []charts.Color) {
	for i, s := range p.series {
		if p.stacked() {
			line := slices.Clone(s.values)
			for at, v := range line {
				if v == charts.GetNullValue() {
					line[at] = 0
				}
			}
			lines, colours = append(lines, line), append(colours, colour(i))
			continue
		}
		var line []float64
		for at, v := range s.values {
			if v == charts.GetNullValue() {
				line = nil
				continue
			}
			if line == nil {
				line = slices.Repeat([]float64{charts.GetNullValue()}, at)
				lines, colours = append(lines, nil), append(colours, colour(i))
			}
			line = append(line, v)
			lines[len(lines)-1] = line
		}
	}
	return lines, colours
}

// colour is that of the n-th series.
func colour(n int) charts.Color { return seriesColour[n%len(seriesColour)] }

// timeLabels counts the labels below the chart. The points between two of them are as many
// everywhere.
func (p *panel) timeLabels() int {
	if b := p.box(); b.Right-b.Left < narrow {
		return timeLabels - 2
	}
	return timeLabels
}

// clock writes times as labels, with seconds where they matter.
func clock(times []time.Time) []string {
	format := "15:04"
	if times[len(times)-1].Sub(times[0]) < 3*time.Minute {
		format = "15:04:05"
	}
	out := make([]string, len(times))
	for i, t := range times {
		out[i] = t.UTC().Format(format)
	}
	return out
}

// legendLines counts the lines of the table: a head, the series, and one for those that are hidden.
func (p *panel) legendLines(shown int) int {
	if shown < len(p.series) {
		return shown + 2
	}
	return shown + 1
}

// drawLegend writes the table from y down, greatest newest value first.
func (p *panel) drawLegend(on *charts.Painter, y, shown int) {
	unit := p.FieldConfig.Defaults.Unit
	right := on.Width() - padding
	column := func(text string, n int, colour charts.Color) {
		write(on, text, right-n*valueColumn-width(on, text, smallLetters), y, smallLetters, colour)
	}
	y += legendLine - 4
	column("last", 1, quietColour)
	column("max", 0, quietColour)
	for _, i := range p.byLast()[:shown] {
		s := p.series[i]
		y += legendLine
		on.FilledRect(padding, y-5, padding+12, y-2, colour(i), colour(i), 0)
		write(on, shorten(on, s.name, smallLetters, right-2*valueColumn-padding-18), padding+18, y, smallLetters, textColour)
		column(inUnit(unit, s.last()), 1, textColour)
		column(inUnit(unit, s.max()), 0, textColour)
	}
	if hidden := len(p.series) - shown; hidden > 0 {
		y += legendLine
		write(on, fmt.Sprintf("and %d more", hidden), padding+18, y, smallLetters, quietColour)
	}
}

// byLast returns the places of the series, greatest newest value first.
func (p *panel) byLast() []int {
	order := make([]int, len(p.series))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(p.series[y].last(), p.series[x].last()) })
	return order
}
