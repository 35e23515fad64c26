package main

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/png"
	"maps"
	"slices"
)

// mostColours is what a palette of PNG holds.
const mostColours = 256

// shrink keeps the most frequent colours of a PNG and puts the nearest of them in the place of the
// others, which are a few edges of letters and lines. That makes it half as large.
func shrink(raw []byte) ([]byte, error) {
	full, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	area := full.Bounds()
	count := map[color.RGBA]int{}
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			count[solid(full.At(x, y))]++
		}
	}
	frequent := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	var few color.Palette
	for _, c := range seriesColour { // of which a legend has a few pixels
		few = append(few, color.RGBA(c))
	}
	for _, c := range frequent[:min(len(frequent), mostColours-len(few))] {
		few = append(few, c)
	}
	place := make(map[color.RGBA]uint8, len(frequent))
	for _, c := range frequent {
		place[c] = uint8(few.Index(c))
	}
	out := image.NewPaletted(area, few)
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			out.SetColorIndex(x, y, place[solid(full.At(x, y))])
		}
	}
	var b bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, out)
	return b.Bytes(), err
}

// solid is a colour without transparency, of which a page has none.
func solid(c color.Color) color.RGBA {
	r, g, b, _ := c.RGBA()
	return color.RGBA{R: uint8(r >> 8), G: uint8(g >> 8), B: uint8(b >> 8), A: 255}
}
