package trainer

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
)

// history generates days of five-minute slots with a daily wave, an hourly mark,
// a sale now and then, and noise: columns demand, request_count, is_sale_active
// and anomaly_label.
func history(days int, seed uint64) *window.Grid {
	rng := rand.New(rand.NewPCG(seed, 1))
	n := days * 288
	g := &window.Grid{
		Group: "web", Start: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), Step: 5 * time.Minute,
		Columns: map[string]api.Series{},
	}
	for _, name := range []string{"demand", "request_count", "is_sale_active", "anomaly_label"} {
		g.Columns[name] = make(api.Series, n)
	}
	for i := range n {
		sale := 0.0
		if i/96%7 == 5 {
			sale = 1
		}
		day := math.Sin(2*math.Pi*float64(i)/288) + 0.4*math.Sin(4*math.Pi*float64(i)/288)
		hour := 0.0
		if i%12 == 0 {
			hour = 1.5
		}
		y := 10 + 4*day + hour + 3*sale + 0.3*rng.NormFloat64()
		g.Columns["demand"][i] = y
		g.Columns["request_count"][i] = 100*y + 20*rng.NormFloat64()
		g.Columns["is_sale_active"][i] = sale
		g.Columns["anomaly_label"][i] = float64(i % 2)
	}
	return g
}

// quick is a configuration that trains in a second or two.
func quick(preset string) Config {
	c := DefaultConfig()
	c.Preset, c.Target, c.Seed = preset, "demand", 7
	c.Horizon, c.Lookback, c.Epochs = 3, 12, 2
	return c
}

// quickRecipe shrinks a preset's network to test size, and is restored after the
// test.
func quickRecipe(t *testing.T, preset string) {
	t.Helper()
	before := presets[preset]
	small := before
	small.networks = slices.Clone(before.networks)
	for i := range small.networks {
		n := &small.networks[i]
		n.network.Hidden, n.network.Head, n.schedule.epochSteps, n.seeds = 6, 5, 10, min(n.seeds, 2)
	}
	small.trees = slices.Clone(before.trees)
	for i := range small.trees {
		small.trees[i].config.Trees = 5
	}
	presets[preset] = small
	t.Cleanup(func() { presets[preset] = before })
}

func train(t *testing.T, c Config, g *window.Grid) *Result {
	t.Helper()
	r, err := Train(context.Background(), c, Data{Grid: g})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// studied returns the study behind a model.
func studied(t *testing.T, c Config, g *window.Grid) *study {
	t.Helper()
	s := unfitted(t, c, g)
	if err := s.fit(context.Background()); err != nil {
		t.Fatal(err)
	}
	return s
}

// unfitted returns a study whose members are still to come.
func unfitted(t *testing.T, c Config, g *window.Grid) *study {
	t.Helper()
	d := Data{Grid: g}
	spec, _, err := c.spec(c.recipe(), d)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStudy(context.Background(), c, c.recipe(), spec, d)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
