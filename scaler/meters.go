package scaler

import (
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler/plan"
)

// maxGroupSeries is up to how many groups each of them has series of its own. A
// larger fleet has them only on request (Config.MetricsByGroup).
const maxGroupSeries = 1000

// The coverage of a forecast's upper quantile, 0.9, is out of its band when fewer
// slots than coverageLeast or more than coverageMost lie below it, of coverageSeen
// slots or more.
const (
	coverageLeast = 0.8
	coverageMost  = 0.985
	coverageSeen  = 144
)

// The results of a tick, and the kinds of errors of a provider, that are counted.
const (
	tickOK     = "ok"
	tickFailed = "failed"
	tickHeld   = "held" // another scaler was at work

	errorRead    = "read"    // sizes or launches could not be read
	errorBounds  = "bounds"  // ErrBounds
	errorUnknown = "unknown" // ErrUnknownGroup
	errorBusy    = "busy"    // ErrBusy
	errorRefused = "refused" // ErrRefused for another reason
	errorOther   = "other"   // whether it took effect is not known
)

var (
	tickResults  = []string{tickOK, tickFailed, tickHeld}
	errorKinds   = []string{errorRead, errorBounds, errorUnknown, errorBusy, errorRefused, errorOther}
	outcomes     = []api.OutcomeStatus{api.OutcomeNone, api.OutcomeDryRun, api.OutcomeAccepted, api.OutcomeFailed, api.OutcomeSkipped}
	safetyStates = []api.SafetyState{api.SafetyPredictive, api.SafetyStale, api.SafetyDrift, api.SafetyNoModel, api.SafetyFrozen, api.SafetyPaused}
	// reactiveStates are those in which the evidence, and no order, keeps forecasts
	// from deciding.
	reactiveStates = []api.SafetyState{api.SafetyStale, api.SafetyDrift, api.SafetyNoModel}
	alertNames     = []string{plan.AlertMaximum, plan.AlertFeasible, plan.AlertBudget, plan.AlertRival, plan.AlertDrift, plan.AlertUnit, plan.AlertStuck}
)

// errorKind returns what kind of error a change of a group's size ended with.
func errorKind(err error) string {
	switch {
	case errors.Is(err, ErrBounds):
		return errorBounds
	case errors.Is(err, ErrUnknownGroup):
		return errorUnknown
	case errors.Is(err, ErrBusy):
		return errorBusy
	case errors.Is(err, ErrRefused):
		return errorRefused
	}
	return errorOther
}

// groupMeter is what is shown of one group at the last tick.
type groupMeter struct {
	name                       string
	safety                     api.SafetyState
	predicted                  bool // it wants forecasts
	alerts                     []string
	known                      bool // the sizes below are
	desired, inService, wanted int
	coverage                   float64 // of the upper quantile; below 0: too few slots
	age                        time.Duration
	measured                   bool // age is known
	lead                       time.Duration
	spent                      float64 // instance-hours today
	shadow                     *api.ShadowSums
}

// meters counts what this process did and shows the last tick.
type meters struct {
	byGroup bool

	mu        sync.Mutex
	ticks     map[string]int            // guarded by mu: by result
	decisions map[api.OutcomeStatus]int // guarded by mu: of records that this process wrote
	moves     map[api.SafetyState]int   // guarded by mu: by the new state
	errors    map[string]int            // guarded by mu: of the provider, by kind
	brakes    int                       // guarded by mu
	took      time.Duration             // guarded by mu: the last tick
	tick      time.Time                 // guarded by mu: the last one that has a record
	braked    bool                      // guarded by mu: by the fleet-wide brake, at that tick
	faults    int                       // guarded by mu: of that tick
	groups    []groupMeter              // guarded by mu: replaced, never changed
}

func newMeters(byGroup bool) *meters {
	return &meters{byGroup: byGroup, ticks: map[string]int{}, decisions: map[api.OutcomeStatus]int{}, moves: map[api.SafetyState]int{}, errors: map[string]int{}}
}

// Metrics returns what the scaler tells a Prometheus registry.
func (s *Scaler) Metrics() prometheus.Collector { return s.meters }

// ran counts a tick that took so long and ended so.
func (m *meters) ran(took time.Duration, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var held *LeaseHeldError
	switch {
	case err == nil:
		m.ticks[tickOK]++
	case errors.As(err, &held):
		m.ticks[tickHeld]++
		return
	default:
		m.ticks[tickFailed]++
	}
	m.took = took
}

// wrote counts a record of this process.
func (m *meters) wrote(rec api.TickRecord) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range rec.Decisions {
		m.decisions[d.Outcome.Status]++
		if d.Moved != nil {
			m.moves[d.Moved.To]++
		}
	}
	if rec.Brake != nil {
		m.brakes++
	}
}

func (m *meters) providerError(kind string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.errors[kind]++
}

// show takes over what a record and the state after it say of the groups.
func (m *meters) show(rec api.TickRecord, groups []plan.Group, st *state) {
	step := map[string]plan.Group{}
	for _, g := range groups {
		step[g.Name] = g
	}
	shown := make([]groupMeter, 0, len(rec.Decisions))
	for _, d := range rec.Decisions {
		g, configured := step[d.Group]
		if !configured {
			continue
		}
		s := st.Groups[d.Group]
		one := groupMeter{name: d.Group, safety: d.Safety, predicted: g.Signal != plan.SignalObserved, alerts: d.Alerts, known: d.Capacity.Known(), coverage: -1,
			desired: d.Capacity.Desired, inService: d.Capacity.InService, wanted: d.Wanted,
			lead: s.Lead.lead(g, 0).Lead, spent: s.Spent.Hours}
		if d.Outcome.Status == api.OutcomeAccepted {
			one.desired = d.Desired
		}
		if !d.ObservedAt.IsZero() {
			one.measured, one.age = true, max(0, d.Tick.Sub(d.ObservedAt.Add(g.Step)))
		}
		if c := s.Calibration; c.Seen >= coverageSeen {
			one.coverage = 1 - c.Above
		}
		if d.Shadow != nil {
			one.shadow = &d.Shadow.Sums
		}
		shown = append(shown, one)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tick, m.braked, m.faults, m.groups = rec.Tick, rec.Brake != nil, len(rec.Errors), shown
}

// snapshot returns the meters for reading.
func (m *meters) snapshot() *meters {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &meters{byGroup: m.byGroup, ticks: maps.Clone(m.ticks), decisions: maps.Clone(m.decisions), moves: maps.Clone(m.moves),
		errors: maps.Clone(m.errors), brakes: m.brakes, took: m.took, tick: m.tick, braked: m.braked, faults: m.faults, groups: m.groups}
}
