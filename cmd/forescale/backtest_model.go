package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/scaler/backtest"
	"github.com/forescale/forescale/trainer"
	"github.com/forescale/forescale/trainer/onnx"
)

// servedModel is a model, ready to forecast with the trainer's own forward pass.
type servedModel struct {
	manifest models.Manifest
	program  *onnx.Program
}

// readModel reads the folder that forescale-trainer wrote.
func readModel(dir string) (*servedModel, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return nil, fmt.Errorf("%w; it must be a folder that forescale-trainer -out wrote", err)
	}
	m := &servedModel{}
	if err := json.Unmarshal(raw, &m.manifest); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "manifest.json"), err)
	}
	model, err := os.ReadFile(filepath.Join(dir, "model.onnx"))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(model); hex.EncodeToString(sum[:]) != m.manifest.SHA256 {
		return nil, fmt.Errorf("%s is not the model that manifest.json describes (its SHA-256 differs)", filepath.Join(dir, "model.onnx"))
	}
	if err := window.Check(m.manifest.Spec); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "manifest.json"), err)
	}
	m.program, err = onnx.Load(model)
	return m, err
}

// trainedHorizon is how many slots ahead models forecast that are trained here,
// unless the lead time asks for more: as many as those of the default preset.
const trainedHorizon = 12

// train fits a model to the slots before one, and to nothing after it.
func (f *backtestFlags) train(ctx context.Context, h *history, preset string, until int, told func(float64)) (*servedModel, error) {
	c := trainer.DefaultConfig()
	c.Preset, c.Target, c.Seed, c.Now = preset, h.target, f.seed, time.Now
	c.Horizon = max(trainedHorizon, backtest.Steps(h.grid.Step, f.lead))
	c.Progress = func(p trainer.Progress) { told(p.Done) }
	data := trainer.Data{Grid: h.grid}
	if until != h.demand.ScoreStart() { // where the trainer itself cuts a history
		data = data.FitUntil(until)
	}
	result, err := trainer.Train(ctx, c, data)
	if err != nil {
		return nil, fmt.Errorf("train a model on the first %d slots of %s: %w", until, f.data, err)
	}
	result.Manifest.Name = h.name
	m := &servedModel{manifest: result.Manifest}
	m.program, err = onnx.Load(result.Model)
	return m, err
}

// foresee puts the forecasts into the configuration: of the test part, of the
// rehearsal, and of models fitted anew. It says where they come from.
func (f *backtestFlags) foresee(ctx context.Context, h *history, c *backtest.Config, show *meter) (*backtest.Model, error) {
	d := h.demand
	test, from := h.model, d.TrainEnd()
	var err error
	if test == nil {
		if test, err = f.train(ctx, h, f.preset, d.ScoreStart(), show.stage("training")); err != nil {
			return nil, err
		}
	} else if !serves(test.manifest, h.grid.Group) {
		show.note("the model serves %v, and not %s by name; it is asked all the same", test.manifest.Groups, h.grid.Group)
	}
	// A model that has not seen the rehearsal either may forecast it too.
	rehearsal, preset := test, f.preset
	if test.manifest.TrainedUntil.After(d.Time(from * d.SlotMinutes())) {
		if h.model != nil {
			preset = trainer.PresetFast // whoever gives a model wants an answer soon
		}
		if rehearsal, err = f.train(ctx, h, preset, from, show.stage("training for the rehearsal")); err != nil {
			return nil, err
		}
	}
	show.update("forecasting", 0)
	if c.Forecasts, err = test.forecasts(ctx, h, d.ScoreStart()-1, len(d.Slots)); err != nil {
		return nil, err
	}
	first := max(0, from-2-int(day/d.Step)) // of the warm-up's day
	if c.Rehearsal, err = rehearsal.forecasts(ctx, h, first, d.ScoreStart()); err != nil {
		return nil, err
	}
	if f.refit > 0 {
		c.RefitEvery = f.refit
		c.Refit = func(ctx context.Context, known time.Time) (backtest.Forecaster, error) {
			slot := int(known.Sub(d.Start) / d.Step)
			m, err := f.train(ctx, h, f.preset, slot, show.stage("training anew"))
			if err != nil {
				return nil, err
			}
			return m.forecasts(ctx, h, slot-1, len(d.Slots))
		}
	}
	m := test.manifest
	return &backtest.Model{Name: m.Name, Version: m.Version, Preset: m.Preset, SHA256: m.SHA256, TrainedUntil: m.TrainedUntil,
		Rehearsal: fmt.Sprintf("preset %s, trained until %s", rehearsal.manifest.Preset, rehearsal.manifest.TrainedUntil.Format(time.RFC3339))}, nil
}

// forecastBatch bounds the windows that go through a model at once.
const forecastBatch = 256

// forecasts returns what the model says at the end of each slot of [first, last), in
// instance-equivalents.
func (m *servedModel) forecasts(ctx context.Context, h *history, first, last int) (backtest.Forecasts, error) {
	f := backtest.Forecasts{First: first, All: make([]api.Forecast, last-first)}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for at := first; at < last; at += forecastBatch {
		to := min(last, at+forecastBatch)
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return m.forecastSome(h, at, f.All[at-first:to-first])
		})
	}
	return f, g.Wait()
}

// forecastSome fills in the forecasts of the slots from first on.
func (m *servedModel) forecastSome(h *history, first int, into []api.Forecast) error {
	spec := m.manifest.Spec
	wide, extra := spec.Lookback*spec.Channels(), window.ContextLen(spec)
	var windows []api.Window
	var at []int
	series, side := make([]float32, 0, len(into)*wide), make([]float32, 0, len(into)*extra)
	for i := range into {
		w, err := window.Slide(spec, h.grid, h.flags, first+i)
		if errors.Is(err, window.ErrGap) {
			into[i] = api.Forecast{Group: h.grid.Group, IssuedAt: h.grid.Time(first + i + 1), Error: &api.Problem{Title: "no forecast", Detail: err.Error()}}
			continue
		}
		if err != nil {
			return err
		}
		series, side = series[:len(series)+wide], side[:len(side)+extra]
		if err := window.Encode(spec, &w, series[len(series)-wide:], side[len(side)-extra:]); err != nil {
			return fmt.Errorf("window that ends at %s: %w", w.End.Format(time.RFC3339), err)
		}
		windows, at = append(windows, w), append(at, i)
	}
	if len(windows) == 0 {
		return nil
	}
	a, err := m.program.Answer(series, side, len(windows))
	if err != nil {
		return err
	}
	row := func(values []float32, n int) []float32 {
		width := len(values) / len(windows)
		return values[n*width : (n+1)*width]
	}
	for n := range windows {
		forecast, err := m.manifest.Forecast(&windows[n], row(a.Forecast, n), row(a.Quantiles, n), row(a.Peaks, n))
		if err != nil {
			return fmt.Errorf("the model at %s: %w", windows[n].End.Format(time.RFC3339), err)
		}
		into[at[n]] = inUnits(forecast, h.demand.Unit)
	}
	return nil
}

// inUnits converts a forecast to instance-equivalents, in place.
func inUnits(f api.Forecast, unit float64) api.Forecast {
	scale := func(values []float64) {
		for i := range values {
			values[i] /= unit
		}
	}
	scale(f.Point)
	for _, steps := range [][][]float64{f.Values, f.Peaks} {
		for _, step := range steps {
			scale(step)
		}
	}
	return f
}
