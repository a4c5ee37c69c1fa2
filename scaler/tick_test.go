package scaler

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/scaler/plan"
)

// reasons returns a decision's reasons as one text.
func reasons(d api.Decision) string {
	var b strings.Builder
	for _, r := range d.Reasons {
		b.WriteString(r.Rule + ": " + r.Detail + "\n")
	}
	return b.String()
}

// TestWhatCannotBeReadIsNamedAndTheRestGoesOn takes one source of knowledge away.
func TestWhatCannotBeReadIsNamedAndTheRestGoesOn(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*world)
		basis api.Basis // of group up
		up    int
		down  int
		says  string // in up's reasons
	}{
		{"the server is down", func(w *world) {
			w.predict = func(context.Context, api.PredictRequest) (api.PredictResponse, error) {
				return api.PredictResponse{}, errors.New("connection refused")
			}
		}, api.BasisReactive, 5, 5, "connection refused"},
		{"the server is slow", func(w *world) {
			w.bad = &saboteur{op: "predict", nth: 1, mode: hangs, seen: map[string]int{}}
		}, api.BasisReactive, 5, 5, "deadline exceeded"},
		{"the server answers too little", func(w *world) {
			w.predict = func(_ context.Context, req api.PredictRequest) (api.PredictResponse, error) {
				req.Windows = req.Windows[:1]
				return w.answer(req), nil
			}
		}, api.BasisReactive, 5, 5, "1 forecasts for 4 windows"},
		{"the server mixes groups up", func(w *world) {
			w.predict = func(_ context.Context, req api.PredictRequest) (api.PredictResponse, error) {
				resp := w.answer(req)
				slices.Reverse(resp.Forecasts)
				return resp, nil
			}
		}, api.BasisReactive, 5, 5, `it is for group "dry"`},
		{"one window fails at the server", func(w *world) {
			w.predict = func(_ context.Context, req api.PredictRequest) (api.PredictResponse, error) {
				resp := w.answer(req)
				resp.Forecasts[0] = api.Forecast{Group: "up", Error: &api.Problem{Title: "out of memory", Status: http.StatusInternalServerError}}
				return resp, nil
			}
		}, api.BasisReactive, 5, 5, "out of memory"},
		{"there is no lake", func(w *world) {
			w.bad = &saboteur{op: "scan", nth: 1, mode: failsOnce, seen: map[string]int{}}
		}, api.BasisHold, 4, 6, "no load was measured"},
		{"the lake is slow", func(w *world) {
			w.bad = &saboteur{op: "scan", nth: 1, mode: hangs, seen: map[string]int{}}
		}, api.BasisHold, 4, 6, "no load was measured"},
		{"the metrics of one group are stale", func(w *world) {
			w.groups["up"].newest, w.groups["up"].demand = t0.Add(-6*step), 0.4
		}, api.BasisHold, 4, 5, "before this tick"},
		{"the metrics of one group are a slot late", func(w *world) {
			w.groups["up"].newest = t0.Add(-2 * step)
		}, api.BasisReactive, 5, 5, "gap in the metrics"},
		{"the provider does not know a group", func(w *world) {
			w.groups["up"] = &group{desired: -1}
		}, api.BasisHold, -1, 5, "capacity"},
		{"the model forecasts CPU", func(w *world) {
			w.spec.Target, w.spec.Series = api.MetricCPU, []string{api.MetricCPU}
		}, api.BasisReactive, 5, 5, "forecasts cpu_utilization, not demand"},
		{"the model has another step", func(w *world) { w.spec.StepSeconds = 60 },
			api.BasisReactive, 5, 5, "has a step of 1m0s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.spoil(w)
			rec, err := w.once(w.scaler(func(cfg *Config) {
				cfg.Deadlines.Predict, cfg.Deadlines.History = 50*time.Millisecond, 50*time.Millisecond
			}), t0)
			if err != nil {
				t.Fatal(err)
			}
			d := decisionOf(rec, "up")
			if d.Basis != c.basis || !strings.Contains(reasons(d), c.says) {
				t.Errorf("basis %s, reasons:\n%s", d.Basis, reasons(d))
			}
			if f := d.Forecast; f != nil && f.Error != nil && (f.Error.Type == ProblemGap) != strings.HasPrefix(f.Error.Detail, window.ErrGap.Error()) {
				t.Errorf("forecast %+v", f.Error)
			}
			if c.says == "gap in the metrics" && d.Forecast.Error.Type != ProblemGap {
				t.Errorf("a gap in the metrics is of type %q", d.Forecast.Error.Type)
			}
			if wantErr := strings.HasPrefix(c.name, "the server") || strings.Contains(c.name, "lake"); (len(rec.Errors) > 0) != wantErr && c.name != "the server mixes groups up" {
				t.Errorf("errors of the tick: %v", rec.Errors)
			}
			if w.desired("up") != c.up || w.desired("down") != c.down {
				t.Errorf("up %d, down %d; want %d, %d", w.desired("up"), w.desired("down"), c.up, c.down)
			}
		})
	}
}

func TestAnUnknownGroupIsAnErrorOfTheRecordAndStopsNoOther(t *testing.T) {
	w := newWorld(t)
	delete(w.groups, "same")
	rec := w.mustOnce(t0)
	d := decisionOf(rec, "same")
	if d.Outcome.Status != api.OutcomeNone || d.Basis != api.BasisHold || len(rec.Decisions) != 4 {
		t.Errorf("decision %+v", d)
	}
	if w.desired("up") != 5 {
		t.Error("the other groups did not go on")
	}
}

func TestAReplacedModelIsNoticedAndTheWindowCutAgain(t *testing.T) {
	w := newWorld(t)
	s := w.scaler()
	w.spec.Lags = []models.Lag{{Series: api.SeriesDemand, Offsets: []int{3}}}
	longer := func(_ context.Context, req api.PredictRequest) (api.PredictResponse, error) {
		if n := len(req.Windows[0].Series[api.SeriesDemand]); n != 5 {
			w.alter(func() { w.spec.Lookback, w.spec.Lags[0].Offsets, w.version = 5, []int{50}, 2 }) // what the registry says by now
			return api.PredictResponse{}, &api.Problem{Title: "window does not fit", Status: http.StatusUnprocessableEntity, Field: "windows[0]"}
		}
		if past := req.Windows[0].Lags[api.SeriesDemand][50]; math.IsNaN(past[0]) {
			t.Error("the history was not read as far back as the new model looks")
		}
		return w.answer(req), nil
	}
	w.predict = longer
	rec, err := w.once(s, t0)
	if err != nil {
		t.Fatal(err)
	}
	if d := decisionOf(rec, "up"); d.Basis != api.BasisPredictive || d.ModelVersion != 2 || len(w.asked) != 2 || len(rec.Errors) != 0 {
		t.Errorf("basis %s, version %d, %d requests\n%s", d.Basis, d.ModelVersion, len(w.asked), reasons(d))
	}
	w.predict = func(context.Context, api.PredictRequest) (api.PredictResponse, error) {
		return api.PredictResponse{}, &api.Problem{Title: "window does not fit", Status: http.StatusBadRequest}
	}
	rec, err = w.once(s, t0.Add(step))
	if err != nil || decisionOf(rec, "up").Basis != api.BasisReactive || len(w.asked) != 4 || len(rec.Errors) != 1 {
		t.Errorf("a server that never accepts: %v, %d requests", err, len(w.asked))
	}
}

func TestAnUnreadableRegistryKeepsTheLastKnownModel(t *testing.T) {
	w := newWorld(t)
	s := w.scaler()
	if _, err := w.once(s, t0); err != nil {
		t.Fatal(err)
	}
	s.deps.Specs = brokenSpecs{}
	for i := range manifestTicks + 2 {
		rec, err := w.once(s, t0.Add(time.Duration(i+1)*step))
		if err != nil || decisionOf(rec, "up").Basis != api.BasisPredictive {
			t.Fatalf("%v\n%s", err, reasons(decisionOf(rec, "up")))
		}
	}
	fresh := w.scaler()
	fresh.deps.Specs = brokenSpecs{}
	rec, err := w.once(fresh, t0.Add(20*step))
	if d := decisionOf(rec, "up"); err != nil || d.Basis != api.BasisReactive || !strings.Contains(reasons(d), "registry is away") {
		t.Errorf("%v\n%s", err, reasons(d))
	}
}

type brokenSpecs struct{}

func (brokenSpecs) ForGroup(context.Context, string) (m models.Manifest, err error) {
	return m, errors.New("registry is away")
}
func (brokenSpecs) Champion(context.Context, string) (m models.Manifest, err error) {
	return m, errors.New("registry is away")
}

func (brokenSpecs) Manifest(context.Context, string, int) (m models.Manifest, err error) {
	return m, errors.New("registry is away")
}

func TestAModelThatAppearsLaterIsFoundAndAKnownOneIsNotReadEveryTick(t *testing.T) {
	w := newWorld(t)
	s := w.scaler()
	specs := s.deps.Specs
	s.deps.Specs = brokenSpecs{}
	if rec, err := w.once(s, t0); err != nil || decisionOf(rec, "up").Basis != api.BasisReactive {
		t.Fatal(err)
	}
	s.deps.Specs = specs
	w.bad = &saboteur{seen: map[string]int{}}
	for i := range 2 * (manifestTicks + 1) {
		rec, err := w.once(s, t0.Add(time.Duration(i+1)*step))
		if err != nil || decisionOf(rec, "up").Basis != api.BasisPredictive {
			t.Fatalf("tick %d: %v\n%s", i, err, reasons(decisionOf(rec, "up")))
		}
	}
	if n := w.bad.seen["manifest"]; n != 2*len(s.groups) {
		t.Errorf("manifests were read %d times", n)
	}
}

func TestAReactiveRunAsksNobody(t *testing.T) {
	w := newWorld(t)
	s := w.scaler(func(c *Config) {
		for i := range c.Groups {
			c.Groups[i].Policy.Signal = plan.SignalObserved
		}
		c.Server = ""
	})
	s.deps.Forecaster, s.deps.Specs = nil, nil
	rec, err := w.once(s, t0)
	if err != nil || len(w.asked) != 0 || w.desired("up") != 5 || w.desired("down") != 5 {
		t.Errorf("%v, %d requests, up %d", err, len(w.asked), w.desired("up"))
	}
	if d := decisionOf(rec, "up"); d.Basis != api.BasisReactive || len(d.Reasons) != 1 {
		t.Errorf("basis %s\n%s", d.Basis, reasons(d))
	}
}

func TestModelsNamedInTheConfigurationAreAskedByName(t *testing.T) {
	w := newWorld(t)
	rec := w.mustOnce(t0, func(c *Config) { c.Groups[0].Model = "special" })
	if d := decisionOf(rec, "up"); d.Model != "special" || d.Basis != api.BasisPredictive {
		t.Errorf("model %q, basis %s\n%s", d.Model, d.Basis, reasons(d))
	}
	if len(w.asked) != 2 {
		t.Errorf("%d requests for two models", len(w.asked))
	}
}

func TestALakeWithoutACountOfInstancesIsNotZeroLoad(t *testing.T) {
	w := newWorld(t)
	s := w.scaler()
	s.deps.History = cpuOnly{w}
	rec, err := w.once(s, t0)
	d := decisionOf(rec, "up")
	if err != nil || d.Basis != api.BasisReactive || d.Desired != 5 || d.Observed[api.MetricCPU] != 90 {
		t.Errorf("%v, %+v", err, d)
	}
	if _, invented := d.Observed[api.SeriesDemand]; invented {
		t.Error("a demand was made up")
	}
}

func TestAStoreThatIsAwayStopsTheTickAndNotTheScaler(t *testing.T) {
	w := newWorld(t)
	s := w.scaler()
	up := s.deps.Store
	s.deps.Store = &hookedStore{blob.NewMemory(), func(string) {}}
	s.deps.Store.(*hookedStore).Store = downStore{up}
	if _, err := w.once(s, t0); err == nil {
		t.Fatal("a tick without a store")
	}
	if len(w.calls) != 0 {
		t.Errorf("acted without a store: %v", w.calls)
	}
	s.deps.Store, s.journal = up, w.scaler().journal
	if _, err := w.once(s, t0.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	w.check("store away")
}

type downStore struct{ blob.Store }

func (downStore) Get(context.Context, string) (blob.Object, error) {
	return blob.Object{}, errors.New("store is away")
}

func TestAStateThatCannotBeReadIsNotAnEmptyOne(t *testing.T) {
	for _, bad := range []string{`{"format":1,"groups":`, `{"format":2}`, ``} {
		w := newWorld(t)
		if _, err := w.store.Put(context.Background(), stateKey, []byte(bad), blob.Condition{}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.once(w.scaler(), t0); err == nil || !strings.Contains(err.Error(), stateKey) {
			t.Errorf("state %q: %v", bad, err)
		}
		if len(w.calls) != 0 {
			t.Errorf("state %q: acted", bad)
		}
	}
}

func TestAClockThatJumpsDoesNotDoubleADecisionOrStopForEver(t *testing.T) {
	w := newWorld(t)
	w.mustOnce(t0)
	w.mustOnce(t0.Add(10 * time.Hour)) // the clock jumps ahead,
	up, down := w.desired("up"), w.desired("down")
	w.mustOnce(t0.Add(step)) // and back
	if w.desired("up") < up || w.desired("down") > down {
		t.Errorf("up %d to %d, down %d to %d", up, w.desired("up"), down, w.desired("down"))
	}
	rec := w.mustOnce(t0)
	if !rec.Tick.Equal(t0) || len(w.records()) != 3 {
		t.Errorf("%d records, the repeated one is %s", len(w.records()), rec.Tick)
	}
	rec = w.mustOnce(t0.Add(2 * step))
	if len(rec.Errors) != 0 { // the state's tick is the present one again
		t.Errorf("errors %v", rec.Errors)
	}
	if got := w.records()[1].Errors; len(got) != 1 || !strings.Contains(got[0], "clock went back") {
		t.Errorf("the jump is not in the record: %v", got)
	}
}

// Run, under a fake clock: ticks at every step plus the settling time, the first
// one at once, a failed one again after a pause.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		start := time.Now().UTC() // midnight
		var at []time.Duration
		w.bad = &saboteur{seen: map[string]int{}}
		s := w.scaler(func(c *Config) { c.Settle = time.Minute })
		s.deps.Now = time.Now
		s.deps.OnTick = func(rec api.TickRecord) {
			at = append(at, time.Since(start))
			if want := time.Now().UTC().Add(-time.Minute).Truncate(step); !rec.Tick.Equal(want) {
				t.Errorf("at %s the tick is %s", time.Since(start), rec.Tick)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		time.Sleep(3 * time.Minute)
		go func() { ended <- s.Run(ctx) }()
		time.Sleep(9 * time.Minute)
		w.bad.mu.Lock()
		w.bad.dead = true
		w.bad.mu.Unlock()
		time.Sleep(4*time.Minute + 15*time.Second) // until 16:15, with the tick due at 16:00
		w.bad.mu.Lock()
		w.bad.dead = false
		w.bad.mu.Unlock()
		time.Sleep(6 * time.Minute)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
		want := []time.Duration{3 * time.Minute, 6 * time.Minute, 11 * time.Minute, 16*time.Minute + 20*time.Second, 21 * time.Minute}
		if !slices.Equal(at, want) {
			t.Errorf("ticks at %v, want %v", at, want)
		}
	})
}

// Two scalers that run side by side record every tick once, and when one of them
// stops, the other goes on.
func TestTwoRunningScalers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		run := func(id string) context.CancelFunc {
			s := w.scaler(func(c *Config) { c.ID = id })
			s.deps.Now = time.Now
			ctx, cancel := context.WithCancel(t.Context())
			go func() { _ = s.Run(ctx) }()
			return cancel
		}
		stopA, stopB := run("a"), run("b")
		time.Sleep(31 * time.Minute)
		stopA()
		time.Sleep(30 * time.Minute)
		stopB()
		synctest.Wait()
		recs, err := w.scaler().journal.Scan(context.Background(), time.Time{}.AddDate(1, 0, 0), time.Now())
		if err != nil || len(recs) != 13 { // 23:55, then 0:00 to 0:55
			t.Errorf("%d records, %v", len(recs), err)
		}
		if st := w.state(); st.Pending != nil || w.desired("up") != 6 {
			t.Errorf("pending %v, up %d", st.Pending, w.desired("up"))
		}
	})
}
