package scaler

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/journal"
)

// rush is a world with one group, web, whose load climbs to a peak and falls
// again, and whose instances take a lead time of a step to serve. It has what
// really happened, beside what the records say.
type rush struct {
	*world
	sizes map[time.Time]int // by slot: instances in service
	fresh bool              // every tick is run by a process of its own
	away  string            // who is: server, store, provider, or nobody
	since time.Time
}

const rushHour = 12 // slots for which somebody is away

func newRush(t *testing.T, away string) *rush {
	w := newWorld(t)
	w.groups = map[string]*group{"web": {desired: 6, max: 60}}
	return &rush{world: w, sizes: map[time.Time]int{}, away: away, since: t0.Add(18 * step)}
}

// climb is the demand of the slot that starts at t: 4, a climb to 20 in two hours,
// and back.
func climb(t time.Time) float64 {
	hours := t.Sub(t0).Hours()
	return 4 + 8*max(0, 2-max(hours-3, 3-hours))
}

// gone reports whether someone is away now.
func (r *rush) gone(who string) bool {
	now := r.clock()
	return r.away == who && !now.Before(r.since) && now.Before(r.since.Add(rushHour*step))
}

var errAway = errors.New("connection refused")

func (r *rush) Capacities(context.Context, []string) (map[string]api.Capacity, error) {
	if r.gone("provider") {
		return nil, errAway
	}
	desired := r.desired("web")
	return map[string]api.Capacity{"web": {Desired: desired, InService: min(desired, r.serving(r.clock())), Max: 60, ObservedAt: r.clock()}}, nil
}

// serving is what serves at t: what was desired a step before.
func (r *rush) serving(t time.Time) int {
	if n, ok := r.sizes[t]; ok {
		return n
	}
	return r.desired("web")
}

func (r *rush) Scale(ctx context.Context, name string, desired int) error {
	if r.gone("provider") {
		return errAway
	}
	return r.world.Scale(ctx, name, desired)
}

func (r *rush) Scan(_ context.Context, q dataset.Query) ([]api.Sample, error) {
	var out []api.Sample
	for at := q.From; at.Before(q.To); at = at.Add(step) {
		n := 6
		if size, ok := r.sizes[at]; ok {
			n = size
		}
		out = append(out,
			api.Sample{Group: "web", Metric: api.MetricCPU, Stat: api.StatAvg, Time: at, Value: min(100, 100*climb(at)/float64(n))},
			api.Sample{Group: "web", Metric: api.MetricInService, Stat: api.StatAvg, Time: at, Value: float64(n)})
	}
	slices.SortStableFunc(out, func(a, b api.Sample) int { return len(a.Metric) - len(b.Metric) })
	return out, nil
}

// Predict knows the future, and says that it does not quite.
func (r *rush) Predict(_ context.Context, req api.PredictRequest) (api.PredictResponse, error) {
	if r.gone("server") {
		return api.PredictResponse{}, errAway
	}
	f := api.Forecast{Group: "web", IssuedAt: req.Windows[0].End, StepSeconds: 300, Quantiles: []float64{0.1, 0.5, 0.9}}
	for k := range 3 {
		v := climb(f.IssuedAt.Add(time.Duration(k) * step))
		f.Point = append(f.Point, v)
		f.Values = append(f.Values, []float64{0.97 * v, v, 1.03 * v})
	}
	return api.PredictResponse{Model: "m", Version: 1, Forecasts: []api.Forecast{f}}, nil
}

// awayStore is a store that is away when the rush says so.
type awayStore struct {
	blob.Store
	rush *rush
}

func (s *awayStore) Get(ctx context.Context, key string) (blob.Object, error) {
	if s.rush.gone("store") {
		return blob.Object{}, errAway
	}
	return s.Store.Get(ctx, key)
}

// run lives through seven hours and returns the slots in breach: those whose load
// is more than 0.9 of what serves.
func (r *rush) run(change ...func(*Group)) (breached []time.Time) {
	start := func() *Scaler {
		s := r.world.scaler(func(c *Config) {
			g := DefaultGroup()
			g.Name, g.Mode = "web", api.ModeLive
			for _, f := range change {
				f(&g)
			}
			c.Groups = []Group{g}
		})
		store := &awayStore{r.store, r}
		s.deps.Store, s.deps.History, s.deps.Target, s.deps.Forecaster = store, r, r, r
		s.journal = journal.New(store)
		return s
	}
	s := start()
	for at := t0; at.Before(t0.Add(7 * time.Hour)); at = at.Add(step) {
		if _, ok := r.sizes[at]; !ok {
			r.sizes[at] = r.desired("web")
		}
		r.set(at)
		if r.fresh {
			s = start()
		}
		_, err := s.Once(context.Background(), at)
		if (err != nil) != r.gone("store") {
			r.t.Fatalf("%s is away, at %s: %v", r.away, stamp(at), err)
		}
		r.sizes[at.Add(step)] = r.desired("web")
		if climb(at) > 0.9*float64(r.sizes[at]) {
			breached = append(breached, at)
		}
	}
	return breached
}

// Somebody is away for an hour while the load climbs. Nothing shrinks meanwhile,
// what can be done is done, the records tell of the breaches, and when all are back
// the group is soon as large as it must be.
func TestAnHourWithoutSomebodyInTheMiddleOfAPeak(t *testing.T) {
	for _, c := range []struct {
		away        string
		least, most int  // breached slots
		records     bool // of the hour
	}{
		{"nobody", 0, 0, true},
		{"server", 0, 4, true},    // the live load decides: late by a lead time at most
		{"provider", 4, 14, true}, // nothing can be done
		{"store", 4, 14, false},   // nothing may be done
	} {
		t.Run(c.away, func(t *testing.T) {
			r := newRush(t, c.away)
			breached := r.run()
			t.Logf("%d slots in breach", len(breached))
			if len(breached) < c.least || len(breached) > c.most {
				t.Errorf("%d slots in breach, want %d to %d: %v", len(breached), c.least, c.most, breached)
			}
			back := r.since.Add(rushHour * step)
			for _, at := range breached {
				if at.Before(r.since) || !at.Before(back.Add(3*step)) {
					t.Errorf("in breach at %s", stamp(at))
				}
			}
			for _, call := range r.calls {
				if during := !call.tick.Before(r.since) && call.tick.Before(back); during && (call.to < call.from || c.away == "provider" || c.away == "store") {
					t.Errorf("%s is away: from %d to %d at %s", c.away, call.from, call.to, stamp(call.tick))
				}
			}
			r.compare(breached, c.records)
		})
	}
}

// compare holds what the records say of the load against what happened.
func (r *rush) compare(breached []time.Time, records bool) {
	r.t.Helper()
	told, during := map[time.Time]bool{}, 0
	for _, rec := range r.records() {
		d := rec.Decisions[0]
		slot := rec.Tick.Add(-step)
		if !d.ObservedAt.Equal(slot) {
			r.t.Errorf("the record of %s observes %s", stamp(rec.Tick), stamp(d.ObservedAt))
		}
		if rec.Tick.After(r.since) && !rec.Tick.After(r.since.Add((rushHour-1)*step)) {
			during++
			if r.away == "provider" && (d.CapacityError == "" || d.Outcome.Status != api.OutcomeNone) {
				r.t.Errorf("the provider is away at %s: %+v", stamp(rec.Tick), d)
			}
		}
		if d.Observed[api.MetricCPU] > 90 {
			told[slot] = true
		}
		r.replay(r.away, rec)
	}
	for _, at := range breached {
		recorded := slices.ContainsFunc(r.records(), func(rec api.TickRecord) bool { return rec.Tick.Equal(at.Add(step)) })
		if recorded && !told[at] {
			r.t.Errorf("no record tells of the breach at %s", stamp(at))
		}
		delete(told, at)
	}
	if len(told) > 0 {
		r.t.Errorf("records tell of breaches that did not happen: %v", told)
	}
	if want := map[bool]int{true: rushHour - 1}[records]; during != want {
		r.t.Errorf("%d records of the hour, want %d", during, want)
	}
	if r.away != "nobody" && !records && len(breached) > 0 {
		last := breached[len(breached)-1]
		if !slices.ContainsFunc(r.records(), func(rec api.TickRecord) bool { return rec.Tick.Equal(last.Add(step)) }) {
			r.t.Error("the records begin again after the last breach")
		}
	}
}
