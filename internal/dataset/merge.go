package dataset

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
)

// merge returns the rows of parts, the winner of each (group, metric, stat, time)
// only. Parts are in the order of their keys.
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
	index := map[series]int{}
	var names []series
	var found [][]row // by index of series; row.series holds the part's rank
	for rank, p := range parts {
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
			r.series = int32(rank)
			found[at] = append(found[at], r)
		}
	}
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return compareSeries(names[a], names[b]) })
	var out []api.Sample
	for i, at := range order {
		out = appendWinners(out, names[at], found[at])
		if i+1 < len(order) && names[order[i+1]].group == names[at].group {
			continue
		}
		if len(out) > 0 { // a part may hold rows of other times only
			use(out)
		}
		out = out[:0]
	}
}

func compareSeries(a, b series) int {
	return cmp.Or(strings.Compare(a.group, b.group), strings.Compare(a.metric, b.metric), strings.Compare(string(a.stat), string(b.stat)))
}

// appendWinners appends, for each time, the row that was ingested last.
func appendWinners(out []api.Sample, s series, rows []row) []api.Sample {
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.ingested, b.ingested), cmp.Compare(a.series, b.series))
	})
	for i, r := range rows {
		if i+1 < len(rows) && rows[i+1].time == r.time {
			continue
		}
		out = append(out, api.Sample{
			Group: s.group, Metric: s.metric, Stat: s.stat, Time: time.UnixMicro(r.time).UTC(), Value: r.value,
		})
	}
	return out
}
