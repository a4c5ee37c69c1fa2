package trainer

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/feature"
	"github.com/forescale/forescale/trainer/onnx"
)

// study is a training on its way: the windows, their parts, and the members as
// they come.
//
// Whatever chooses (regularisation, modes, the moment to stop, weights, offsets
// of quantiles) looks at forecasts of slots that fitted nothing. For that each
// fitted member exists twice: an early one, fitted on the training part, that is
// judged on the validation part; and a late one that takes its place in the model
// and, where fitting is quick, has learned from the validation part too.
type study struct {
	config Config
	recipe recipe
	spec   models.Spec
	split  score.Split
	w      *windows
	sets   map[feature.Mode]*feature.Set

	train, valid, whole span
	folds               []fold
	fitRows, judgeRows  [2]int // windows of the training and the validation part, half-open

	last    candidate // persistence
	members []candidate
	early   *combination // of the early members
	final   *combination // of the late ones, with the same weights
	unseen  []float32    // its early forecasts [N, horizon], NaN before the validation part
	spread  *interval
	floor   bool // the target was never negative: no forecast is

	done  *progress
	tally tally
}

// candidate is a member that may become part of the combination.
type candidate struct {
	early, late member
	unseen      []float32 // forecasts [N, horizon] of the early one; NaN where it knew the slot
}

// tally counts what the report and the notes tell.
type tally struct {
	epochs, seen, rejected int
}

// newStudy readies the windows and the feature sets.
func newStudy(ctx context.Context, c Config, r recipe, spec models.Spec, d Data) (*study, error) {
	w, split, err := prepare(ctx, spec, d, c.Workers)
	if err != nil {
		return nil, err
	}
	n80 := split.TestStart()
	return studyOf(c, r, spec, w, newProgress(c, r), split, n80*11/16, n80*25/32, fmt.Sprintf("group %q", d.Grid.Group))
}

// studyOf readies the feature sets of windows whose first two folds are judged
// from slots a and b on. An error is about whose history they are.
func studyOf(c Config, r recipe, spec models.Spec, w *windows, done *progress, split score.Split, a, b int, whose string) (*study, error) {
	n70, n80 := split.ValidationStart(), split.TestStart()
	s := &study{
		config: c, recipe: r, spec: spec, split: split, w: w, sets: map[feature.Mode]*feature.Set{},
		train: span{0, n70}, valid: span{n70, n80}, whole: span{0, n80},
		done: done,
	}
	s.fitRows[0], s.fitRows[1] = w.rows(s.train, spec.Horizon)
	s.judgeRows[0], s.judgeRows[1] = w.rows(s.valid, spec.Horizon)
	if n := s.fitRows[1] - s.fitRows[0]; n < minTrain || s.judgeRows[1] == s.judgeRows[0] {
		return nil, fmt.Errorf("%s: of %d slots, gaps leave %d windows to train on and %d to validate with; at least %d and 1 are needed",
			whose, split.Train+split.Validation+split.Test, n, s.judgeRows[1]-s.judgeRows[0], minTrain)
	}
	// Two folds inside the training part and the validation part: an event that one
	// of them lacks is still judged.
	for _, f := range []fold{{span{0, a}, span{a, b}}, {span{0, b}, span{b, n70}}, {s.train, s.valid}} {
		if first, last := w.rows(f.fit, spec.Horizon); last-first >= minTrain {
			s.folds = append(s.folds, f)
		}
	}
	wide, extra := widths(spec)
	for _, mode := range r.allModes() {
		set := feature.New(spec, mode, r.window)
		if r.scaleFree {
			set = feature.NewScaleFree(spec, r.window)
		}
		set.Fit(w.series[:s.fitRows[1]*wide], w.context[:s.fitRows[1]*extra], s.fitRows[1])
		s.sets[mode] = set
	}
	p, _ := newNaive(score.Persistence, spec, 0)
	s.last = candidate{p, p, w.of(p)}
	s.floor = true
	for _, y := range w.target {
		s.floor = s.floor && !(y < 0) // NaN is not below zero
	}
	return s, nil
}

// fit fits all members and combines them.
func (s *study) fit(ctx context.Context) error {
	base, err := s.addLinear(ctx)
	if err != nil {
		return err
	}
	if s.recipe.naive {
		s.addNaives()
	}
	if err := s.addNetworks(ctx, base); err != nil {
		return err
	}
	if err := s.addTrees(ctx, base); err != nil {
		return err
	}
	s.combine()
	return s.addSpread()
}

// addLinear adds the linear members, combined into one, and returns it as the
// base of those that correct it; persistence where the recipe has none.
func (s *study) addLinear(ctx context.Context) (base candidate, err error) {
	if len(s.recipe.modes) == 0 {
		return s.last, nil
	}
	var early, late []member
	var unseen [][]float32
	for _, mode := range s.recipe.modes {
		f, err := fitLinear(ctx, s.w, s.sets[mode], s.folds, s.whole)
		if err != nil {
			return base, err
		}
		early, late, unseen = append(early, f.early), append(late, f.late), append(unseen, f.unseen)
		s.done.advance("linear", linearCost, nil)
	}
	c := amongModes.weigh("linear", s.w, early, unseen, 0, s.w.len())
	base = candidate{
		early:  c,
		late:   &combination{label: c.label, members: late, weights: c.weights},
		unseen: c.blend(unseen),
	}
	s.members = append(s.members, base)
	return base, nil
}

// addNaives adds persistence and the seasonal naives that the spec has values
// for.
func (s *study) addNaives() {
	s.members = append(s.members, s.last)
	for _, n := range []struct {
		name   string
		period time.Duration
	}{{score.SeasonalNaiveHour, time.Hour}, {score.SeasonalNaiveDay, 24 * time.Hour}, {score.SeasonalNaiveWeek, 7 * 24 * time.Hour}} {
		if n.period%s.spec.Step() != 0 || n.period < 2*s.spec.Step() {
			continue
		}
		if m, ok := newNaive(n.name, s.spec, int(n.period/s.spec.Step())); ok {
			s.members = append(s.members, candidate{m, m, s.w.of(m)})
		}
	}
}

// combine weighs the members by their errors on the validation part.
func (s *study) combine() {
	var early, late []member
	var unseen [][]float32
	for _, c := range s.members {
		early, late, unseen = append(early, c.early), append(late, c.late), append(unseen, c.unseen)
	}
	s.early = amongMembers.weigh("combined", s.w, early, unseen, s.judgeRows[0], s.judgeRows[1])
	s.unseen = s.early.blend(unseen)
	s.final = &combination{label: s.early.label, members: late, weights: s.early.weights}
}

// addSpread fits and calibrates the quantiles. The spread is learned from errors
// of the linear members on the folds where there are such, since those are the
// most that nobody has seen; otherwise from the errors in the training part. The
// offsets come from the validation part.
func (s *study) addSpread() error {
	if len(s.spec.Quantiles) == 0 {
		return nil
	}
	errorsOf := s.unseen
	if len(s.recipe.modes) > 0 {
		errorsOf = s.members[0].unseen
	}
	var err error
	if s.spread, err = fitSpread(s.w, s.sets[s.recipe.spread], errorsOf); err != nil {
		return fmt.Errorf("quantiles: %w", err)
	}
	s.spread.calibrate(s.w, s.spec.Quantiles, s.unseen, s.judgeRows[0], s.judgeRows[1])
	return nil
}

// forecasts returns what the model says of windows.
func (s *study) forecasts(w *windows) onnx.Answer { return s.forecastsBy(s.final, w) }

// forecastsBy returns what a combination says of windows.
func (s *study) forecastsBy(c *combination, w *windows) onnx.Answer {
	a := onnx.Answer{Forecast: w.of(c)}
	if s.spread != nil {
		a.Quantiles, a.Peaks = s.spread.quantiles(w, a.Forecast), s.spread.quantilesOfPeaks(w, a.Forecast)
	}
	if s.floor {
		for _, v := range []*[]float32{&a.Forecast, &a.Quantiles, &a.Peaks} {
			*v = slices.Clone(*v)
			for i, x := range *v {
				(*v)[i] = max(x, 0)
			}
		}
	}
	return a
}

// bestMode returns, of the given modes, the one whose linear member has the
// greatest weight among the linear ones, which is to say that it erred least on
// the folds.
func (s *study) bestMode(of ...feature.Mode) feature.Mode {
	if len(s.recipe.modes) == 0 {
		return s.recipe.plainMode()
	}
	c, ok := s.members[0].early.(*combination)
	if !ok {
		return s.recipe.plainMode()
	}
	best, mode := math.Inf(-1), s.recipe.plainMode()
	for m, member := range c.members {
		own := member.(*linearMember).set.Mode()
		if !slices.Contains(of, own) {
			continue
		}
		sum := 0.0
		for _, v := range c.weights[m] {
			sum += float64(v)
		}
		if sum > best {
			best, mode = sum, own
		}
	}
	return mode
}
