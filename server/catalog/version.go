package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/tensor"
)

// The names of the inputs and outputs of our own models, see models.Spec.
const (
	InputSeries     = "series"
	InputContext    = "context"
	OutputForecast  = "forecast"
	OutputQuantiles = "quantiles"
)

// Session is a loaded graph. ort.Session is one.
type Session interface {
	batch.Runner
	Inputs() []tensor.Info
	Outputs() []tensor.Info
	Metadata() map[string]string // the model's own key-value properties
	// Retain keeps the session alive until Release; false: it is gone already.
	Retain() bool
	Release()
	// Close gives up the owner's hold.
	Close()
}

// Version is one loaded version of a model, verified. It is immutable. Whoever
// got it from the catalog calls Release when done.
type Version struct {
	Manifest models.Manifest
	LoadedAt time.Time
	cost     int64 // estimate of the memory that it holds, in bytes
	session  Session
}

// Foreign reports whether the model is not one of ours: it has no Spec, so only
// tensors can be put to it, not windows.
func (v *Version) Foreign() bool { return v.Manifest.Spec.Target == "" }

// Session returns the graph. It is valid until Release.
func (v *Version) Session() Session { return v.session }

// Release ends the use of the version.
func (v *Version) Release() { v.session.Release() }

// fixedCost is what a session holds beside its weights, roughly.
const fixedCost = 256 << 10

// newVersion loads and verifies a model. The error says what does not hold.
func newVersion(ctx context.Context, load Load, m models.Manifest, model []byte, now time.Time) (*Version, error) {
	session, err := load(model)
	if err != nil {
		return nil, err
	}
	// The weights are held once as the file spells them and once as the kernels
	// want them.
	v := &Version{Manifest: m, LoadedAt: now, cost: 2*int64(len(model)) + fixedCost, session: session}
	verified := false
	defer func() { // after a panic too
		if !verified {
			session.Close()
		}
	}()
	if err := v.verify(ctx); err != nil {
		return nil, err
	}
	verified = true
	return v, nil
}

func (v *Version) verify(ctx context.Context) error {
	if v.Foreign() {
		// Nothing is known of what it should answer, and a row of zeros may not
		// even fit; the first request will tell.
		return nil
	}
	spec := v.Manifest.Spec
	if err := window.Check(spec); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if err := CheckGraph(spec, v.session.Inputs(), v.session.Outputs()); err != nil {
		return fmt.Errorf("graph does not fit its manifest: %w", err)
	}
	if err := checkMetadata(spec, v.session.Metadata()); err != nil {
		return err
	}
	return v.checkGolden(ctx)
}

// CheckGraph returns an error that names the first input or output of a graph
// that is not what the Spec promises.
func CheckGraph(spec models.Spec, inputs, outputs []tensor.Info) error {
	wantIn := []tensor.Info{{Name: InputSeries, Type: tensor.Float32, Shape: []int64{-1, int64(spec.Lookback), int64(spec.Channels())}}}
	if n := window.ContextLen(spec); n > 0 {
		wantIn = append(wantIn, tensor.Info{Name: InputContext, Type: tensor.Float32, Shape: []int64{-1, int64(n)}})
	}
	wantOut := []tensor.Info{{Name: OutputForecast, Type: tensor.Float32, Shape: []int64{-1, int64(spec.Horizon)}}}
	if q := len(spec.Quantiles); q > 0 {
		wantOut = append(wantOut, tensor.Info{Name: OutputQuantiles, Type: tensor.Float32, Shape: []int64{-1, int64(spec.Horizon), int64(q)}})
	}
	if err := checkInfos("input", wantIn, inputs); err != nil {
		return err
	}
	return checkInfos("output", wantOut, outputs)
}

func checkInfos(role string, want, have []tensor.Info) error {
	for _, w := range want {
		i := find(have, w.Name)
		switch {
		case i < 0:
			return fmt.Errorf("%s %s is missing", role, w)
		case have[i].Type != w.Type || !reflect.DeepEqual(have[i].Shape, w.Shape):
			return fmt.Errorf("%s is %s, must be %s", role, have[i], w)
		}
	}
	if len(have) != len(want) {
		return fmt.Errorf("%d %ss, must be %d", len(have), role, len(want))
	}
	return nil
}

func find(infos []tensor.Info, name string) int {
	for i, info := range infos {
		if info.Name == name {
			return i
		}
	}
	return -1
}

// checkMetadata compares the Spec inside the model file with the manifest's: two
// that differ mean that the two files do not belong together.
func checkMetadata(spec models.Spec, metadata map[string]string) error {
	text, ok := metadata[models.MetadataKey]
	if !ok {
		return fmt.Errorf("the model file has no %s in its metadata", models.MetadataKey)
	}
	var inside models.Spec
	if err := json.Unmarshal([]byte(text), &inside); err != nil {
		return fmt.Errorf("metadata %s: %w", models.MetadataKey, err)
	}
	a, errA := json.Marshal(inside)
	b, errB := json.Marshal(spec)
	if err := errors.Join(errA, errB); err != nil {
		return fmt.Errorf("metadata %s: %w", models.MetadataKey, err)
	}
	if string(a) != string(b) {
		return fmt.Errorf("the spec inside the model file differs from its manifest: %s against %s", a, b)
	}
	return nil
}

// goldenTolerance is how far an answer may be from the golden one, in parts of
// the scale of the values. Two correct implementations differ by about 1e-6.
const goldenTolerance = 1e-4

// checkGolden puts the golden request, or a row of zeros when the manifest has
// none, to the model, which also warms it, and compares the answer.
func (v *Version) checkGolden(ctx context.Context) error {
	spec, golden := v.Manifest.Spec, v.Manifest.Golden
	series, context := make([]float32, spec.Lookback*spec.Channels()), make([]float32, window.ContextLen(spec))
	if golden != nil {
		if len(golden.Series) != len(series) || len(golden.Context) != len(context) || len(golden.Forecast) != spec.Horizon {
			return fmt.Errorf("golden request: %d, %d and %d values, must be %d, %d and %d",
				len(golden.Series), len(golden.Context), len(golden.Forecast), len(series), len(context), spec.Horizon)
		}
		series, context = golden.Series, golden.Context
	}
	forecast, _, err := v.Forecast(ctx, 1, series, context)
	if err != nil {
		return fmt.Errorf("golden request: %w", err)
	}
	if golden == nil {
		return nil
	}
	// The scale is that of the target, in and out: an answer near zero, taken
	// alone, would ask for more than float32 has.
	scale := float32(0)
	for i := 0; i < len(series); i += spec.Channels() {
		scale = max(scale, abs(series[i]))
	}
	for _, want := range golden.Forecast {
		scale = max(scale, abs(want))
	}
	if scale == 0 {
		scale = 1
	}
	for i, want := range golden.Forecast {
		if diff := abs(forecast[i] - want); !(diff <= goldenTolerance*scale) { // NaN is a failure too
			return fmt.Errorf("golden request: step %d is %v, the trainer had %v", i+1, forecast[i], want)
		}
	}
	return nil
}

func abs(v float32) float32 { return float32(math.Abs(float64(v))) }

// Forecast runs one of our own models on encoded rows: series is
// [rows, Lookback, Channels], context [rows, ContextLen]. It returns
// forecast [rows, Horizon] and, from a quantile model, quantiles
// [rows, Horizon, len(Quantiles)].
func (v *Version) Forecast(ctx context.Context, rows int, series, context []float32) (forecast, quantiles []float32, err error) {
	return v.ForecastBy(ctx, v.session, rows, series, context)
}

// ForecastBy is Forecast through another runner, which is the version's session
// behind a queue.
func (v *Version) ForecastBy(ctx context.Context, by batch.Runner, rows int, series, context []float32) (forecast, quantiles []float32, err error) {
	spec := v.Manifest.Spec
	b := batch.Batch{Rows: rows}
	for _, info := range v.session.Inputs() {
		switch info.Name {
		case InputSeries:
			b.Inputs = append(b.Inputs, tensor.New(series, int64(rows), int64(spec.Lookback), int64(spec.Channels())))
		case InputContext:
			b.Inputs = append(b.Inputs, tensor.New(context, int64(rows), int64(len(context)/rows)))
		}
	}
	outputs, err := by.Run(ctx, b)
	if err != nil {
		return nil, nil, err
	}
	for i, info := range v.session.Outputs() {
		switch info.Name {
		case OutputForecast:
			forecast = outputs[i].Float32s()
		case OutputQuantiles:
			quantiles = outputs[i].Float32s()
		}
	}
	if len(forecast) != rows*spec.Horizon || len(quantiles) != rows*spec.Horizon*len(spec.Quantiles) {
		return nil, nil, fmt.Errorf("the model answered %d and %d values for %d rows, must be %d and %d",
			len(forecast), len(quantiles), rows, rows*spec.Horizon, rows*spec.Horizon*len(spec.Quantiles))
	}
	return forecast, quantiles, nil
}
