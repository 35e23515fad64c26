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
