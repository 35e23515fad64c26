package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Sizes in the picture, in pixels.
const (
	pictureWidth = 960
	labelWidth   = 400
	barLeft      = labelWidth + 20
	barWidth     = 330 // length of a bar that is cut off
	barHeight    = 16
	lineHeight   = 26
	longestBar   = 3.0 // a bar of three times the promise has the full width
)

// The colours of bars.
const (
	colourOK      = "#2f855a"
	colourMissed  = "#c05621"
	colourOther   = "#5a7fa8"
	colourBaseCol = "#94a3b8"
)

// bar is a line of the picture; at 1 lies the promise or the reference.
type bar struct {
	label, text string
	value       float64
	colour      string
}

// picture draws the targets beside the measured ratios, and the forwarders beside each other.
func (r report) picture() string {
	var b strings.Builder
	y := 34
	y = panel(&b, y, "Targets: how much of its promise each ratio keeps (the line is the promise; longer is better)",
		r.targetBars())
	for _, o := range r.outcomes {
		if o.group.name == "forward" && o.failed == nil {
			y = panel(&b, y+14, "Forwarding: throughput ÷ "+o.plan.reference()+" (the line is 1; longer is better)",
				o.rateBars())
		}
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="13">
<rect width="100%%" height="100%%" fill="#ffffff"/>
%[3]s</svg>
`, pictureWidth, y, b.String())
}

// panel draws bars below a title, from y down, and returns the y of its end.
func panel(b *strings.Builder, y int, title string, bars []bar) int {
	fmt.Fprintf(b, `<text x="16" y="%d" font-size="15" font-weight="bold" fill="#1a202c">%s</text>`+"\n", y,
		html.EscapeString(title))
	top := y + 10
	y = top
	for _, bar := range bars {
		length := math.Min(bar.value, longestBar) / longestBar * barWidth
		if math.IsNaN(length) {
			length = 0
		}
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end" fill="#1a202c">%s</text>`, labelWidth+10, y+barHeight,
			html.EscapeString(bar.label))
		fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`, barLeft, y+3, length,
			barHeight, bar.colour)
		fmt.Fprintf(b, `<text x="%.1f" y="%d" fill="#4a5568">%s</text>`+"\n", float64(barLeft)+length+8, y+barHeight,
			html.EscapeString(bar.text))
		y += lineHeight
	}
	one := barLeft + barWidth/longestBar
	fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#1a202c" stroke-dasharray="4 3"/>`+"\n", one, top,
		one, y)
	return y + 24
}

func (r report) targetBars() []bar {
	var bars []bar
	for _, o := range r.outcomes {
		for _, v := range o.judge() {
			if v.informative {
				continue
			}
			kept := v.ratio.Median / v.bound
			if !v.atLeast {
				kept = v.bound / v.ratio.Median
			}
			text := number(v.ratio.Median) + ", promised " + v.promise()
			if v.measured != "" {
				text = v.measured
			}
			colour := colourMissed
			if v.ok {
				colour = colourOK
			}
			if v.missing {
				kept, text = 0, "not measured"
			}
			bars = append(bars, bar{label: v.what, text: text, value: kept, colour: colour})
		}
	}
	return bars
}

func (o outcome) rateBars() []bar {
	base, there := o.find(o.plan.reference())
	var bars []bar
	for _, s := range o.series {
		if !there || s.failed != nil || len(s.cells) == 0 {
			continue
		}
		ratio := ratioOf(s.cells, base.cells, cell.rate)
		colour := colourBaseCol
		if strings.HasPrefix(s.subject.name, "gateway") || s.subject.name == storedName {
			colour = colourOther
		}
		bars = append(bars, bar{label: s.subject.name, text: number(ratio.Median), value: ratio.Median, colour: colour})
	}
	return bars
}
