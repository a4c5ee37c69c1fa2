package trainer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/onnx"
)

// Result is a trained model with all that is known of it.
type Result struct {
	Model       []byte          // model.onnx
	Manifest    models.Manifest // without Name and Version, which the registry's user decides
	Report      score.Report
	Predictions score.Predictions
	// Notes says, for people, what was left out, filled in or mended.
	Notes []string
}

// Train fits a model to the data and measures it on the test part. The error
// names what of the configuration or the data does not do; ctx ends it between
// two steps with ctx.Err().
func Train(ctx context.Context, c Config, d Data) (*Result, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d, err := d.trimmed(c.Target)
	if err != nil {
		return nil, err
	}
	var started time.Time
	if c.Now != nil {
		started = c.Now()
	}
	r := c.recipe()
	spec, notes, err := c.spec(r, d)
	if err != nil {
		return nil, err
	}
	if err := checkValues(spec, d); err != nil {
		return nil, err
	}
	p, err := divide(ctx, spec, d)
	if err != nil {
		return nil, err
	}
	f, err := newFit(c, r, spec, p)
	if err != nil {
		return nil, err
	}
	if err := f.run(ctx); err != nil {
		return nil, err
	}
	seconds := 0.0
	if c.Now != nil {
		seconds = c.Now().Sub(started).Seconds()
	}
	res, err := f.result(ctx, d, seconds)
	if err != nil {
		return nil, err
	}
	res.Notes = append(notes, res.Notes...)
	if c.Now != nil {
		res.Manifest.CreatedAt = c.Now().UTC()
	}
	return res, nil
}

// result exports the fitted model, checks the export and measures it.
func (f *fit) result(ctx context.Context, d Data, seconds float64) (*Result, error) {
	model, err := f.export()
	if err != nil {
		return nil, err
	}
	program, err := onnx.Load(model)
	if err != nil {
		return nil, err
	}
	if err := f.verify(program, f.parts.validation.head(runBatch)); err != nil {
		return nil, err
	}
	t, err := test(ctx, program, f.spec, d)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(model)
	res := &Result{Model: model, Predictions: t.predictions}
	res.Report = score.Report{
		Target: f.spec.Target, StepSeconds: f.spec.StepSeconds, Split: f.parts.split, Horizons: t.horizons,
		Training: score.Training{Epochs: f.epochsRun, Seconds: seconds},
		Seed:     f.config.Seed, ModelSHA256: hex.EncodeToString(sum[:]),
	}
	if seconds > 0 {
		res.Report.Training.SamplesPerSecond = float64(f.seen) / seconds
	}
	golden := f.parts.validation.head(1)
	res.Manifest = models.Manifest{
		Groups: []string{d.Grid.Group}, Spec: f.spec, Preset: f.config.Preset, Seed: f.config.Seed,
		SHA256: res.Report.ModelSHA256, SizeBytes: int64(len(model)),
		TrainedFrom: d.Grid.Time(0).UTC(), TrainedUntil: d.Grid.Time(f.parts.split.TestStart()).UTC(),
		Scores: t.horizons,
		Golden: &models.Golden{Series: golden.series, Context: golden.context, Forecast: f.forecasts(golden)},
	}
	res.Notes = f.notes(t)
	return res, nil
}

// notes says what a reader of the scores should know.
func (f *fit) notes(t *tested) (notes []string) {
	note := func(n int, format string, args ...any) {
		if n > 0 {
			notes = append(notes, fmt.Sprintf(format, args...))
		}
	}
	note(f.parts.train.gaps+f.parts.validation.gaps, "%d windows with gaps were left out of training, %d of validation",
		f.parts.train.gaps, f.parts.validation.gaps)
	note(t.fallbacks, "%d test forecasts are the last known value, because their windows have gaps", t.fallbacks)
	note(f.rejected, "the learning rate was halved %d times because the loss was not finite", f.rejected)
	return notes
}
