package scaler

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/scaler/plan"
)

var (
	t0   = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	step = 5 * time.Minute
)

// world is everything around a scaler: a store, a provider, a lake, a registry
// and a server. Its demand is constant, so what a scaler should do is known.
type world struct {
	t     *testing.T
	store *blob.Memory
	bad   *saboteur

	cooldown time.Duration // of every group

	mu           sync.Mutex
	now          time.Time         // guarded by mu
	groups       map[string]*group // guarded by mu
	calls        []call            // guarded by mu: every Scale that reached the provider
	changes      []call            // guarded by mu: those that changed something
	asked        []api.PredictRequest
	spec         models.Spec // the model's, as the registry shows it
	version      int
	calendarHash string // in the manifest

	// hooks, nil: none
	beforeScale func(ctx context.Context, group string) error
	predict     func(ctx context.Context, req api.PredictRequest) (api.PredictResponse, error)
}

type group struct {
	desired, max int
	demand       float64 // offered, and forecast
	newest       time.Time
}

type call struct {
	group    string
	from, to int
	tick     time.Time
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, store: blob.NewMemory(), cooldown: 2 * step, now: t0, version: 1, groups: map[string]*group{
		"up":   {desired: 4, max: 20, demand: 3.6}, // 90 %, then 72 %, then 60 %
		"down": {desired: 6, max: 20, demand: 1.2}, // 20 %, 24 %, 30 %, 40 %
		"same": {desired: 4, max: 20, demand: 2},
		"dry":  {desired: 4, max: 20, demand: 3.6},
	}}
	w.spec = models.Spec{Target: api.SeriesDemand, StepSeconds: 300, Lookback: 3, Horizon: 3, Series: []string{api.SeriesDemand}, MaxGap: 1}
	return w
}

func (w *world) config() Config {
	cfg := DefaultConfig()
	cfg.ID, cfg.Parallel = "a", 1
	for _, name := range []string{"up", "down", "same", "dry"} {
		g := DefaultGroup()
		g.Policy.Rule = Rules{ruleThreshold} // moves by ones, which the checks count
		g.Safety.Recover = 1
		g.Name, g.Mode = name, api.ModeLive
		g.Cooldown = Cooldown{Out: w.cooldown, In: w.cooldown}
		if name == "dry" {
			g.Mode = api.ModeDryRun
		}
		cfg.Groups = append(cfg.Groups, g)
	}
	return cfg
}

// scaler returns a fresh process. Its calls go through the saboteur, if any.
func (w *world) scaler(change ...func(*Config)) *Scaler {
	cfg := w.config()
	for _, c := range change {
		c(&cfg)
	}
	s, err := New(cfg, step, Deps{
		Store: &sabotaged{w.store, w.bad}, History: w, Specs: w, Forecaster: w, Target: w, Controls: w, Now: w.clock,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) set(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = now
}

func (w *world) desired(group string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.groups[group].desired
}

func (w *world) alter(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// once runs one tick in a fresh process and returns its record.
func (w *world) once(s *Scaler, now time.Time) (api.TickRecord, error) {
	w.set(now)
	return s.Once(context.Background(), now)
}

func (w *world) mustOnce(now time.Time, change ...func(*Config)) api.TickRecord {
	w.t.Helper()
	rec, err := w.once(w.scaler(change...), now)
	if err != nil {
		w.t.Fatalf("tick of %s: %v", now.Format(time.TimeOnly), err)
	}
	return rec
}

func (w *world) state() state {
	w.t.Helper()
	l := ledger{store: w.store, key: stateKey, deadline: time.Minute}
	if err := l.load(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	return l.state
}

func (w *world) records() []api.TickRecord {
	w.t.Helper()
	recs, err := journal.New(w.store).Scan(context.Background(), t0.Add(-100*time.Hour), t0.Add(10000*time.Hour))
	if err != nil {
		w.t.Fatal(err)
	}
	return recs
}

// The provider.

func (w *world) Capacities(ctx context.Context, names []string) (map[string]api.Capacity, error) {
	return sabotage(w.bad, ctx, "capacities "+strings.Join(names, ","), func() (map[string]api.Capacity, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		found := map[string]api.Capacity{}
		for _, name := range names {
			if g := w.groups[name]; g != nil {
				found[name] = api.Capacity{InService: g.desired, Desired: g.desired, Max: g.max, ObservedAt: w.now}
			}
		}
		return found, nil
	})
}

func (w *world) Scale(ctx context.Context, name string, desired int) error {
	if w.beforeScale != nil {
		if err := w.beforeScale(ctx, name); err != nil {
			return err
		}
	}
	_, err := sabotage(w.bad, ctx, "scale "+name, func() (struct{}, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		g := w.groups[name]
		c := call{name, g.desired, desired, w.now.Truncate(step)}
		w.calls = append(w.calls, c)
		if g.desired != desired {
			w.changes = append(w.changes, c)
		}
		g.desired = desired
		return struct{}{}, nil
	})
	return err
}

// Launches knows of none, so that the lead time stays as it is configured.
func (w *world) Launches(ctx context.Context, groups []string, _ time.Time) (map[string][]api.Launch, error) {
	return sabotage(w.bad, ctx, "launches", func() (map[string][]api.Launch, error) { return nil, nil })
}

// List returns an order that concerns no group.
func (w *world) List(ctx context.Context) ([]api.Control, error) {
	return sabotage(w.bad, ctx, "orders", func() ([]api.Control, error) {
		return []api.Control{{Kind: api.ControlPause, Group: "nobody", Until: w.clock().Add(time.Hour)}}, nil
	})
}

// Scan is the lake: CPU and instances of the last hour, at what the group is now.
func (w *world) Scan(ctx context.Context, q dataset.Query) ([]api.Sample, error) {
	return sabotage(w.bad, ctx, "scan", func() ([]api.Sample, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		var out []api.Sample
		for _, name := range slices.Sorted(maps.Keys(w.groups)) {
			g := w.groups[name]
			for at := q.From; at.Before(q.To); at = at.Add(step) {
				if !slices.Contains(q.Groups, name) || !g.newest.IsZero() && at.After(g.newest) {
					continue
				}
				out = append(out,
					api.Sample{Group: name, Metric: api.MetricCPU, Stat: api.StatAvg, Time: at, Value: 100 * g.demand / float64(g.desired)},
					api.Sample{Group: name, Metric: api.MetricInService, Stat: api.StatAvg, Time: at, Value: float64(g.desired)})
			}
		}
		return out, nil
	})
}

// The registry.

func (w *world) ForGroup(ctx context.Context, _ string) (models.Manifest, error) {
	return sabotage(w.bad, ctx, "manifest", func() (models.Manifest, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return models.Manifest{Name: "m", Version: w.version, Spec: w.spec, CalendarHash: w.calendarHash}, nil
	})
}

func (w *world) Champion(ctx context.Context, name string) (models.Manifest, error) {
	m, err := w.ForGroup(ctx, "")
	m.Name = name
	return m, err
}

func (w *world) Manifest(ctx context.Context, name string, version int) (models.Manifest, error) {
	m, err := w.ForGroup(ctx, "")
	if m.Version != version {
		return m, fmt.Errorf("there is no version %d of %s", version, name)
	}
	m.Name = name
	return m, err
}

// The server.

func (w *world) Predict(ctx context.Context, req api.PredictRequest) (api.PredictResponse, error) {
	return sabotage(w.bad, ctx, "predict", func() (api.PredictResponse, error) {
		w.mu.Lock()
		w.asked = append(w.asked, req)
		w.mu.Unlock()
		if w.predict != nil {
			return w.predict(ctx, req)
		}
		return w.answer(req), nil
	})
}

func (w *world) answer(req api.PredictRequest) api.PredictResponse {
	w.mu.Lock()
	defer w.mu.Unlock()
	resp := api.PredictResponse{Model: req.Model, Version: w.version}
	for _, win := range req.Windows {
		d := w.groups[win.Group].demand
		resp.Forecasts = append(resp.Forecasts, api.Forecast{Group: win.Group, IssuedAt: win.End, StepSeconds: win.StepSeconds, Point: []float64{d, d, d}})
	}
	return resp
}

func decisionOf(rec api.TickRecord, group string) api.Decision {
	if i := slices.IndexFunc(rec.Decisions, func(d api.Decision) bool { return d.Group == group }); i >= 0 {
		return rec.Decisions[i]
	}
	return api.Decision{}
}

// saboteur makes the nth call of one operation go wrong.
type saboteur struct {
	mu   sync.Mutex
	op   string // "" while the operations are only counted
	nth  int
	mode mode
	dead bool           // guarded by mu
	seen map[string]int // guarded by mu
}

type mode string

const (
	diesBefore mode = "dies before"           // no effect, and no call after it
	diesAfter  mode = "dies after"            // takes effect, and no call after it
	failsOnce  mode = "fails once in"         // no effect, the process lives on
	losesReply mode = "loses the answer of"   // takes effect, an error is returned
	hangs      mode = "hangs until cancelled" // no effect, ends with its deadline
)

var errSabotage = errors.New("sabotage")

func sabotage[T any](b *saboteur, ctx context.Context, op string, do func() (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	if b == nil {
		return do()
	}
	b.mu.Lock()
	if b.dead {
		b.mu.Unlock()
		return none, errSabotage
	}
	b.seen[op]++
	hit := b.op == op && b.seen[op] == b.nth
	if hit && (b.mode == diesBefore || b.mode == diesAfter) {
		b.dead = true
	}
	b.mu.Unlock()
	switch {
	case !hit:
		return do()
	case b.mode == diesAfter || b.mode == losesReply:
		_, _ = do()
	case b.mode == hangs:
		<-ctx.Done()
		return none, ctx.Err()
	}
	return none, fmt.Errorf("%s: %w", op, errSabotage)
}

// sabotaged is a store through a saboteur.
type sabotaged struct {
	blob.Store
	bad *saboteur
}

func (s *sabotaged) Get(ctx context.Context, key string) (blob.Object, error) {
	return sabotage(s.bad, ctx, "get "+key, func() (blob.Object, error) { return s.Store.Get(ctx, key) })
}

func (s *sabotaged) Put(ctx context.Context, key string, data []byte, cond blob.Condition) (string, error) {
	return sabotage(s.bad, ctx, "put "+key, func() (string, error) { return s.Store.Put(ctx, key, data, cond) })
}

func (s *sabotaged) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return s.Store.List(ctx, prefix, after)
}

// check holds what must be true whatever went wrong.
func (w *world) check(what string) {
	w.t.Helper()
	bad := func(format string, args ...any) { w.t.Errorf(what+": "+format, args...) }
	recs := w.records()
	st := w.state()
	for _, rec := range recs {
		if len(rec.Decisions) != 4 {
			bad("the record of %s has %d decisions", stamp(rec.Tick), len(rec.Decisions))
		}
		for _, d := range rec.Decisions {
			if d.Outcome.Status == "" || d.Outcome.Status == api.OutcomeAccepted && d.Desired == d.Capacity.Desired {
				bad("the record of %s says %q of %s", stamp(rec.Tick), d.Outcome.Status, d.Group)
			}
		}
	}
	for _, rec := range recs {
		w.replay(what, rec)
	}
	for _, c := range w.calls {
		i := slices.IndexFunc(recs, func(r api.TickRecord) bool { return r.Tick.Equal(c.tick) })
		if i < 0 {
			bad("%s was set to %d at %s, of which there is no record", c.group, c.to, stamp(c.tick))
		} else if d := decisionOf(recs[i], c.group); d.Desired != c.to {
			bad("%s was set to %d at %s, but decided was %d", c.group, c.to, stamp(c.tick), d.Desired)
		}
		if c.group == "dry" || c.group == "same" {
			bad("%s was set to %d", c.group, c.to)
		}
	}
	// An unconfirmed change of the last tick is entered when the next one looks.
	for name, g := range w.groups {
		st.confirm(name, api.Capacity{Desired: g.desired})
	}
	last := map[string]plan.State{}
	for _, c := range w.changes {
		prev := last[c.group]
		since := prev.LastOut
		if c.to < c.from {
			since = prev.LastIn
		}
		if !since.IsZero() && c.tick.Sub(since) < w.cooldown {
			bad("%s went from %d to %d at %s, in the cooldown of %s", c.group, c.from, c.to, stamp(c.tick), stamp(since))
		}
		if d := c.to - c.from; d != 1 && d != -1 {
			bad("%s went from %d to %d in one go", c.group, c.from, c.to)
		}
		last[c.group] = prev.Accepted(c.tick, c.from, c.to)
	}
	for name, want := range last {
		if got := st.Groups[name].State; got.LastOut != want.LastOut || got.LastIn != want.LastIn {
			bad("%s: the state is %+v, the provider's changes say %+v", name, got, want)
		}
	}
	if st.Pending != nil {
		bad("tick %s is still under way", stamp(st.Pending.Tick))
	}
}
