package scaler

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/models"
)

// forgetful hides what a lake offers besides a scan.
type forgetful struct{ History }

// lakeStory is a lake that a collector writes to, late and again at times.
type lakeStory struct {
	t    *testing.T
	r    *rand.Rand
	lake *dataset.Dataset
	n    int
}

func (l *lakeStory) write(at time.Time, rows ...api.Sample) {
	l.t.Helper()
	l.n++
	if err := l.lake.Append(context.Background(), fmt.Sprint("w", l.n), at, rows, at.Add(time.Duration(l.n)*time.Millisecond)); err != nil {
		l.t.Fatal(err)
	}
}

// slot writes what was measured in the slot that ends at at, or some of it.
func (l *lakeStory) slot(at time.Time, groups ...string) {
	for _, name := range groups {
		start := at.Add(-step)
		rows := []api.Sample{
			{Group: name, Metric: api.MetricCPU, Stat: api.StatAvg, Time: start, Value: float64(20 + l.r.IntN(60))},
			{Group: name, Metric: api.MetricInService, Stat: api.StatAvg, Time: start, Value: 4},
			{Group: name, Metric: api.MetricRequests, Stat: api.StatSum, Time: start, Value: float64(l.r.IntN(100))},
			{Group: name, Metric: "is_sale", Stat: api.StatAvg, Time: start, Value: float64(l.r.IntN(2))},
		}
		if l.r.IntN(10) > 0 {
			l.write(at, rows...)
		} else {
			l.write(at, rows[0]) // the rest may come later
		}
	}
}

// What a process keeps of the history from tick to tick changes no decision: a
// scaler that does, and one that reads everything anew, record the same. Slots come
// late and are revised, clocks jump, processes start anew, models look further
// back and read other series.
func TestWhatIsKeptOfTheHistoryChangesNothing(t *testing.T) {
	groups := []string{"up", "down", "same", "dry"}
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 11))
		store := blob.NewMemory()
		story := &lakeStory{t: t, r: r, lake: dataset.New(store)}
		worlds := [2]*world{newWorld(t), newWorld(t)}
		var scalers [2]*Scaler
		renew := func() {
			for i, w := range worlds {
				scalers[i] = w.scaler(func(c *Config) {
					c.Groups[2].Policy.Schedule = []Entry{{Name: "the sale", Flag: "is_sale", Min: 5}}
				})
				scalers[i].deps.History = dataset.New(store)
			}
			scalers[1].deps.History = forgetful{scalers[1].deps.History}
		}
		renew()
		now := t0
		for i := range 100 {
			story.slot(now, groups[r.IntN(2):]...)
			if r.IntN(4) == 0 { // late, or a revision
				story.slot(now.Add(-time.Duration(r.IntN(30))*step), groups[r.IntN(4)])
			}
			switch r.IntN(25) {
			case 0:
				renew()
			case 1:
				depth := 3 + r.IntN(20)
				for _, w := range worlds {
					w.alter(func() {
						w.version++
						w.spec.Lags = []models.Lag{{Series: api.SeriesDemand, Offsets: []int{depth}}, {Series: api.MetricRequests, Offsets: []int{4}}}[:1+depth%2]
					})
				}
				for _, s := range scalers {
					s.age = manifestTicks // so that they look
				}
			case 2:
				now = now.Add(time.Duration(r.IntN(20)-10) * step)
			}
			var recs [2]api.TickRecord
			for k, w := range worlds {
				var err error
				if recs[k], err = w.once(scalers[k], now); err != nil {
					t.Fatalf("seed %d, tick %d: %v", seed, i, err)
				}
			}
			for k, d := range recs[0].Decisions {
				got, _ := json.Marshal(d)
				want, _ := json.Marshal(recs[1].Decisions[k])
				if string(got) != string(want) {
					t.Fatalf("seed %d, tick %d (%s):\n%s\ninstead of\n%s", seed, i, stamp(now), got, want)
				}
			}
			for k, asked := range worlds[0].asked { // the windows too
				got, _ := json.Marshal(asked)
				want, _ := json.Marshal(worlds[1].asked[k])
				if string(got) != string(want) {
					t.Fatalf("seed %d, tick %d: asked\n%s\ninstead of\n%s", seed, i, got, want)
				}
			}
			worlds[0].asked, worlds[1].asked = nil, nil
			now = now.Add(step)
		}
		if seed == 0 && scalers[0].memory == nil {
			t.Error("nothing was kept")
		}
	}
}

// A lake that is away for a while costs no history: what was known is known still,
// and what was missed is read when it is back.
func TestALakeThatIsAwayIsReadOnWhenItIsBack(t *testing.T) {
	store := blob.NewMemory()
	story := &lakeStory{t: t, r: rand.New(rand.NewPCG(1, 1)), lake: dataset.New(store)}
	w := newWorld(t)
	s := w.scaler()
	bad := &saboteur{seen: map[string]int{}}
	s.deps.History = dataset.New(&listed{sabotaged{store, bad}})
	var rec api.TickRecord
	tick := func(i int) {
		t.Helper()
		at := t0.Add(time.Duration(i) * step)
		for _, name := range []string{"up", "down", "same", "dry"} {
			story.write(at, api.Sample{Group: name, Metric: api.MetricCPU, Stat: api.StatAvg, Time: at.Add(-step), Value: 50},
				api.Sample{Group: name, Metric: api.MetricInService, Stat: api.StatAvg, Time: at.Add(-step), Value: 4})
		}
		var err error
		if rec, err = w.once(s, at); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 6 {
		tick(i)
	}
	if d := decisionOf(rec, "up"); d.Basis != api.BasisPredictive {
		t.Fatalf("basis %s\n%s", d.Basis, reasons(d))
	}
	bad.dead = true
	tick(6)
	if d := decisionOf(rec, "up"); d.Basis != api.BasisReactive || !d.ObservedAt.Equal(t0.Add(4*step)) || len(rec.Errors) == 0 {
		t.Errorf("a tick without the lake: basis %s, observed %s, errors %v", d.Basis, d.ObservedAt, rec.Errors)
	}
	for i := 7; i < 10; i++ {
		tick(i)
	}
	if d := decisionOf(rec, "up"); d.Basis != api.BasisHold || d.Desired < d.Capacity.Desired {
		t.Errorf("four ticks without: basis %s", d.Basis)
	}
	bad.dead = false
	tick(10)
	if d := decisionOf(rec, "up"); d.Basis != api.BasisPredictive || len(rec.Errors) != 0 {
		t.Errorf("the lake is back: basis %s, errors %v\n%s", d.Basis, rec.Errors, reasons(d))
	}
}

// listed is a sabotaged store whose listings fail as well.
type listed struct{ sabotaged }

func (s *listed) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		s.bad.mu.Lock()
		dead := s.bad.dead
		s.bad.mu.Unlock()
		if dead {
			yield(blob.Info{}, errSabotage)
			return
		}
		s.Store.List(ctx, prefix, after)(yield)
	}
}
