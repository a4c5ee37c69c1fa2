package view

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/forescale/forescale/api"
)

const (
	defaultRange = 24 * time.Hour
	longestRange = 90 * 24 * time.Hour
	MaxPoints    = 2000 // in one series of an answer
	MinPoints    = 10
	DefaultLead  = defaultLead
	maxDecisions = 100  // in one answer
	maxTicks     = 2200 // whose records are read for one answer: a week of slots of five minutes
	newestTicks  = 50   // of them that are never passed over
)

// Query is a range of one group's history.
type Query struct {
	Group    string
	From, To time.Time // zero: up to the newest tick or the present, and a day back
	Lead     int       // steps, at least 1
	Points   int       // MinPoints to MaxPoints: how many values a series may have
}

// Group returns one group over a range. The error is a 404 problem when neither the
// data nor the journal knows the group there, and a 400 problem for a range that is
// none.
func (v *View) Group(ctx context.Context, q Query) (api.GroupHistory, error) {
	out := api.GroupHistory{Group: q.Group, Now: v.Now().UTC(), Replay: v.Replay, StepSeconds: int(v.Step / time.Second), TickStride: 1,
		Series: map[string]api.Series{}, Units: map[string]string{}, Lead: api.LeadForecast{Steps: q.Lead},
		Capacity: []api.CapacityPoint{}, Decisions: []api.Decision{}, Marks: []api.Mark{}, Sensors: map[string]api.Sensor{}}
	g, err := v.settle(ctx, &q, &out)
	if err != nil {
		return out, err
	}
	out.From, out.To, out.BucketSeconds = q.From, q.To, int(g.bucket/time.Second)
	decisions := v.decisions(ctx, q, &out)
	known := v.addSeries(ctx, g, &out)
	if ctx.Err() != nil {
		return out, context.Cause(ctx)
	}
	if !known && len(decisions) == 0 && len(out.Warnings) == 0 {
		return out, problem(http.StatusNotFound, "group", "nothing is known of group %.80q from %s to %s",
			q.Group, q.From.Format(time.RFC3339), q.To.Format(time.RFC3339))
	}
	addForecasts(&out, g, decisions, q.Lead)
	addCapacity(&out, g, decisions)
	addMarks(&out, decisions)
	out.Events = v.events(q.From, q.To.Add(lastDay))
	v.addArrival(&out)
	return out, nil
}

// settle fills in the range that the query leaves open, and lays buckets over it that
// are few enough. Its end is the newest tick, because the data of a replay knows
// nothing of the server's clock.
func (v *View) settle(ctx context.Context, q *Query, out *api.GroupHistory) (grid, error) {
	if q.To.IsZero() {
		rec, err := v.latest(ctx)
		if err != nil {
			out.Warnings = append(out.Warnings, "journal: "+err.Error())
		}
		q.To = v.present(rec)
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-defaultRange)
	}
	if !q.From.Before(q.To) || q.To.Sub(q.From) > longestRange {
		return grid{}, problem(http.StatusBadRequest, "from", "the range from %s to %s must be longer than nothing and at most %d days",
			q.From.UTC().Format(time.RFC3339), q.To.UTC().Format(time.RFC3339), longestRange/(24*time.Hour))
	}
	g := newGrid(q.From, q.To, v.Step, q.Points)
	q.From, q.To = g.from, g.end()
	return g, nil
}

// grid is a range of buckets of equal length, each of one or more slots. They begin at
// multiples of their length, whatever the range, so that one that moves on with time has
// the same buckets.
type grid struct {
	from         time.Time
	step, bucket time.Duration
	n            int
}

// newGrid returns the finest grid over a range with no more buckets than points.
func newGrid(from, to time.Time, step time.Duration, points int) grid {
	for k := max(1, int(to.Sub(from)/step)/max(1, points)); ; k++ {
		bucket := time.Duration(k) * step
		first, end := from.UTC().Truncate(bucket), to.UTC().Truncate(bucket)
		if end.Before(to) {
			end = end.Add(bucket)
		}
		if n := int(end.Sub(first) / bucket); n <= points || points <= 0 {
			return grid{first, step, bucket, n}
		}
	}
}

func (g grid) end() time.Time           { return g.time(g.n) }
func (g grid) time(i int) time.Time     { return g.from.Add(time.Duration(i) * g.bucket) }
func (g grid) slots() int               { return int(g.bucket / g.step) }
func (g grid) index(at time.Time) int   { return int(floorDiv(at.Sub(g.from), g.bucket)) }
func (g grid) holds(at time.Time) bool  { return !at.Before(g.from) && at.Before(g.end()) }
func floorDiv(a, b time.Duration) int64 { return int64((a - ((a%b)+b)%b) / b) }

// decisions returns the group's decisions in the range, oldest first, and those
// before it whose forecasts reach into it. Of a range with more ticks than can be
// read, those are read that lie a stride apart, and the newest.
func (v *View) decisions(ctx context.Context, q Query, out *api.GroupHistory) []*api.Decision {
	warn := func(err error) {
		if err != nil {
			out.Warnings = append(out.Warnings, fmt.Sprintf("journal: %.500s", err))
		}
	}
	ticks, err := v.Journal.Ticks(ctx, q.From.Add(-time.Duration(q.Lead)*v.Step), q.To.Add(1)) // the tick at the end of the range too
	warn(err)
	ticks, out.TickStride = thinTicks(ticks, v.Step)
	decisions, err := v.past.decisions(ctx, v.Journal, q.Group, ticks)
	warn(err)
	return decisions
}

// thinTicks returns at most about maxTicks of the given ones, in order, and how many
// steps lie between them: the same ones whichever range they are in.
func thinTicks(ticks []time.Time, step time.Duration) ([]time.Time, int) {
	stride := (len(ticks) + maxTicks - 1) / maxTicks
	if stride <= 1 {
		return ticks, 1
	}
	kept := make([]time.Time, 0, maxTicks+newestTicks)
	for i, tick := range ticks {
		if (tick.Unix()/int64(step/time.Second))%int64(stride) == 0 || i >= len(ticks)-newestTicks {
			kept = append(kept, tick)
		}
	}
	return kept, stride
}

// arrival is when a slot was first seen.
type arrival struct{ end, seen time.Time }

const maxRemembered = 256 // groups whose newest slot is remembered

// addArrival notes when the group's newest slot was first seen here.
func (v *View) addArrival(out *api.GroupHistory) {
	if out.NewestEnd.IsZero() {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	old, known := v.arrivals[out.Group]
	if !known && len(v.arrivals) >= maxRemembered {
		clear(v.arrivals) // forgotten groups are merely seen anew
	}
	if out.NewestEnd.After(old.end) {
		old = arrival{out.NewestEnd, out.Now}
		v.arrivals[out.Group] = old
	}
	if out.NewestEnd.Equal(old.end) {
		out.NewestAt = old.seen
	}
}
