package feature

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
)

const (
	load  = "load"
	bytes = "bytes_in"
	sale  = "is_sale"
)

// historyOf is n slots of a positive load with a daily wave, a second series and
// a flag, without a gap.
func historyOf(step time.Duration, n int, seed uint64) *window.Grid {
	rng := rand.New(rand.NewPCG(seed, 2))
	g := &window.Grid{Group: "web", Start: time.Date(2026, 2, 23, 0, 0, 0, 0, time.UTC), Step: step,
		Columns: map[string]api.Series{load: make(api.Series, n), bytes: make(api.Series, n), sale: make(api.Series, n)}}
	day := float64(24 * time.Hour / step)
	for i := range n {
		g.Columns[load][i] = 100 + 50*math.Sin(2*math.Pi*float64(i)/day) + 9*rng.NormFloat64()
		g.Columns[bytes][i] = 1e6 * (3 + rng.NormFloat64())
		g.Columns[sale][i] = float64(rng.IntN(2))
	}
	return g
}

// specOf is the spec that package trainer would make, with lags as far back as
// reach.
func specOf(step time.Duration, horizon, reach int) models.Spec {
	s := models.Spec{Target: load, StepSeconds: int(step / time.Second), Lookback: 36, Horizon: horizon,
		Series: []string{load, bytes, sale}, Future: []string{sale}, MaxGap: 6,
		Calendar: []string{"hour_of_day", "day_of_week", "weekend"}}
	if step < time.Hour {
		s.Calendar = append(s.Calendar, "minute_of_hour")
	}
	s.Lags = Lags(s, reach)
	return s
}

// allReach is further back than any feature looks.
const allReach = 1 << 30

// oldest is the number of slots before its newest that a window reads.
func oldest(s models.Spec) int {
	first := s.Lookback - 1
	for _, lag := range s.Lags {
		first = max(first, lag.Offsets[len(lag.Offsets)-1])
	}
	return first
}

// encoded are the rows of the windows with the given origins.
func encoded(t *testing.T, s models.Spec, g *window.Grid, origins ...int) (series, context []float32) {
	t.Helper()
	if err := window.Check(s); err != nil {
		t.Fatal(err)
	}
	row, side := make([]float32, s.Lookback*s.Channels()), make([]float32, window.ContextLen(s))
	for _, origin := range origins {
		w, err := window.Slide(s, g, window.ColumnFlags(g), origin)
		if err != nil {
			t.Fatal(err)
		}
		if err := window.Encode(s, &w, row, side); err != nil {
			t.Fatal(err)
		}
		series, context = append(series, row...), append(context, side...)
	}
	return series, context
}

// originsOf are n origins of which every value that s reads is in the grid.
func originsOf(s models.Spec, g *window.Grid, n int) []int {
	var origins []int
	first, last := oldest(s), g.Len()-1-s.Horizon
	for i := range n {
		origins = append(origins, first+i*(last-first)/max(1, n-1))
	}
	return origins
}

// fitted is the set of a spec in a mode, fitted on windows of the given origins.
func fitted(t *testing.T, s models.Spec, mode Mode, g *window.Grid, origins []int) *Set {
	t.Helper()
	set := New(s, mode, 24)
	series, context := encoded(t, s, g, origins...)
	set.Fit(series, context, len(origins))
	return set
}
