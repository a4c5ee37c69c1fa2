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
// and has learned from the validation part too, unless it is a network that is not
// refitted.
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
	guard   *guard
	spread  *interval
	floor   bool  // before the test part the target was never negative: no forecast is
	asked   *exam // the test part, once it was asked for

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
	early                  int // networks whose late fit was no good, so that the early one stands in
}

// newStudy readies the windows and the feature sets.
func newStudy(ctx context.Context, c Config, r recipe, spec models.Spec, d Data) (*study, error) {
	w, split, err := prepare(ctx, spec, d, c.Workers)
	if err != nil {
		return nil, err
	}
	n80 := split.TestStart()
	s, err := studyOf(c, r, spec, w, newProgress(c, r), split, n80*11/16, n80*25/32, fmt.Sprintf("group %q", d.Grid.Group))
	if err == nil {
		s.floor = d.positive(spec.Target, n80)
	}
	return s, err
}

// positive reports whether the target was never negative in the first n slots, of
// some of which windows with gaps know nothing.
func (d Data) positive(target string, n int) bool {
	column := d.Grid.Columns[target]
	return !slices.ContainsFunc(column[:min(max(0, n), len(column))], func(y float64) bool { return y < 0 }) // NaN is not
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
	for k := range spec.Horizon {
		if s.knownAt(s.fitRows, k) == 0 || s.knownAt(s.judgeRows, k) == 0 {
			return nil, fmt.Errorf("%s: no window of the training or of the validation part knows %q %d steps ahead; "+
				"a series that comes less often than every %s needs a longer step", whose, spec.Target, k+1, spec.Step())
		}
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
	return s, nil
}

// knownAt counts the windows [rows[0], rows[1]) that know the target of step k
// (from 0).
func (s *study) knownAt(rows [2]int, k int) (n int) {
	for i := rows[0]; i < rows[1]; i++ {
		if isKnown(s.w.target[i*s.spec.Horizon+k]) {
			n++
		}
	}
	return n
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
	if err := s.addSpread(); err != nil {
		return err
	}
	s.combine()
	if s.spread != nil {
		s.spread.calibrate(s.w, s.spec.Quantiles, s.unseen, s.judgeRows[0], s.judgeRows[1])
	}
	return nil
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
		unseen: c.blend(s.w, unseen),
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
	if s.recipe.guarded {
		s.early.spread = s.spread
	}
	final := *s.early
	final.members = late
	s.final = &final
	s.unseen = s.early.blend(s.w, unseen)
	if s.recipe.guarded {
		s.guard = newGuard(s.w, s.fitRows[0], s.fitRows[1])
		if s.recipe.scaleFree { // which divides by how much each window varies as it is
			s.guard.calm = 0
		}
		s.unseen = s.guard.hold(s.w, s.unseen)
	}
}

// addSpread fits the spread that quantiles are multiples of. It is learned from
// errors of the linear members on the folds where there are such, since those are
// the most that nobody has seen; otherwise from the first member's errors in the
// training part.
func (s *study) addSpread() error {
	if len(s.spec.Quantiles) == 0 {
		return nil
	}
	errorsOf := s.members[0].unseen
	if len(s.recipe.modes) == 0 {
		errorsOf = slices.Clone(s.w.of(s.members[0].early))
		for i := range errorsOf[s.judgeRows[0]*s.spec.Horizon:] {
			errorsOf[s.judgeRows[0]*s.spec.Horizon+i] = nan32
		}
	}
	var err error
	if s.spread, err = fitSpread(s.w, s.sets[s.recipe.spread], errorsOf); err != nil {
		return fmt.Errorf("quantiles: %w", err)
	}
	return nil
}

// forecasts returns what the model says of windows.
func (s *study) forecasts(w *windows) onnx.Answer { return s.forecastsBy(s.final, w) }

// forecastsBy returns what the model would say of windows with another
// combination.
func (s *study) forecastsBy(c *combination, w *windows) onnx.Answer {
	a := onnx.Answer{Forecast: w.of(c)}
	if s.guard != nil {
		a.Forecast = s.guard.hold(w, a.Forecast)
	}
	if s.spread != nil {
		a.Quantiles, a.Peaks = s.spread.quantiles(w, a.Forecast), s.spread.quantilesOfPeaks(w, a.Forecast)
	}
	a.Forecast, a.Quantiles, a.Peaks = s.floored(a.Forecast), s.floored(a.Quantiles), s.floored(a.Peaks)
	return a
}

// floored returns forecasts without negative ones, where the target never was.
func (s *study) floored(v []float32) []float32 {
	if !s.floor || v == nil {
		return v
	}
	out := slices.Clone(v)
	for i, x := range out {
		out[i] = max(x, 0)
	}
	return out
}

// bestMode returns, of the given modes, the one whose linear member has the
// greatest weight among the linear ones, which is to say that it erred least on
// the folds.
func (s *study) bestMode(of ...feature.Mode) feature.Mode {
	if len(s.recipe.modes) == 0 {
		return s.recipe.plainMode()
	}
	best, mode := math.Inf(-1), s.recipe.plainMode()
	c := s.members[0].early.(*combination) // as addLinear adds it
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
