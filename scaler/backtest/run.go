package backtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/internal/fleet"
)

// Config says what to replay.
type Config struct {
	Trace  string // the history's name, for people
	Group  string // the group that the forecasts name
	Demand *fleet.Demand
	Lead   int // minutes from an order until it serves
	// Policies are replayed in this order. Nil: all of them.
	Policies []Policy
	// Forecasts are of a model that was fitted on slots before n80 only. They are
	// asked for from slot n80-1 on; without Rehearsal, for the warm-up too. Nil will
	// do where no policy is predictive.
	Forecasts Forecaster
	// Rehearsal are forecasts of a model that was fitted on slots before n70 only, for
	// the slots from there to n80 and the warm-up before them. Nil: nothing is
	// recommended, and what a policy learns online begins with the warm-up.
	Rehearsal Forecaster
	// Refit, when set, replays what ships once more with models that are fitted anew
	// every RefitEvery, a whole number of slots.
	Refit      Refit
	RefitEvery time.Duration
	// Workers bounds the simulations at a time; 0: one.
	Workers int
	// Progress, when set, is called after each simulation, never twice at a time.
	Progress func(done, total int)
}

// Result is what came of a replay.
type Result struct {
	Report Report
	// Plans reproduce each policy at its default knob, and the oracle: judged, they
	// have the numbers of the report.
	Plans map[string]fleet.Plan
	// Runs are what the same fleets did in the test part, and Demand is what they
	// lived through.
	Runs   map[string]fleet.Run
	Demand *fleet.Demand
}

// check returns what of a configuration cannot be replayed.
func (c Config) check() error {
	d := c.Demand
	switch {
	case d == nil:
		return errors.New("backtest: there is no demand")
	case d.TrainEnd() == 0 || d.ScoreStart() >= len(d.Slots) || d.TrainEnd() == d.ScoreStart():
		return fmt.Errorf("backtest: a history of %d slots is too short to be cut in three", len(d.Slots))
	case c.Lead < 0:
		return fmt.Errorf("backtest: lead time of %d minutes", c.Lead)
	case c.Refit != nil && (c.RefitEvery < d.Step || c.RefitEvery%d.Step != 0):
		return fmt.Errorf("backtest: refit every %s, must be a multiple of the step %s", c.RefitEvery, d.Step)
	}
	for _, p := range c.Policies {
		if p.Predictive && c.Forecasts == nil {
			return fmt.Errorf("backtest: policy %s needs forecasts", p.Name)
		}
	}
	return nil
}

// Run replays every policy over the test part at each setting of its knob, and over
// the rehearsal, and says how each fared. ctx ends it between two simulations.
func Run(ctx context.Context, c Config) (*Result, error) {
	if c.Policies == nil {
		c.Policies = Policies()
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	d := c.Demand
	test := newStage(d, d.ScoreStart(), len(d.Slots), c.Lead)
	if test.best.ScoredMinutes == 0 {
		return nil, fmt.Errorf("backtest: no slot of the last fifth, from %s on, was observed; end the history earlier", d.Time(test.from).Format(time.RFC3339))
	}
	forecasts := c.forecasters()
	sweeps := []*sweep{newSweep(c, test, forecasts, c.Policies, true)}
	if c.Rehearsal != nil {
		test.learned = d.TrainEnd() * d.SlotMinutes()
		rehearsal := newStage(d, d.TrainEnd(), d.ScoreStart(), c.Lead)
		sweeps = append(sweeps, newSweep(c, rehearsal, c.Rehearsal, c.Policies, true))
	}
	var refitted *sweep
	if c.Refit != nil {
		w, err := walkForward(ctx, d, forecasts, c.Refit, int(c.RefitEvery/d.Step))
		if err != nil {
			return nil, err
		}
		ships := slices.DeleteFunc(slices.Clone(c.Policies), func(p Policy) bool { return !p.Ships })
		refitted = newSweep(c, test, w, ships, false)
		sweeps = append(sweeps, refitted)
	}
	if err := runAll(ctx, c, sweeps); err != nil {
		return nil, err
	}
	r := &Result{Demand: d, Plans: map[string]fleet.Plan{}, Runs: map[string]fleet.Run{}}
	r.Report = newReport(c, test, sweeps[0])
	if c.Rehearsal != nil {
		r.Report.Recommended = recommend(sweeps[1], sweeps[0])
	}
	if refitted != nil {
		r.Report.Refitted = refittedReport(c, refitted)
	}
	for _, p := range c.Policies {
		trial := sweeps[0].atDefault(p)
		r.Plans[p.Name], r.Runs[p.Name] = trial.plan, trial.run
	}
	r.Plans[Oracle], r.Runs[Oracle] = test.oraclePlan(), test.oracle
	var err error
	if r.Report.ForecastSkill, err = skill(ctx, c, test); err != nil {
		return nil, err
	}
	r.Report.Verdict = verdict(r.Report, test)
	return r, nil
}

// forecasters returns who forecasts the test part and what leads up to it. A model
// is asked for nothing that it was fitted on, as far as another can answer: what a
// policy learns online of errors that are too small would mislead it.
func (c Config) forecasters() *walk {
	if c.Rehearsal == nil {
		return &walk{from: []int{0}, models: []Forecaster{c.Forecasts}}
	}
	return &walk{from: []int{0, c.Demand.ScoreStart() - 1}, models: []Forecaster{c.Rehearsal, c.Forecasts}}
}

// stage is a part of the history that fleets are run over.
type stage struct {
	demand   *fleet.Demand
	lead     int
	from, to int // minutes
	// learned is the minute from which on what ships has been learning online when
	// the warm-up begins; not before the warm-up's first: not at all.
	learned int
	offered []float64
	scored  []bool
	oracle  fleet.Run
	best    fleet.Metrics // of the oracle
}

func newStage(d *fleet.Demand, first, last, lead int) *stage {
	s := &stage{demand: d, lead: lead, from: first * d.SlotMinutes(), to: last * d.SlotMinutes()}
	s.learned = s.from
	s.offered, s.scored = d.Window(s.from, s.to)
	s.oracle = fleet.Oracle(s.offered, s.from, lead)
	s.best = fleet.Measure(s.offered, s.scored, s.oracle)
	return s
}

// days returns the length of the stage.
func (s *stage) days() float64 { return float64(s.to-s.from) / (24 * 60) }

// oraclePlan returns the oracle's orders. It begins with the stage; its first
// order is given for the warm-up as well.
func (s *stage) oraclePlan() fleet.Plan {
	plan := s.oracle.Plan(s.demand)
	plan[0].Time = s.demand.Time(fleet.WarmUp(s.from))
	return plan
}

// trial is one simulation.
type trial struct {
	policy  Policy
	knob    float64
	keep    bool // run and plan, which are large
	metrics fleet.Metrics
	plan    fleet.Plan
	run     fleet.Run
}

// sweep is every policy at every setting of its knob on one stage.
type sweep struct {
	stage  *stage
	scene  scene
	trials []*trial
}

// newSweep plans the simulations; whole ones sweep the knobs, others take the
// defaults alone.
func newSweep(c Config, s *stage, f Forecaster, policies []Policy, whole bool) *sweep {
	w := &sweep{stage: s, scene: scene{group: c.Group, demand: c.Demand, lead: c.Lead, forecasts: f}}
	for _, p := range policies {
		standard := p.Default(c.Demand)
		knobs := []float64{standard}
		if whole {
			knobs = slices.Clone(p.Knobs)
			if i, found := slices.BinarySearch(knobs, standard); !found {
				knobs = slices.Insert(knobs, i, standard)
			}
		}
		for _, k := range knobs {
			w.trials = append(w.trials, &trial{policy: p, knob: k, keep: k == standard})
		}
	}
	return w
}

// of returns the trials of a policy.
func (w *sweep) of(name string) []*trial {
	return slices.DeleteFunc(slices.Clone(w.trials), func(t *trial) bool { return t.policy.Name != name })
}

// atDefault returns the trial of a policy's default knob.
func (w *sweep) atDefault(p Policy) *trial {
	return w.at(p.Name, p.Default(w.scene.demand))
}

// at returns the trial of a policy at a knob, nil where there was none.
func (w *sweep) at(name string, knob float64) *trial {
	for _, t := range w.trials {
		if t.policy.Name == name && t.knob == knob {
			return t
		}
	}
	return nil
}

// curve returns what a policy can reach.
func (w *sweep) curve(name string) fleet.Curve {
	var points []fleet.Point
	for _, t := range w.of(name) {
		points = append(points, t.point())
	}
	return fleet.NewCurve(points)
}

func (t *trial) point() fleet.Point {
	return fleet.Point{ViolationPct: t.metrics.ViolationPct, InstanceHours: t.metrics.InstanceHours, Knob: t.knob}
}

// runAll runs the simulations of all sweeps.
func runAll(ctx context.Context, c Config, sweeps []*sweep) error {
	var mu sync.Mutex
	done, total := 0, 0
	for _, w := range sweeps {
		total += len(w.trials)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, c.Workers))
	for _, w := range sweeps {
		for _, t := range w.trials {
			g.Go(func() error {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := w.fly(ctx, t); err != nil {
					return fmt.Errorf("policy %s at %g: %w", t.policy.Name, t.knob, err)
				}
				mu.Lock()
				defer mu.Unlock()
				if done++; c.Progress != nil {
					c.Progress(done, total)
				}
				return nil
			})
		}
	}
	return g.Wait()
}

// fly runs one simulation.
func (w *sweep) fly(ctx context.Context, t *trial) error {
	scene, s := w.scene, w.stage
	scene.ctx = ctx
	controller := t.policy.fly(scene, t.knob)
	if begin := fleet.WarmUp(s.from); t.policy.Ships && s.learned < begin {
		// Another fleet, of which nothing is kept but what its pilot has learned.
		if _, err := fleet.Simulate(scene.demand, controller, s.learned, begin, s.lead); err != nil {
			return err
		}
	}
	run, plan, err := fleet.SimulatePlan(scene.demand, controller, s.from, s.to, s.lead)
	if err = errors.Join(err, controller.Err()); err != nil {
		return err
	}
	t.metrics = fleet.Measure(s.offered, s.scored, run)
	if t.keep {
		t.run, t.plan = run, plan
	}
	return nil
}
