package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
)

// Inventory says what the lake holds, of what was asked for.
type Inventory struct {
	Open, Closed    Files // objects of the days in question, whatever groups they hold; Rows is not set
	Days            int   // that have rows
	Rows, Revisions int   // sums over Series
	Series          []SeriesInventory
}

// SeriesInventory is what the lake holds of one series. Series are sorted by group,
// metric and stat.
type SeriesInventory struct {
	Group, Metric string
	Stat          api.Stat
	Rows          int       // one for each time
	Revisions     int       // rows that others have overruled, and repetitions; compaction removes them
	First, Last   time.Time // of the rows; First's slot begins the series, Last's ends it
	Missing       int       // slots without a row between First and Last
	Gaps          []Gap     // the first maxGaps runs of such slots
}

// Gap is a run of missing slots, [From, To).
type Gap struct{ From, To time.Time }

const maxGaps = 100

// Inspect returns what the lake holds of what the query selects. Gaps are looked
// for at q.Step; 0 looks for none. Days are read one after the other, so that the
// memory it takes is that of a day. Parts that cannot be read are treated as by
// Scan.
func (d *Dataset) Inspect(ctx context.Context, q Query) (Inventory, error) {
	var inv Inventory
	if q.Step < 0 || q.Step%time.Microsecond != 0 {
		return inv, fmt.Errorf("inspect: a step of %s; want whole microseconds, or 0", q.Step)
	}
	lo, hi := micros(q.From, q.To)
	days := map[time.Time]bool{}
	for prefix, files := range map[string]*Files{datePrefix: &inv.Open, closedPrefix: &inv.Closed} {
		infos, err := d.list(ctx, prefix, lo, hi)
		if err != nil {
			return inv, fmt.Errorf("inspect: %w", err)
		}
		for _, info := range infos {
			files.Count++
			files.Bytes += info.Size
			days[dayOf(info.Key)] = true
		}
	}
	found := map[series]*SeriesInventory{}
	var corrupt []error
	for _, day := range slices.SortedFunc(maps.Keys(days), time.Time.Compare) {
		of := q
		of.From, of.To = time.UnixMicro(max(lo, day.UnixMicro())), time.UnixMicro(min(hi, day.AddDate(0, 0, 1).UnixMicro()))
		parts, broken, err := each(ctx, d, of, of.selection())
		if err != nil {
			return inv, fmt.Errorf("inspect: %w", err)
		}
		corrupt = append(corrupt, broken...)
		if inspectDay(parts, q.Step, found) {
			inv.Days++
		}
	}
	for _, s := range found {
		inv.Rows += s.Rows
		inv.Revisions += s.Revisions
		inv.Series = append(inv.Series, *s)
	}
	slices.SortFunc(inv.Series, func(a, b SeriesInventory) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Stat, b.Stat))
	})
	return inv, errors.Join(corrupt...)
}

// inspectDay adds the rows of one day to those of the days before, and reports
// whether there are any.
func inspectDay(parts []*part, step time.Duration, found map[series]*SeriesInventory) bool {
	rows := map[series]int{}
	for _, p := range parts {
		for _, r := range p.rows {
			rows[p.series[r.series]]++
		}
	}
	for name, kept := range winners(parts) {
		s := found[name]
		if s == nil {
			s = &SeriesInventory{Group: name.group, Metric: name.metric, Stat: name.stat, First: time.UnixMicro(kept[0].time).UTC()}
			found[name] = s
		}
		for _, r := range kept {
			at := time.UnixMicro(r.time).UTC()
			if next := s.Last.Add(step); step > 0 && s.Rows > 0 && at.After(next) {
				s.Missing += int((at.Sub(next) + step - 1) / step)
				if len(s.Gaps) < maxGaps {
					s.Gaps = append(s.Gaps, Gap{next, at})
				}
			}
			s.Last = at
			s.Rows++
		}
		s.Revisions += rows[name] - len(kept)
	}
	return len(rows) > 0
}
