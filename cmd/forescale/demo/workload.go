package demo

import (
	"fmt"
	"slices"
	"time"

	"github.com/forescale/forescale/internal/calendar"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/tidy"
)

// workload is what the demo replays: a load, and what was planned in advance.
type workload struct {
	name   string // for people
	demand *fleet.Demand
	plans  *calendar.Calendar
	notes  []string // what was mended on reading
}

// Workload says where a load comes from.
type Workload struct {
	Trace  string // path of a tidy CSV file; empty: a generated load
	Target string // column of Trace; may be empty when there is only one
	Seed   uint64 // of a generated load
}

// Demand returns the load alone. A generated one lasts the given number of days.
func (w Workload) Demand(days int) (*fleet.Demand, error) {
	if w.Trace != "" {
		l, err := fromTrace(w.Trace, w.Target)
		return l.demand, err
	}
	g, err := fleet.Generate(fleet.GenerateConfig{Seed: w.Seed, Days: days, Step: 5 * time.Minute})
	if err != nil {
		return nil, err
	}
	return fleet.NewDemand(g.Start, g.Step, g.Requests)
}

func (w Workload) open() (workload, error) {
	if w.Trace == "" {
		return generated(w.Seed)
	}
	return fromTrace(w.Trace, w.Target)
}

// fromTrace reads the load from a tidy file. Its flag columns (is_…) become
// calendar events, known in advance.
func fromTrace(path, target string) (workload, error) {
	t, err := tidy.ReadFile(path)
	if err != nil {
		return workload{}, err
	}
	if target == "" {
		if in := t.Inputs(); len(in) == 1 {
			target = in[0]
		} else {
			return workload{}, fmt.Errorf("%s: name the column to replay with -target: one of %v", path, in)
		}
	}
	g, err := t.Grid("trace")
	if err != nil {
		return workload{}, err
	}
	values, ok := g.Columns[target]
	if !ok {
		return workload{}, fmt.Errorf("%s: no column %q; -target may be one of %v", path, target, t.Inputs())
	}
	// Clouds report by whole steps of the clock.
	d, err := fleet.NewDemand(g.Start.Truncate(g.Step), g.Step, values)
	if err != nil {
		return workload{}, fmt.Errorf("%s: column %s: %w", path, target, err)
	}
	plans, err := calendar.New(t.Events(), nil)
	if err != nil {
		return workload{}, fmt.Errorf("%s: %w", path, err)
	}
	return workload{name: target + " of " + path, demand: d, plans: plans, notes: t.Notes}, nil
}

// A generated workload is three weeks of history, so that the day of the week is
// learned, and three days more. It is cut from a longer one so that its last day
// has a sale that the calendar announces: the case that a forecast is there for.
const (
	generatedDays = 24
	generatedFrom = 36
)

// generated returns a realistic load that depends on the seed alone.
func generated(seed uint64) (workload, error) {
	g, err := fleet.Generate(fleet.GenerateConfig{Seed: seed, Days: generatedFrom, Step: 5 * time.Minute})
	if err != nil {
		return workload{}, err
	}
	const day = 24 * time.Hour
	end := g.Start.Add(generatedFrom * day)
	for _, sale := range slices.Backward(g.Events) {
		if over := sale.End.Truncate(day).Add(day); !over.After(end) {
			end = over
			break
		}
	}
	begin := end.Add(-generatedDays * day)
	if begin.Before(g.Start) {
		return workload{}, fmt.Errorf("seed %d: the last sale comes too early", seed)
	}
	slot := func(t time.Time) int { return int(t.Sub(g.Start) / g.Step) }
	d, err := fleet.NewDemand(begin, g.Step, g.Requests[slot(begin):slot(end)])
	if err != nil {
		return workload{}, err
	}
	plans, err := calendar.New(g.Events, nil)
	if err != nil {
		return workload{}, err
	}
	return workload{name: fmt.Sprintf("generated workload, seed %d", seed), demand: d, plans: plans}, nil
}

// split returns when the live part begins and ends, given its length in slots,
// or an error that says how much history there is.
func (w workload) split(live int) (begin, end time.Time, err error) {
	n := len(w.demand.Slots)
	perDay := int(24 * time.Hour / w.demand.Step)
	most := n - 2*perDay
	if most < 1 {
		return begin, end, fmt.Errorf("%s: %d slots of %s are too short a workload; two days (%d slots) must be left as history",
			w.name, n, w.demand.Step, 2*perDay)
	}
	if live < 1 || live > most {
		return begin, end, fmt.Errorf("-steps %d: the workload has %d slots of %s; at least two days (%d slots) must be left as history, so -steps can be 1 to %d",
			live, n, w.demand.Step, 2*perDay, most)
	}
	begin = w.demand.Start.Add(time.Duration(n-live) * w.demand.Step)
	return begin, w.demand.End(), nil
}

// eventAt returns the name of an event of the calendar under way at t, or "".
func (w workload) eventAt(t time.Time) string {
	under := w.plans.Events(t, t.Add(time.Second))
	if len(under) == 0 {
		return ""
	}
	return under[0].Name
}
