package trainer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/trainer/search"
)

// Search looks for settings of the configuration that forecast this history
// better, and returns all trials and the configuration with the best. The space's
// names are keys of Config. A journal, which may be nil, lets an interrupted search
// go on; it takes a DataHash.
//
// Trial 0 is the configuration as it stands and runs in every rung. It wins unless
// another is better by a hundredth of its loss: the least of many losses is least
// by luck, too, and what is won by less seldom holds on the test part.
//
// # What a trial's loss is
//
// The test part of the history is cut off first, and no trial sees it. What is left
// is judged in folds that roll forward in time, each of them a history of its own,
// cut where its test part ends:
//
//	fold 1: the history up to the test part, n slots
//	fold 2: the history up to the test part of fold 1, 0.8 n slots
//
// On each a trial does what Train does: it fits on the first 70 %, stops and weighs
// the members on the next 10 %, and forecasts the last 20 %. So the folds judge two
// stretches one after the other, the older inside the training part of the whole
// history: an event that the newest slots lack still counts. With N slots in all,
// they are [0.512 N, 0.64 N) and [0.64 N, 0.8 N). A fold knows less than the whole
// history does: its inputs and lags are those that its own training part affords.
//
// Let y be the known targets of a fold's last 20 %, f the whole combination's
// forecasts of them k steps ahead, and p the last value known when f was made.
// With H steps ahead,
//
//	loss = mean over the folds of 1/H Σ_k (Σ|y - f_k| / Σ|y - p_k|)
//
// so 1 is as good as persistence, and a step far ahead counts no more than a near
// one. Where a window has too wide a gap, f is p, as in the report: no trial gains
// by refusing what is hard. Steps at which persistence never errs are left out.
//
// # Budgets
//
// A budget is the number of epochs of every network. The last rung's is what the
// returned configuration trains with; of the trees of an ensemble a smaller budget
// fits the same part as of the epochs.
//
// # Errors
//
// The search's and the candidates' faults, all at once, before any trial runs;
// data that is too short, or that never changes in a fold; what search.Run returns.
// Beside an error of Run the result holds the trials so far.
//
// A trial computes on one goroutine, and as many run at once as Config.Workers
// says, or the search's own workers where those are more. Neither changes the
// result.
func Search(ctx context.Context, c Config, d Data, sc search.Config, j *search.Journal) (search.Result, Config, error) {
	c.Search = nil
	sc = c.completed(sc)
	if err := errors.Join(append([]error{c.Validate()}, c.searchFaults(sc)...)...); err != nil {
		return search.Result{}, c, err
	}
	if j != nil && sc.DataHash == "" {
		return search.Result{}, c, errors.New("search: a journal takes a hash of the data and the configuration")
	}
	d, err := d.trimmed(c.Target)
	if err != nil {
		return search.Result{}, c, err
	}
	t := &tuning{config: c, full: sc.MaxBudget, folds: d.searchFolds()}
	if err := t.check(sc.Candidates()); err != nil {
		return search.Result{}, c, err
	}
	res, err := search.Run(ctx, sc, t.loss, j)
	if err != nil {
		return res, c, err
	}
	res.Best = worthwhile(res)
	// With its epochs the fragment says all that the winner takes.
	res.Best.Params = maps.Clone(res.Best.Params)
	res.Best.Params[budgetKey] = sc.MaxBudget
	c, err = c.with(res.Best.Params)
	return res, c, err
}

// minGain is by how much of its loss the configuration as it stands must be beaten.
const minGain = 0.01

// worthwhile returns the best trial, or trial 0 of the same rung if it is about as
// good.
func worthwhile(r search.Result) search.Trial {
	for _, t := range r.Trials {
		if t.ID == 0 && t.Rung == r.Best.Rung && t.State == search.Done && r.Best.Loss > (1-minGain)*t.Loss {
			return t
		}
	}
	return r.Best
}

// completed returns the search with what the configuration settles.
func (c Config) completed(sc search.Config) search.Config {
	sc.Workers = max(sc.Workers, c.workers())
	sc.Given = []search.Params{{}}
	if sc.Now == nil {
		sc.Now = c.Now
	}
	return sc
}

// searchFolds returns the histories that judge trials, the newest first. None
// reaches into the test part.
func (d Data) searchFolds() []Data {
	var folds []Data
	for range searchFolds {
		d = d.until(score.NewSplit(d.Grid.Len()).TestStart())
		folds = append(folds, d)
	}
	return folds
}

// searchFolds is how many histories judge a trial.
const searchFolds = 2

// until returns the first n slots, sharing their memory.
func (d Data) until(n int) Data {
	g := *d.Grid
	g.Columns = maps.Clone(g.Columns)
	for name, column := range g.Columns {
		g.Columns[name] = column[:min(n, len(column)):min(n, len(column))]
	}
	g.Censored = g.Censored[:min(n, len(g.Censored))]
	d.Grid = &g
	return d
}

// tuning judges trials. Its methods may be called by several goroutines at once.
type tuning struct {
	config Config
	full   int // epochs of the last rung
	folds  []Data
}

// check returns what of the candidates the data does not allow, each fault once.
func (t *tuning) check(candidates []search.Params) error {
	var faults []error
	seen := map[string]bool{}
	for i, p := range candidates {
		c, err := t.trial(p, t.full)
		for _, d := range t.folds {
			if err != nil {
				break
			}
			if _, _, err = c.checkedSpec(c.recipe(), d); err != nil {
				err = fmt.Errorf("on the fold of the first %d slots: %w", d.Grid.Len(), err)
			}
		}
		if err != nil && !seen[err.Error()] {
			seen[err.Error()] = true
			faults = append(faults, fmt.Errorf("search: trial %d: %w", i, err))
		}
	}
	return errors.Join(faults...)
}

// trial returns the configuration of a trial. Quantiles are left out: they change
// no point forecast.
func (t *tuning) trial(p search.Params, budget int) (Config, error) {
	c := t.config
	c.Workers, c.Quantiles, c.Checkpoint, c.Progress, c.Now = 1, []float64{}, nil, nil, nil
	c, err := c.with(p)
	c.Epochs = budget
	return c, err
}

// loss is the search's objective; see Search.
func (t *tuning) loss(ctx context.Context, p search.Params, budget int) (float64, error) {
	c, err := t.trial(p, budget)
	if err != nil {
		return 0, err
	}
	r := c.recipe()
	r.trees = slices.Clone(r.trees)
	for i := range r.trees {
		n := &r.trees[i].config.Trees
		*n = (*n*budget + t.full - 1) / t.full
	}
	sum := 0.0
	for _, d := range t.folds {
		spec, _, err := c.checkedSpec(r, d)
		if err != nil {
			return 0, err
		}
		s, err := newStudy(ctx, c, r, spec, d)
		if err != nil {
			return 0, err
		}
		if err := s.fit(ctx); err != nil {
			return 0, err
		}
		e, err := s.relativeError(ctx, d)
		if err != nil {
			return 0, err
		}
		sum += e
	}
	return sum / float64(len(t.folds)), nil
}

// relativeError returns the error on the test part of the study's own history,
// relative to that of persistence: the mean over the steps ahead.
func (s *study) relativeError(ctx context.Context, d Data) (float64, error) {
	n, H := d.Grid.Len(), s.spec.Horizon
	first := max(0, s.split.TestStart()-H)
	judged, err := collect(ctx, s.spec, d, first, n-1)
	if err != nil {
		return 0, err
	}
	w := newWindows(s.spec, judged, s.config.Workers)
	forecasts := s.forecasts(w).Forecast
	last := score.NewBaselines(d.Grid.Columns[s.spec.Target], d.Grid.Step)
	ours, naive := make([]float64, H), make([]float64, H)
	for origin := first; origin < n-1; origin++ {
		row, answered := slices.BinarySearch(w.origins, origin)
		for k := 1; k <= H; k++ {
			y, ok := window.TargetAt(s.spec, d.Grid, origin, k)
			if !ok || origin+k < s.split.TestStart() {
				continue
			}
			p := last.Persistence(origin)
			f := p
			if answered {
				f = float64(forecasts[row*H+k-1])
			}
			ours[k-1] += math.Abs(y - f)
			naive[k-1] += math.Abs(y - p)
		}
	}
	sum, steps := 0.0, 0
	for k := range H {
		if naive[k] > 0 {
			sum += ours[k] / naive[k]
			steps++
		}
	}
	if steps == 0 { // as it would be in every other trial
		return 0, fmt.Errorf("%w: group %q: the target %q does not change from %s to %s, which cannot tell a good forecast from a bad one",
			search.ErrAbort, d.Grid.Group, s.spec.Target, stamp(d, s.split.TestStart()), stamp(d, n))
	}
	return sum / float64(steps), nil
}

// stamp returns the start of a slot.
func stamp(d Data, slot int) string { return d.Grid.Time(slot).UTC().Format("2006-01-02 15:04") }

// DefaultSearch returns the search for those who declare none: over the lookback,
// and the shape and the training of the networks, as far as the configuration
// leaves them to the preset. Its last rung is the training that the configuration
// asks for. Which kinds of members there are stays: that is what a preset is chosen
// for, and trees take many times as long as the small networks beside them.
func DefaultSearch(c Config) search.Config {
	sc := search.DefaultConfig()
	sc.Space = search.Space{
		"hidden":    search.LogInt(8, 64),
		"head":      search.LogInt(16, 96),
		"layers":    search.Choice(1, 2),
		"attention": search.Choice(false, true),
		"linear":    search.Choice(false, true),
		"dropout":   search.Uniform(0, 0.4),
		"rate":      search.Log(5e-4, 1e-2),
		"loss":      search.Choice(lossAbsolute, lossHuber),
		"batch":     search.Choice(64, 128, 256),
		"lookback":  search.Choice(24, 36, 48),
	}
	maps.DeleteFunc(sc.Space, func(name string, _ search.Domain) bool { return c.says(name) })
	sc.Trials, sc.MaxBudget = 18, 1
	for _, n := range c.recipe().networks {
		sc.MaxBudget = max(sc.MaxBudget, n.schedule.epochs)
	}
	sc.MinBudget = cmp.Or(sc.MaxBudget/9, 1)
	return sc
}
