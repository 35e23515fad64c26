package main

import (
	"math"
	"strconv"
)

// scale is a name for numbers from a size on.
type scale struct {
	from float64
	name string
}

// inUnit writes a value in one of Grafana's units, as short as its axis does.
func inUnit(unit string, v float64) string {
	switch unit {
	case "s":
		return scaled(v, []scale{{60, " min"}, {1, " s"}, {1e-3, " ms"}, {1e-6, " µs"}})
	case "bytes":
		return scaled(v, []scale{{1 << 30, " GiB"}, {1 << 20, " MiB"}, {1 << 10, " KiB"}, {1, " B"}})
	case "percentunit":
		return digits(v*100) + " %"
	case "reqps":
		return digits(v) + " req/s"
	case "eps":
		return digits(v) + " evt/s"
	case "cps":
		return digits(v) + " c/s"
	}
	return scaled(v, []scale{{1e9, " G"}, {1e6, " M"}, {1e3, " k"}, {1, ""}})
}

func scaled(v float64, scales []scale) string {
	if v == 0 {
		return "0"
	}
	for _, s := range scales {
		if math.Abs(v) >= s.from {
			return digits(v/s.from) + s.name
		}
	}
	smallest := scales[len(scales)-1]
	return digits(v/smallest.from) + smallest.name
}

// digits keeps three of them, and no zeros at the end.
func digits(v float64) string {
	decimals := 0
	switch size := math.Abs(v); {
	case size == 0 || size >= 100:
	case size >= 10:
		decimals = 1
	case size >= 0.1:
		decimals = 2
	default:
		decimals = 4
	}
	shift := math.Pow10(decimals)
	return strconv.FormatFloat(math.Round(v*shift)/shift, 'f', -1, 64)
}

// axisSteps is how many steps an axis has.
const axisSteps = 4

// axisTop is where an axis from zero ends, so that it has round labels: a fitting step, axisSteps
// times.
func axisTop(unit string, greatest float64, whole bool) float64 {
	if greatest <= 0 {
		return axisSteps * smallestStep(whole)
	}
	base := 1.0
	switch {
	case unit == "bytes":
		for base*1024 <= greatest {
			base *= 1024
		}
	case unit == "s" && greatest >= 60:
		base = 60
	}
	least := greatest / axisSteps / base
	power := math.Pow10(int(math.Floor(math.Log10(least))))
	for _, n := range []float64{1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10} {
		if step := n * power; step >= least*(1-1e-9) {
			if whole && base == 1 {
				step = math.Ceil(step)
			}
			return step * base * axisSteps
		}
	}
	return greatest
}

// smallestStep is the step of an axis that has nothing to show.
func smallestStep(whole bool) float64 {
	if whole {
		return 1
	}
	return 0.25
}
