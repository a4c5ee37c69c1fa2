package trainer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
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
	_, res, err := trained(ctx, c, d)
	return res, err
}

// trained does what Train does and returns the study as well, with the test part
// asked.
func trained(ctx context.Context, c Config, d Data) (*study, *Result, error) {
	started := c.now()
	s, d, notes, err := newTraining(ctx, c, d)
	if err != nil {
		return nil, nil, err
	}
	if err := s.fit(ctx); err != nil {
		return nil, nil, err
	}
	res, err := s.result(ctx, d, c.now().Sub(started).Seconds())
	if err != nil {
		return nil, nil, err
	}
	res.Notes = append(notes, res.Notes...)
	return s, res, nil
}

// checkedSpec returns the spec, or what of the data it does not do with.
func (c Config) checkedSpec(r recipe, d Data) (spec models.Spec, notes []string, err error) {
	if spec, notes, err = c.spec(r, d); err != nil {
		return spec, nil, err
	}
	if err := checkValues(spec, d); err != nil {
		return spec, nil, err
	}
	if n, need := d.Grid.Len(), needed(spec); n < need {
		return spec, nil, fmt.Errorf("group %q: the data has %d slots, a lookback of %d with a horizon of %d needs at least %d",
			d.Grid.Group, n, spec.Lookback, spec.Horizon, need)
	}
	return spec, notes, nil
}

// newTraining checks what is to be learned from what and returns the study of it,
// with nothing fitted yet; the data as it learns from them; and what was left out
// and why.
func newTraining(ctx context.Context, c Config, d Data) (s *study, used Data, notes []string, err error) {
	if err := c.Validate(); err != nil {
		return nil, d, nil, err
	}
	if d, err = d.trimmed(c.Target); err != nil {
		return nil, d, nil, err
	}
	r := c.recipe()
	spec, notes, err := c.checkedSpec(r, d)
	if err != nil {
		return nil, d, nil, err
	}
	s, err = newStudy(ctx, c, r, spec, d)
	return s, d, notes, err
}

// now is the configured clock; without one, time stands still.
func (c Config) now() time.Time {
	if c.Now == nil {
		return time.Time{}
	}
	return c.Now()
}

// exported exports the fitted model, runs the export beside the members, and
// returns it with what its manifest says whatever it is measured on: all but the
// groups, the time that the history covers, and the scores.
func (s *study) exported() (model []byte, p *onnx.Program, m models.Manifest, err error) {
	if model, err = s.export(); err != nil {
		return nil, nil, m, err
	}
	if p, err = onnx.Load(model); err != nil {
		return nil, nil, m, err
	}
	if err := s.verify(p, s.w.head(s.judgeRows[0], runBatch)); err != nil {
		return nil, nil, m, err
	}
	sum := sha256.Sum256(model)
	golden := s.w.head(s.judgeRows[0], 1)
	says := s.forecasts(golden)
	m = models.Manifest{
		Spec: s.spec, Preset: s.config.Preset, Seed: s.config.Seed,
		SHA256: hex.EncodeToString(sum[:]), SizeBytes: int64(len(model)),
		Golden: &models.Golden{Series: golden.series, Context: golden.context, Forecast: says.Forecast,
			Quantiles: says.Quantiles, Peaks: says.Peaks},
	}
	if s.config.Now != nil {
		m.CreatedAt = s.config.Now().UTC()
	}
	return model, p, m, nil
}

// training says what the training took.
func (s *study) training(seconds float64) score.Training {
	t := score.Training{Epochs: s.tally.epochs, Seconds: seconds}
	if seconds > 0 {
		t.SamplesPerSecond = float64(s.tally.seen) / seconds
	}
	return t
}

// result exports the fitted model and measures it.
func (s *study) result(ctx context.Context, d Data, seconds float64) (*Result, error) {
	model, program, m, err := s.exported()
	if err != nil {
		return nil, err
	}
	t, err := s.test(ctx, program, d)
	if err != nil {
		return nil, err
	}
	m.Groups, m.Scores, m.CalendarHash = []string{d.Grid.Group}, t.horizons, d.CalendarHash
	m.TrainedFrom, m.TrainedUntil = d.Grid.Time(0).UTC(), d.Grid.Time(s.split.TestStart()).UTC()
	return &Result{
		Model: model, Manifest: m, Predictions: t.predictions, Notes: s.notes(s.w.gaps, t.fallbacks),
		Report: score.Report{
			Target: s.spec.Target, StepSeconds: s.spec.StepSeconds, Split: s.split, Horizons: t.horizons, Members: t.members,
			Training: s.training(seconds), Seed: s.config.Seed, ModelSHA256: m.SHA256,
		},
	}, nil
}

// notes says what a reader of the scores should know; gaps is the number of
// windows left out, fallbacks that of test forecasts without one.
func (s *study) notes(gaps, fallbacks int) (notes []string) {
	for _, n := range []struct {
		count int
		text  string
	}{
		{gaps, "%d windows with gaps were left out of training and validation"},
		{fallbacks, "%d test forecasts are the last known value, because their windows have gaps"},
		{s.tally.rejected, "the learning rate was halved %d times because the loss was not finite"},
		{s.tally.early, "%d networks were worse after learning from the validation part too and are as they were before"},
	} {
		if n.count > 0 {
			notes = append(notes, fmt.Sprintf(n.text, n.count))
		}
	}
	return notes
}

// head returns n windows from first on, or as many as there are.
func (w *windows) head(first, n int) *windows {
	wide, extra := widths(w.spec)
	last := min(w.len(), first+n)
	return newWindows(w.spec, &samples{
		origins: w.origins[first:last], series: w.series[first*wide : last*wide],
		context: w.context[first*extra : last*extra], target: w.target[first*w.spec.Horizon : last*w.spec.Horizon],
	}, w.workers)
}

// verify compares what the exported model says of windows, run in pure Go, with
// what the members say.
func (s *study) verify(p *onnx.Program, w *windows) error {
	want := s.forecasts(w)
	got, err := p.Answer(w.series, w.context, w.len())
	if err != nil {
		return err
	}
	scale := float32(0)
	for _, y := range w.target {
		if isKnown(y) {
			scale = max(scale, float32(math.Abs(float64(y))))
		}
	}
	for _, part := range []struct {
		name      string
		got, want []float32
	}{{"forecast", got.Forecast, want.Forecast}, {"quantile", got.Quantiles, want.Quantiles}, {"peak", got.Peaks, want.Peaks}} {
		if len(part.got) != len(part.want) {
			return fmt.Errorf("the exported model answers %d values as a %s, must be %d", len(part.got), part.name, len(part.want))
		}
		for i, v := range part.want {
			if !near(part.got[i], v, scale) {
				return fmt.Errorf("the exported model has a %s of %v where the trained one has %v", part.name, part.got[i], v)
			}
		}
	}
	return nil
}

// near is the agreement that every implementation of a model must keep:
// |a-b| <= 1e-5 x max(1, |a|, the scale of the output).
func near(a, b, scale float32) bool {
	limit := 1e-5 * max(1, math.Abs(float64(a)), float64(scale))
	return math.Abs(float64(a)-float64(b)) <= limit // false for NaN
}

// needed returns the least number of slots with minTrain training windows and a
// validation window, if nothing is missing.
func needed(spec models.Spec) int {
	first := spec.Lookback
	for _, lag := range spec.Lags {
		first = max(first, lag.Offsets[len(lag.Offsets)-1]+1)
	}
	for n := 0; ; n++ {
		s := score.NewSplit(n)
		if s.Train-spec.Horizon-first+1 >= minTrain && s.Validation >= spec.Horizon {
			return n
		}
	}
}
