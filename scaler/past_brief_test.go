package scaler

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/models"
)

// watched is a lake that tells how it is read.
type watched struct {
	*dataset.Dataset
	briefs, tails int
}

func (l *watched) Recent(ctx context.Context, want dataset.Want) (*dataset.Recent, error) {
	l.briefs++
	return l.Dataset.Recent(ctx, want)
}

func (l *watched) Tail(grain time.Duration) *dataset.Tail {
	l.tails++
	return l.Dataset.Tail(grain)
}

// briefStory is a lake with days of history and recent/ beside it.
type briefStory struct {
	lakeStory
	refresher *dataset.Refresher
}

func newBriefStory(t *testing.T, store blob.Store, days int) *briefStory {
	t.Helper()
	s := &briefStory{lakeStory: lakeStory{t: t, r: rand.New(rand.NewPCG(4, 4)), lake: dataset.New(store)}}
	var err error
	if s.refresher, err = dataset.New(store).Refresher(dataset.RefreshConfig{Step: step}); err != nil {
		t.Fatal(err)
	}
	var rows []api.Sample // in one part a day
	for at := t0.AddDate(0, 0, -days); at.Before(t0); at = at.Add(step) {
		for _, name := range []string{"up", "down", "same", "dry"} {
			for metric, value := range map[string]float64{api.MetricCPU: float64(20 + s.r.IntN(60)), api.MetricInService: 4,
				api.MetricRequests: float64(s.r.IntN(100)), "is_sale": float64(s.r.IntN(2))} {
				rows = append(rows, api.Sample{Group: name, Metric: metric, Stat: api.DefaultStat(metric), Time: at, Value: value})
			}
		}
	}
	s.write(t0, rows...)
	if _, err := s.refresher.Rebuild(t.Context(), t0); err != nil {
		t.Fatal(err)
	}
	return s
}

func lagged(w *world) {
	w.spec.Lookback, w.spec.MaxGap = 6, 5
	w.spec.Series = []string{api.SeriesDemand, api.MetricRequests, "is_sale"}
	w.spec.Lags = []models.Lag{{Series: api.SeriesDemand, Offsets: []int{288, 325, 576}}, {Series: "is_sale", Offsets: []int{288}}}
}

// A scaler that starts anew at every tick, as on Lambda, sends the windows that one
// sends which reads the whole history each time, and reads none of it.
func TestAColdStartCutsTheSameWindowsFromRecent(t *testing.T) {
	store := blob.NewMemory()
	story := newBriefStory(t, store, 3)
	worlds := [2]*world{newWorld(t), newWorld(t)}
	lake := &watched{Dataset: dataset.New(store)}
	now, sent := t0, 0
	for range 20 {
		for i, w := range worlds {
			lagged(w)
			s := w.scaler()
			if s.deps.History = lake; i == 1 {
				s.deps.History = forgetful{dataset.New(store)}
			}
			if _, err := w.once(s, now); err != nil {
				t.Fatal(err)
			}
		}
		got, _ := json.Marshal(worlds[0].asked)
		want, _ := json.Marshal(worlds[1].asked)
		if string(got) != string(want) {
			t.Fatalf("tick %s: asked\n%s\ninstead of\n%s", stamp(now), got, want)
		}
		for _, req := range worlds[0].asked {
			sent += len(req.Windows)
		}
		worlds[0].asked, worlds[1].asked = nil, nil
		now = now.Add(step)
		story.slot(now, "up", "down", "same", "dry")
		if story.r.IntN(3) == 0 { // late, or a revision
			story.slot(now.Add(-time.Duration(story.r.IntN(600))*step), "up")
		}
		if story.r.IntN(3) > 0 {
			if _, err := story.refresher.Refresh(t.Context(), now); err != nil {
				t.Fatal(err)
			}
		}
	}
	if lake.briefs < 20 || sent < 40 {
		t.Errorf("%d windows, recent/ read %d times", sent, lake.briefs)
	}
}

// A process that lasts makes up for what its first tick did without: at the second
// tick, or between the two where Run has the time.
func TestTheDeepHistoryFollowsTheFirstTick(t *testing.T) {
	for name, between := range map[string]bool{
		"a second tick reads the whole history": false,
		"Run reads it between ticks":            true,
	} {
		t.Run(name, func(t *testing.T) {
			store := blob.NewMemory()
			story := newBriefStory(t, store, 3)
			w := newWorld(t)
			lagged(w)
			s := w.scaler()
			lake := &watched{Dataset: dataset.New(store)}
			s.deps.History = lake
			s.idle = between
			if _, err := w.once(s, t0); err != nil {
				t.Fatal(err)
			}
			if st := w.state().Groups["up"]; !st.Unrecalled || len(st.Calibration.Peaks) != 1 || lake.briefs != 1 || s.memory != nil {
				t.Fatalf("after the first tick: unrecalled %v, peaks %v, %d brief readings", st.Unrecalled, st.Calibration.Peaks, lake.briefs)
			}
			if between {
				s.deepen(t.Context(), w.clock().Add(time.Minute))
				if s.memory == nil || s.loading != nil {
					t.Fatal("nothing was read between ticks")
				}
			}
			story.slot(t0.Add(step), "up", "down", "same", "dry")
			if _, err := w.once(s, t0.Add(step)); err != nil {
				t.Fatal(err)
			}
			if st := w.state().Groups["up"]; st.Unrecalled || len(st.Calibration.Peaks) < 2 || lake.briefs != 1 || s.memory == nil {
				t.Errorf("after the second tick: unrecalled %v, peaks %v, %d brief readings", st.Unrecalled, st.Calibration.Peaks, lake.briefs)
			}
		})
	}
}

// Without a unit, forecasts of load mean nothing: it is learned at the first tick.
func TestAUnitThatIsNotKnownIsLearnedAtTheFirstTick(t *testing.T) {
	store := blob.NewMemory()
	newBriefStory(t, store, 1)
	w := newWorld(t)
	w.spec.Target, w.spec.Series = api.MetricRequests, []string{api.MetricRequests}
	s := w.scaler(func(c *Config) {
		for i := range c.Groups {
			c.Groups[i].Load = api.MetricRequests
		}
	})
	lake := &watched{Dataset: dataset.New(store)}
	s.deps.History = lake
	if _, err := w.once(s, t0); err != nil {
		t.Fatal(err)
	}
	if lake.briefs != 0 || s.memory == nil {
		t.Errorf("%d brief readings", lake.briefs)
	}
}
