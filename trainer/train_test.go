package trainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/onnx"
)

func TestTheSameSeedGivesTheSameBytesForAnyNumberOfWorkers(t *testing.T) {
	g := history(5, 1)
	for _, preset := range Presets() {
		t.Run(preset, func(t *testing.T) {
			quickRecipe(t, preset)
			c := quick(preset)
			var want []byte
			for _, workers := range []int{1, 2, 3, 5} {
				c.Workers = workers
				got := train(t, c, g).Model
				if want == nil {
					want = got
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%d workers give another model than 1", workers)
				}
			}
			c.Seed++
			if bytes.Equal(train(t, c, g).Model, want) {
				t.Error("another seed gives the same model")
			}
		})
	}
}

func TestFastBeatsPersistenceOnGeneratedLoad(t *testing.T) {
	c := DefaultConfig()
	c.Preset, c.Target, c.Seed = PresetFast, "demand", 1
	c.Epochs = 6
	r := train(t, c, history(8, 2))
	for _, h := range r.Report.Horizons {
		persistence := h.Baselines[score.Persistence].MAE
		if limit := map[bool]float64{true: 0.65, false: 0.95}[h.Steps == 12]; h.Model.MAE > limit*persistence {
			t.Errorf("%d steps ahead: MAE %.3f, persistence %.3f", h.Steps, h.Model.MAE, persistence)
		}
	}
}

func TestPredictionsHoldEveryKnownTestSlotAtEveryHorizon(t *testing.T) {
	quickRecipe(t, PresetFast)
	g := history(6, 6)
	split := score.NewSplit(g.Len())
	hole := func(from, n int) {
		for i := from; i < from+n; i++ {
			g.Columns["demand"][i] = math.NaN()
		}
	}
	hole(split.TestStart()-2, 20)  // across the border
	hole(split.TestStart()+60, 3)  // short
	hole(split.TestStart()+100, 9) // longer than the model bears
	r := train(t, quick(PresetFast), g)
	type key struct {
		time  int64
		steps int
	}
	seen := map[key]bool{}
	for _, row := range r.Predictions.Rows {
		k := key{row.Timestamp.Unix(), row.Steps}
		if seen[k] {
			t.Fatalf("two rows for %v", k)
		}
		seen[k] = true
		if want := row.IssuedAt.Add(time.Duration(row.Steps-1) * g.Step); !row.Timestamp.Equal(want) || row.Split != score.Test {
			t.Fatalf("row %+v", row)
		}
	}
	known := 0
	for i := split.TestStart(); i < g.Len(); i++ {
		if math.IsNaN(g.Columns["demand"][i]) {
			continue
		}
		known++
		for k := 1; k <= 3; k++ {
			if !seen[key{g.Time(i).Unix(), k}] {
				t.Errorf("no row for slot %d at %d steps", i, k)
			}
		}
	}
	if len(r.Predictions.Rows) != 3*known {
		t.Errorf("%d rows for %d slots at 3 horizons", len(r.Predictions.Rows), known)
	}
	if all := strings.Join(r.Notes, "\n"); !strings.Contains(all, "are the last known value") {
		t.Errorf("the notes do not speak of the fallback: %q", all)
	}
	for _, h := range r.Report.Horizons {
		if h.N != known {
			t.Errorf("horizon %d is scored on %d slots, want %d", h.Steps, h.N, known)
		}
	}
}

func TestSlotsBeforeTheFirstKnownTargetAreNoHistory(t *testing.T) {
	quickRecipe(t, PresetFast)
	whole := history(5, 17)
	late := clone(whole)
	for i := range 300 { // another series was collected earlier than the target
		late.Columns["demand"][i] = math.NaN()
	}
	got := train(t, quick(PresetFast), late)
	if n := whole.Len() - 300; got.Report.Split != score.NewSplit(n) {
		t.Errorf("split %+v of %d slots with a known start", got.Report.Split, n)
	}
	if !got.Manifest.TrainedFrom.Equal(late.Time(300)) {
		t.Errorf("trained from %s, the target begins at %s", got.Manifest.TrainedFrom, late.Time(300))
	}
	if want := train(t, quick(PresetFast), late.FromFirst("demand")); !bytes.Equal(got.Model, want.Model) {
		t.Error("slots before the first known target change the model")
	}
}

func TestATargetWithoutAnyValueIsAnErrorThatNamesIt(t *testing.T) {
	g := history(5, 18)
	for i := range g.Columns["demand"] {
		g.Columns["demand"][i] = math.NaN()
	}
	if _, err := Train(context.Background(), quick(PresetFast), Data{Grid: g}); err == nil || !strings.Contains(err.Error(), `"demand" has no value at all`) {
		t.Errorf("error %v", err)
	}
}

func TestExtremeInputsGiveFiniteForecasts(t *testing.T) {
	for _, preset := range Presets() {
		t.Run(preset, func(t *testing.T) {
			quickRecipe(t, preset)
			r := train(t, quick(preset), history(5, 8))
			p, err := onnx.Load(r.Model)
			if err != nil {
				t.Fatal(err)
			}
			wide, extra := widths(r.Manifest.Spec)
			for _, v := range []float32{0, -1, 1e6, -1e6, 1e20, math.MaxFloat32, -math.MaxFloat32} {
				for _, w := range []float32{v, -v, 1} {
					series, side := make([]float32, wide), make([]float32, extra)
					for i := range series {
						series[i] = v
						if i%2 == 0 {
							series[i] = w
						}
					}
					for i := range side {
						side[i] = w
					}
					a, err := p.Answer(series, side, 1)
					if err != nil {
						t.Fatal(err)
					}
					for _, f := range append(a.Forecast, a.Quantiles...) {
						if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
							t.Errorf("inputs of %g and %g give %v", v, w, a)
							break
						}
					}
				}
			}
		})
	}
}

func TestTheExportedModelAgreesWithTheForwardPass(t *testing.T) {
	for _, preset := range Presets() {
		t.Run(preset, func(t *testing.T) {
			quickRecipe(t, preset)
			g := history(5, 9)
			c := quick(preset)
			f := studied(t, c, g)
			model, err := f.export()
			if err != nil {
				t.Fatal(err)
			}
			p, err := onnx.Load(model)
			if err != nil {
				t.Fatal(err)
			}
			for _, factor := range []float32{1, -1, 0, 30, 1e6, 1e25} {
				w := f.w.head(f.judgeRows[0], 40)
				w.series, w.context, w.target = slices.Clone(w.series), slices.Clone(w.context), slices.Clone(w.target)
				for i := range w.series {
					w.series[i] *= factor
				}
				for i := range w.context {
					w.context[i] *= factor
				}
				for i := range w.target {
					w.target[i] *= factor
				}
				if err := f.verify(p, w); err != nil {
					t.Errorf("inputs times %g: %v", factor, err)
				}
			}
			r := train(t, c, g)
			y, err := p.Run(r.Manifest.Golden.Series, r.Manifest.Golden.Context, 1)
			if err != nil || len(y) != len(r.Manifest.Golden.Forecast) {
				t.Fatal(y, err)
			}
			for i := range y {
				if !near(y[i], r.Manifest.Golden.Forecast[i], 1) {
					t.Errorf("the golden forecast is %v, the model answers %v", r.Manifest.Golden.Forecast, y)
				}
			}
		})
	}
}

func TestAConstantSeriesIsForecastAsConstant(t *testing.T) {
	for _, preset := range Presets() {
		t.Run(preset, func(t *testing.T) {
			quickRecipe(t, preset)
			g := history(4, 10)
			for i := range g.Columns["demand"] {
				g.Columns["demand"][i] = 42
			}
			r := train(t, quick(preset), g)
			for _, row := range r.Predictions.Rows {
				if math.Abs(row.Forecast-42) > 1e-4 {
					t.Fatalf("forecast %v of a series that is always 42", row.Forecast)
				}
			}
			if err := r.Report.Write(&bytes.Buffer{}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTooFewSlotsIsAnErrorThatSaysHowManyAreNeeded(t *testing.T) {
	c := quick(PresetFast)
	g := history(4, 11)
	cut := func(n int) *window.Grid {
		short := clone(g)
		for name := range short.Columns {
			short.Columns[name] = short.Columns[name][:n]
		}
		return short
	}
	need := needed(models.Spec{Lookback: c.Lookback, Horizon: c.Horizon}) // so short a history has no lags
	_, err := Train(context.Background(), c, Data{Grid: cut(need - 1)})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(need)) || !strings.Contains(err.Error(), fmt.Sprint(need-1)) {
		t.Errorf("error %v does not name %d and %d", err, need, need-1)
	}
	train(t, c, cut(need))
}

func TestAnAbsurdValueIsAnErrorThatNamesIt(t *testing.T) {
	for _, v := range []float64{1e31, -1e300, math.Inf(1)} {
		g := history(4, 16)
		g.Columns["request_count"][100] = v
		_, err := Train(context.Background(), quick(PresetFast), Data{Grid: g})
		if err == nil || !strings.Contains(err.Error(), "request_count") || !strings.Contains(err.Error(), "2026-03-02T08:20:00Z") {
			t.Errorf("%g: error %v does not name the series and the time", v, err)
		}
	}
}

func TestCensoredAndMissingTargetsCountNothing(t *testing.T) {
	quickRecipe(t, PresetFast)
	g := history(5, 12)
	g.Censored = make([]bool, g.Len())
	masked := clone(g)
	spec, _, err := quick(PresetFast).spec(quick(PresetFast).recipe(), Data{Grid: g})
	if err != nil {
		t.Fatal(err)
	}
	g.Censored[500] = true
	masked.Columns["demand"][501] = math.NaN()
	for name, c := range map[string]struct {
		grid *window.Grid
		slot int
	}{"censored": {g, 500}, "missing": {masked, 501}} {
		s, err := collect(context.Background(), spec, Data{Grid: c.grid}, c.slot-3, c.slot)
		if err != nil {
			t.Fatal(err)
		}
		for i, origin := range s.origins {
			for k := 1; k <= 3; k++ {
				y := s.target[i*3+k-1]
				if (origin+k == c.slot) == isKnown(y) {
					t.Errorf("%s: target of slot %d is %v", name, origin+k, y)
				}
			}
		}
	}
}

func TestAnExplodingLossIsRejectedSlowedAndReported(t *testing.T) {
	quickRecipe(t, PresetReference)
	s := unfitted(t, quick(PresetReference), history(5, 14))
	r := s.recipe.networks[0]
	rd := s.readerOf(r, candidate{})
	l := rd.inputs(s.w)
	rd.wants(s.w, l)
	net := r.network
	net.Lookback, net.Channels, net.Features, net.Horizon = l.steps, l.channels, l.extra, l.horizon
	f := newFit(net, r.schedule, 7, 1)
	f.schedule.epochs = 10
	for i := range f.state.Params {
		f.state.Params[i] = math.MaxFloat32 // whatever brought them there
	}
	before := slices.Clone(f.state.Params)
	err := f.run(context.Background(), l.slice(s.fitRows[0], s.fitRows[1]), l.slice(s.judgeRows[0], s.judgeRows[1]))
	if !errors.Is(err, ErrDiverged) {
		t.Fatalf("error %v, want ErrDiverged", err)
	}
	if f.state.Rejected < maxRejected || f.state.Slowed > 1e-5 {
		t.Errorf("gave up after %d steps, at %g of the rate", f.state.Rejected, f.state.Slowed)
	}
	if !slices.Equal(before, f.state.Params) {
		t.Fatal("a rejected step changed the parameters")
	}
	s.tally.rejected = 3
	if notes := s.notes(0, 0); len(notes) != 1 || !strings.Contains(notes[0], "halved 3 times") {
		t.Errorf("notes %q", notes)
	}
}

func TestTrainingEndsWithItsContext(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	c := quick(PresetFast)
	c.Workers = 1
	c.Progress = func(p Progress) {
		switch n := p.Network; {
		case n == nil:
		case n.Step == 3:
			stop()
		case n.Step > 3:
			t.Error("a step was taken after the end")
		}
	}
	if _, err := Train(ctx, c, Data{Grid: history(5, 15)}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func clone(g *window.Grid) *window.Grid {
	c := *g
	c.Columns, c.Censored = map[string]api.Series{}, slices.Clone(g.Censored)
	for name, column := range g.Columns {
		c.Columns[name] = slices.Clone(column)
	}
	return &c
}

func TestProgressRisesToTheEnd(t *testing.T) {
	quickRecipe(t, PresetDefault)
	c := quick(PresetDefault)
	last, stages := 0.0, map[string]bool{}
	c.Progress = func(p Progress) {
		if p.Done < last || p.Done > 1 {
			t.Errorf("done %v after %v", p.Done, last)
		}
		last = p.Done
		stages[p.Stage] = true
	}
	train(t, c, history(5, 22))
	if last < 0.6 || len(stages) != 3 { // networks that stop early leave some undone
		t.Errorf("%.2f done in the stages %v", last, stages)
	}
}
