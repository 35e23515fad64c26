package activity

import "time"

const (
	bucketWidth  = 15 * time.Minute
	bucketsOfDay = int(oneDay / bucketWidth) // 96, as the migration has it
	// manyRecords is from how many records of a day on its user has a histogram of it. So many are
	// walked over along the key in under a millisecond, and so is a bucket of a day that has a
	// hundred times as many.
	manyRecords = 4000
)

func bucketOf(t time.Time) int { return int(t.Sub(dayOf(t)) / bucketWidth) }

// histogram says when in a day the records that a filter selects were made, as far as they are
// counted.
type histogram struct {
	day     time.Time
	until   time.Time // records of the day before it are counted
	records int64     // of the day, as activity_daily has them
	buckets [bucketsOfDay]int64
}

// whole reports whether the buckets have all the records. They do not when the day is not busy, or
// when a replica of a release that does not know buckets has counted some of them. Buckets never
// have too many, so when the sum is right each of them is.
func (h *histogram) whole() bool {
	var n int64
	for _, records := range h.buckets {
		n += records
	}
	return n == h.records
}

// bucket returns the stretch of a bucket as far as it is counted, and its records.
func (h *histogram) bucket(i int) span {
	from := h.day.Add(time.Duration(i) * bucketWidth)
	return span{from: from, to: earlier(from.Add(bucketWidth), h.until), records: h.buckets[i]}
}

// split parts a stretch of the day into its middle, which the buckets count, and its edges, which
// they do not: each shorter than a bucket when the histogram is whole, else there is one, which is
// everything.
func (h *histogram) split(part stretch) (middle span, edges []stretch) {
	m := stretch{part.from.Add(bucketWidth - 1).Truncate(bucketWidth), part.to.Truncate(bucketWidth)}
	if !part.to.Before(h.until) {
		m.to = h.until
	}
	if m.empty() || !h.whole() {
		return span{}, []stretch{part}
	}
	middle = span{from: m.from, to: m.to}
	for i := range h.buckets {
		if b := h.bucket(i); !b.from.Before(m.from) && b.from.Before(m.to) {
			middle.records += b.records
		}
	}
	for _, edge := range []stretch{{part.from, m.from}, {m.to, part.to}} {
		if !edge.empty() {
			edges = append(edges, edge)
		}
	}
	return middle, edges
}

// skip moves the newer end of p to before the buckets that it passes over, so that what is left to
// skip is less than one of them.
func (h *histogram) skip(p piece) piece {
	if !h.whole() {
		return p
	}
	for i := bucketsOfDay - 1; i >= 0; i-- {
		b := h.bucket(i)
		if !b.from.Before(p.to) {
			continue
		}
		if !b.to.Equal(p.to) || b.from.Before(p.from) || b.records > p.skip {
			break
		}
		p.to, p.records, p.skip = b.from, p.records-b.records, p.skip-b.records
	}
	return p
}
