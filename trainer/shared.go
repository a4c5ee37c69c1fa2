package trainer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/feature"
	"github.com/forescale/forescale/trainer/onnx"
)

// SharedResult is a trained model for any group, with all that is known of it.
type SharedResult struct {
	Model    []byte          // model.onnx
	Manifest models.Manifest // without Name and Version, which the registry's user decides
	Report   score.SharedReport
	// Notes says, for people, what was left out, filled in or mended.
	Notes []string
}

// DefaultSharedWindows is the most windows that a shared model learns from where
// Config.SharedWindows does not say otherwise: what trains in minutes and a
// gigabyte.
const DefaultSharedWindows = 150_000

// sharedEpoch is how many times longer an epoch of a shared network is: it sees
// windows of many groups, of which a single group's epoch would pass most over.
const sharedEpoch = 4

// TrainShared fits one model to the histories of many groups of whatever size,
// fits its intervals to each of them, and measures it on the test part of each.
// It answers physical values, for a group that it has never seen too. It reads the
// target, the flags known in advance and, beside them, only what Config.Inputs
// names.
//
//   - In the histories that it learns from, the target is divided by what
//     persistence errs in the group's training part, so that groups count alike,
//     those too that vary little on a high level; every member is scale-free
//     (feature.NewScaleFree), so that the exported model needs no such division.
//   - All groups are cut at the same two times (see timeline): nothing that fits or
//     chooses sees a slot of any group after the test part of another has begun. An
//     event that hits many groups at once would otherwise be known from the others.
//   - At most Config.SharedWindows windows are made, see choice.
//
// A group without the target or a named input, or with absurd values, is left out,
// with a note; one that has no load in the training part teaches nothing and is
// scored all the same. The error says why no group is left, names the group whose
// step differs from the others', or is ctx.Err(). Neither the order of the groups
// nor the number of workers has an influence.
func TrainShared(ctx context.Context, c Config, groups []Data) (*SharedResult, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	started := c.now()
	r, err := c.sharedRecipe()
	if err != nil {
		return nil, err
	}
	sharers, notes, err := c.sharers(groups)
	if err != nil {
		return nil, err
	}
	t := &shared{config: c, sharers: sharers, timeline: newTimeline(c.Target, sharers), notes: notes, done: newProgress(c, r)}
	t.done.total += collectCost + calibrateCost + scoreCost + float64(ownCost*min(c.Compare, len(sharers)))
	spec, err := t.spec(r)
	if err != nil {
		return nil, err
	}
	w, err := t.windows(ctx, r, spec)
	if err != nil {
		return nil, err
	}
	l := t.timeline
	if t.study, err = studyOf(c, r, spec, w, t.done, l.split, l.firstFold, l.secondFold, fmt.Sprintf("%d groups", len(sharers))); err != nil {
		return nil, err
	}
	t.study.floor = !slices.ContainsFunc(sharers, func(g *sharer) bool {
		return !g.data.positive(spec.Target, l.split.TestStart()-g.late)
	})
	if err := t.study.fit(ctx); err != nil {
		return nil, err
	}
	if err := t.calibrate(ctx); err != nil {
		return nil, err
	}
	return t.result(ctx, started)
}

// What parts of a shared training cost beside its members, as linearCost counts.
const (
	collectCost   = 1
	calibrateCost = 1
	scoreCost     = 3
	ownCost       = 1 // of a model of a group's own
)

// shared is a shared training on its way.
type shared struct {
	config   Config
	sharers  []*sharer // by name
	timeline timeline
	study    *study
	done     *progress
	notes    []string
}

// sharedRecipe returns the recipe of a shared model: that of the preset, on scales
// that the windows bring along.
func (c Config) sharedRecipe() (recipe, error) {
	r := c.recipe()
	for i, n := range r.networks {
		if n.ranged {
			return r, fmt.Errorf("preset: %s reads values by their range, which is another for each group; a shared model can be %s, %s or %s",
				c.Preset, PresetAdvanced, PresetDefault, PresetFast)
		}
		r.networks[i].schedule.epochSteps *= sharedEpoch
	}
	r.scaleFree, r.spread = true, feature.Ratio
	if r.modes != nil {
		r.modes = []feature.Mode{feature.Ratio}
	}
	return r, nil
}

// result exports the fitted model, checks the export and measures it.
func (t *shared) result(ctx context.Context, started time.Time) (*SharedResult, error) {
	s, c := t.study, t.config
	model, program, m, err := s.exported()
	if err != nil {
		return nil, err
	}
	if err := t.score(ctx, program); err != nil {
		return nil, err
	}
	if err := t.compare(ctx); err != nil {
		return nil, err
	}
	res := &SharedResult{Model: model, Manifest: m, Report: t.report()}
	res.Report.ModelSHA256 = m.SHA256
	res.Report.Training = s.training(c.now().Sub(started).Seconds())
	res.Manifest.Groups, res.Manifest.Scores = []string{models.AnyGroup}, res.Report.Horizons
	res.Manifest.CalendarHash = t.sharers[0].data.CalendarHash // one calendar is for all groups
	res.Manifest.TrainedFrom, res.Manifest.TrainedUntil = t.timeline.time(0), t.timeline.time(s.split.TestStart())
	res.Manifest.Calibration = map[string][]float64{}
	for _, g := range t.sharers {
		if g.factors != nil {
			res.Manifest.Calibration[g.name()] = g.factors
		}
	}
	res.Notes = t.notes
	return res, nil
}

// report says how good the model is for each group and over all.
func (t *shared) report() score.SharedReport {
	s, l := t.study, t.timeline
	r := score.SharedReport{
		Target: s.spec.Target, StepSeconds: s.spec.StepSeconds, Start: l.time(0), Split: s.split, Windows: s.w.len(),
		Seed: t.config.Seed,
	}
	for m, c := range s.members {
		r.Shares = append(r.Shares, score.Share{Name: c.late.name(), Weights: widen(s.final.weights[m])})
	}
	fallbacks, gaps := 0, 0
	for _, g := range t.sharers {
		r.Groups = append(r.Groups, score.GroupReport{Group: g.name(), Scale: g.scale, Windows: g.windows,
			Calibration: g.factors, Horizons: g.horizons, Own: g.own})
		fallbacks, gaps = fallbacks+g.fallbacks, gaps+g.gaps
	}
	r.Horizons = pooled(s.spec.Horizon, t.sharers, func(g *sharer) []models.HorizonScore { return g.horizons })
	if own := t.compared(); len(own) > 0 {
		r.Comparison = &score.Comparison{
			Shared: pooled(s.spec.Horizon, own, func(g *sharer) []models.HorizonScore { return g.horizons }),
			Own:    pooled(s.spec.Horizon, own, func(g *sharer) []models.HorizonScore { return g.own }),
		}
		for _, g := range own {
			r.Comparison.Groups = append(r.Comparison.Groups, g.name())
		}
	}
	t.notes = append(t.notes, s.notes(gaps, fallbacks)...)
	return r
}

// pooled pools scores of groups by step ahead.
func pooled(horizon int, sharers []*sharer, of func(*sharer) []models.HorizonScore) []models.HorizonScore {
	out := make([]models.HorizonScore, horizon)
	for k := range out {
		var parts []score.Part
		for _, g := range sharers {
			if h := of(g); h != nil {
				parts = append(parts, score.Part{Score: h[k], Scale: g.scale})
			}
		}
		out[k] = score.Pool(parts)
		out[k].Steps = k + 1
	}
	return out
}

// score measures the model on the test part of every group.
func (t *shared) score(ctx context.Context, p *onnx.Program) error {
	return t.each(t.sharers, "scores", scoreCost, func(g *sharer) error {
		e, err := newExam(ctx, t.study.spec, g.data, g.split, 1)
		if err != nil {
			return err
		}
		model, err := answersOf(ctx, p, e.w)
		if err != nil {
			return err
		}
		if g.factors != nil {
			calibrated(t.study.spec, g.factors, model)
		}
		g.horizons, g.fallbacks = onlyPersistence(e.grade(model.Forecast, model.Quantiles)), e.unanswered()
		return nil
	})
}

// onlyPersistence keeps persistence of the baselines: a report of a thousand
// groups is large enough.
func onlyPersistence(scores []models.HorizonScore) []models.HorizonScore {
	for i, h := range scores {
		scores[i].Baselines = map[string]models.Score{score.Persistence: h.Baselines[score.Persistence]}
	}
	return scores
}

// each calls work for groups, several at a time, and returns the error of the
// first by name.
func (t *shared) each(sharers []*sharer, stage string, cost float64, work func(g *sharer) error) error {
	errs := make([]error, len(sharers))
	parallel(t.config.workers(), len(sharers), func(i int) {
		if errs[i] = work(sharers[i]); errs[i] == nil {
			t.done.advance(stage, cost/float64(len(sharers)), nil)
		}
	})
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("group %q: %w", sharers[i].name(), err)
		}
	}
	return nil
}

// compared returns the groups that got a model of their own.
func (t *shared) compared() (own []*sharer) {
	for _, g := range t.sharers {
		if g.own != nil {
			own = append(own, g)
		}
	}
	return own
}

// compare trains a model of their own for some groups, evenly chosen by name, with
// the same configuration, on the same parts, and measures it on the same slots.
// Its inputs are what it would read if it were trained alone.
func (t *shared) compare(ctx context.Context) error {
	var able []*sharer
	for _, g := range t.sharers {
		if g.windows > 0 && len(g.horizons) > 0 && g.horizons[0].N > 0 {
			able = append(able, g)
		}
	}
	n := min(t.config.Compare, len(able))
	var chosen []*sharer
	for i := range n {
		chosen = append(chosen, able[(2*i+1)*len(able)/(2*n)])
	}
	failed := make(map[*sharer]error)
	err := t.each(chosen, "own models", float64(ownCost*n), func(g *sharer) error {
		c, d := t.config, g.data
		c.Workers, c.Progress, c.Checkpoint, c.Now = 1, nil, nil, nil
		d.split = &g.split
		own, err := Train(ctx, c, d)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			t.done.mu.Lock()
			defer t.done.mu.Unlock()
			failed[g] = err
			return nil
		}
		g.own = onlyPersistence(own.Report.Horizons)
		return nil
	})
	for _, g := range chosen {
		if failed[g] != nil {
			t.notes = append(t.notes, fmt.Sprintf("not compared: %v", failed[g]))
		}
	}
	return err
}
