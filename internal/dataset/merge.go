package dataset

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
)

// merge returns the rows of parts, the winner of each (group, metric, stat, time)
// only.
func merge(parts []*part) []api.Sample {
	total := 0
	for _, p := range parts {
		total += len(p.rows)
	}
	out := make([]api.Sample, 0, total)
	eachGroup(parts, func(samples []api.Sample) { out = append(out, samples...) })
	return out
}

// eachGroup calls use with the merged rows of each group that has some, in turn, in
// a slice that is used again.
func eachGroup(parts []*part, use func([]api.Sample)) {
	var out []api.Sample
	for s, rows := range winners(parts) {
		if len(out) > 0 && out[0].Group != s.group {
			use(out)
			out = out[:0]
		}
		for _, r := range rows {
			out = append(out, api.Sample{
				Group: s.group, Metric: s.metric, Stat: s.stat, Time: time.UnixMicro(r.time).UTC(), Value: r.value,
			})
		}
	}
	if len(out) > 0 {
		use(out)
	}
}

// winners yields each series that has rows in parts, in order, with the winner of
// each time, in order; row.series means nothing there, and the slice is the
// caller's only until it goes on.
//
// The winner is the row with the later ingested_at, and on a tie the one with the
// greater value. The order says nothing of the parts that rows came in: merging in
// any sequence, by and by or all at once, gives the same. That is what lets a
// compacted file stand for its parts, beside them or in their place (ADR 15).
func winners(parts []*part) iter.Seq2[series, []row] {
	return func(yield func(series, []row) bool) {
		names, found := bySeries(parts)
		order := make([]int, len(names))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return compareSeries(names[a], names[b]) })
		for _, at := range order {
			if rows := keepWinners(found[at]); len(rows) > 0 && !yield(names[at], rows) {
				return
			}
			found[at] = nil
		}
	}
}

// bySeries returns the series of all parts, and the rows of each.
func bySeries(parts []*part) (names []series, found [][]row) {
	index := map[series]int{}
	for _, p := range parts {
		local := make([]int, len(p.series)) // the part's series to ours
		at := -1
		for i, s := range p.series {
			// Parts name the same series in the same order, nearly always.
			if at++; at >= len(names) || names[at] != s {
				known := false
				if at, known = index[s]; !known {
					at = len(names)
					index[s] = at
					names = append(names, s)
					found = append(found, nil)
				}
			}
			local[i] = at
		}
		for _, r := range p.rows {
			at := local[r.series]
			found[at] = append(found[at], r)
		}
	}
	return names, found
}

func compareSeries(a, b series) int {
	return cmp.Or(strings.Compare(a.group, b.group), strings.Compare(a.metric, b.metric), strings.Compare(string(a.stat), string(b.stat)))
}

// keepWinners sorts the rows of one series by time and leaves the winner of each.
func keepWinners(rows []row) []row {
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.ingested, b.ingested), cmp.Compare(a.value, b.value))
	})
	kept := rows[:0]
	for i, r := range rows {
		if i+1 < len(rows) && rows[i+1].time == r.time {
			continue
		}
		kept = append(kept, r)
	}
	return kept
}
