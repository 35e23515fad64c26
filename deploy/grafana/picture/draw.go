package main

import (
	"fmt"
	"math"

	"github.com/go-analyze/charts"
)

// The picture's measures, in pixels. Grafana's grid has 24 columns.
const (
	pictureWidth = 1200
	columns      = 24
	rowHeight    = 32
	margin       = 12
	gap          = 8
	headHeight   = 44
	footHeight   = 26
	padding      = 10
	titleHeight  = 32
)

// The sizes of letters, in points.
const (
	smallLetters = 8
	letters      = 9.5
	largeLetters = 14
	statLetters  = 20
)

var (
	pageColour   = charts.Color{R: 244, G: 245, B: 245, A: 255}
	panelColour  = charts.Color{R: 255, G: 255, B: 255, A: 255}
	frameColour  = charts.Color{R: 221, G: 223, B: 226, A: 255}
	textColour   = charts.Color{R: 36, G: 41, B: 46, A: 255}
	quietColour  = charts.Color{R: 110, G: 116, B: 124, A: 255}
	statColour   = charts.Color{R: 55, G: 135, B: 45, A: 255}
	seriesColour = []charts.Color{
		{R: 86, G: 166, B: 75, A: 255}, {R: 224, G: 180, B: 0, A: 255}, {R: 50, G: 116, B: 217, A: 255},
		{R: 250, G: 100, B: 0, A: 255},
		{R: 224, G: 47, B: 68, A: 255}, {R: 143, G: 59, B: 184, A: 255}, {R: 30, G: 170, B: 180, A: 255},
		{R: 120, G: 80, B: 50, A: 255},
		{R: 230, G: 110, B: 170, A: 255}, {R: 100, G: 110, B: 120, A: 255},
	}
)

// draw returns a dashboard as PNG.
func (d *dashboard) draw(caption string) ([]byte, error) {
	rows := 0
	for _, p := range d.Panels {
		rows = max(rows, p.GridPos.Y+p.GridPos.H)
	}
	height := headHeight + rows*rowHeight + footHeight
	page := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputPNG, Width: pictureWidth,
		Height: height})
	page.FilledRect(0, 0, pictureWidth, height, pageColour, pageColour, 0)
	write(page, d.Title, margin, 30, largeLetters, textColour)
	for _, p := range d.Panels {
		if err := p.draw(page.Child(charts.PainterBoxOption(p.box()))); err != nil {
			return nil, fmt.Errorf("panel %q: %w", p.Title, err)
		}
	}
	write(page, caption, margin, height-10, smallLetters, quietColour)
	raw, err := page.Bytes()
	if err != nil {
		return nil, err
	}
	return shrink(raw)
}

// box is where a panel lies, without the gaps around it.
func (p *panel) box() charts.Box {
	column := float64(pictureWidth-2*margin+gap) / columns
	left := margin + int(math.Round(float64(p.GridPos.X)*column))
	top := headHeight + p.GridPos.Y*rowHeight
	return charts.Box{
		Left: left, Top: top, IsSet: true,
		Right:  left + int(math.Round(float64(p.GridPos.W)*column)) - gap,
		Bottom: top + p.GridPos.H*rowHeight - gap,
	}
}

// draw draws a panel on a painter of its size.
func (p *panel) draw(on *charts.Painter) error {
	if p.Type == kindRow {
		write(on, p.Title, 2, on.Height()-4, letters+1, textColour)
		return nil
	}
	on.FilledRect(0, 0, on.Width(), on.Height(), panelColour, frameColour, 1)
	write(on, shorten(on, p.Title, letters, on.Width()-2*padding), padding, 19, letters, textColour)
	switch {
	case len(p.series) == 0:
		text := "no data"
		write(on, text, (on.Width()-width(on, text, letters))/2, (on.Height()+titleHeight)/2, letters, quietColour)
		return nil
	case p.Type == kindStat:
		p.drawStats(on)
		return nil
	}
	return p.drawLines(on)
}

// drawStats writes the newest value of each series, side by side.
func (p *panel) drawStats(on *charts.Painter) {
	each := (on.Width() - 2*padding) / len(p.series)
	for i, s := range p.series {
		left := padding + i*each
		centre := func(text string, y int, size float64, colour charts.Color) {
			text = shorten(on, text, size, each-4)
			write(on, text, left+(each-width(on, text, size))/2, y, size, colour)
		}
		middle := (titleHeight + on.Height()) / 2
		centre(inUnit(p.FieldConfig.Defaults.Unit, s.last()), middle+12, statLetters, statColour)
		if len(p.series) > 1 {
			centre(s.name, on.Height()-padding, smallLetters, quietColour)
		}
	}
}

func write(on *charts.Painter, text string, x, y int, size float64, colour charts.Color) {
	on.Text(text, x, y, 0, font(size, colour))
}

func width(on *charts.Painter, text string, size float64) int {
	return on.MeasureText(text, 0, font(size, textColour)).Width()
}

func font(size float64, colour charts.Color) charts.FontStyle {
	return charts.FontStyle{Font: charts.GetDefaultFont(), FontSize: size, FontColor: colour}
}

// shorten cuts a text off where it would be too wide.
func shorten(on *charts.Painter, text string, size float64, wide int) string {
	if width(on, text, size) <= wide {
		return text
	}
	letters := []rune(text)
	for len(letters) > 0 && width(on, string(letters)+"…", size) > wide {
		letters = letters[:len(letters)-1]
	}
	return string(letters) + "…"
}
