package backtest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/fleet"
)

// Forecaster says what a model expected at the time.
type Forecaster interface {
	// Forecast returns the forecast issued at the end of slot origin of the demand,
	// in instance-equivalents, or one with an Error where there was none to be had,
	// as a prediction server answers. It rests on nothing after that slot. It is
	// called from several goroutines, and what it returns is not changed by anyone.
	Forecast(ctx context.Context, origin int) (api.Forecast, error)
}

// Forecasts are forecasts that were made beforehand, once for every knob of a sweep.
type Forecasts struct {
	First int            // the origin of the first one
	All   []api.Forecast // one per slot
}

// Forecast implements Forecaster. There is an error for an origin outside of what
// was made.
func (f Forecasts) Forecast(_ context.Context, origin int) (api.Forecast, error) {
	if i := origin - f.First; i >= 0 && i < len(f.All) {
		return f.All[i], nil
	}
	return api.Forecast{}, fmt.Errorf("there is no forecast of slot %d, only of %d to %d", origin, f.First, f.First+len(f.All)-1)
}

// Refit returns the forecasts of a model fitted on what is known at a time, which
// is the end of a slot. They are asked for from the slot that ends then on.
type Refit func(ctx context.Context, known time.Time) (Forecaster, error)

// walk asks the newest of several models.
type walk struct {
	from   []int // the first origin of each, ascending
	models []Forecaster
}

// walkForward fits a model anew every so many slots of the test part. Until the
// first time, those at hand answer.
func walkForward(ctx context.Context, d *fleet.Demand, at *walk, refit Refit, every int) (*walk, error) {
	w := &walk{from: slices.Clone(at.from), models: slices.Clone(at.models)}
	for slot := d.ScoreStart() + every; slot < len(d.Slots); slot += every {
		newer, err := refit(ctx, d.Time(slot*d.SlotMinutes()))
		if err != nil {
			return nil, fmt.Errorf("refit at %s: %w", d.Time(slot*d.SlotMinutes()).Format(time.RFC3339), err)
		}
		// Known at the end of slot-1, which is the first origin that it answers for.
		w.from, w.models = append(w.from, slot-1), append(w.models, newer)
	}
	return w, nil
}

// Forecast implements Forecaster.
func (w *walk) Forecast(ctx context.Context, origin int) (api.Forecast, error) {
	i, found := slices.BinarySearch(w.from, origin)
	if !found {
		i--
	}
	return w.models[i].Forecast(ctx, origin)
}

// next returns the point forecast of the slot after origin, NaN where there is none.
func next(ctx context.Context, f Forecaster, origin int) (float64, error) {
	forecast, err := f.Forecast(ctx, origin)
	if err != nil || forecast.Error != nil || len(forecast.Point) == 0 {
		return math.NaN(), err
	}
	return max(0, forecast.Point[0]), nil
}
