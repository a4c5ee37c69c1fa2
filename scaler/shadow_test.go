package scaler

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler/plan"
)

// beside gives a group that is scaled on its observed load a shadow that is not.
func beside(g *Group) {
	g.Policy.Rule, g.Policy.Signal, g.Policy.Out = Rules{ruleThreshold}, plan.SignalObserved, 95
	g.Shadow = &Shadow{DefaultPolicy()}
}

func alone(g *Group) {
	beside(g)
	g.Shadow = nil
}

func TestAShadowIsComparedAndNeverCarriedOut(t *testing.T) {
	with, without := newRush(t, "nobody"), newRush(t, "nobody")
	with.run(beside)
	without.run(alone)
	if !reflect.DeepEqual(with.calls, without.calls) || !reflect.DeepEqual(with.sizes, without.sizes) {
		t.Errorf("with a shadow the provider was called\n%v\nand without\n%v", with.calls, without.calls)
	}
	recs, plain := with.records(), without.records()
	differs := 0
	for i, rec := range recs {
		with.replay("shadow", rec)
		d := rec.Decisions[0]
		if d.Shadow == nil || d.Shadow.Policy != "cost" || len(d.Shadow.Reasons) == 0 {
			t.Fatalf("%s: shadow %+v", stamp(rec.Tick), d.Shadow)
		}
		if d.Shadow.To != d.Desired {
			differs++
		}
		d.Shadow, d.Forecast, d.Model, d.ModelVersion = nil, nil, "", 0 // the live policy wants none
		got, _ := json.Marshal(d)
		want, _ := json.Marshal(plain[i].Decisions[0])
		if string(got) != string(want) {
			t.Fatalf("%s: with a shadow\n%s\nand without\n%s", stamp(rec.Tick), got, want)
		}
	}
	if differs < 10 {
		t.Errorf("the shadow differs at %d ticks: the test shows too little", differs)
	}
	sums := recs[len(recs)-1].Decisions[0].Shadow.Sums
	if want := with.shadowSums(recs); math.Abs(sums.ShadowHours-want.ShadowHours) > 1e-9 || math.Abs(sums.LiveHours-want.LiveHours) > 1e-9 ||
		sums.LiveBreaches != want.LiveBreaches || sums.ShadowBreaches != want.ShadowBreaches || sums.Slots != want.Slots || !sums.Since.Equal(t0) {
		t.Errorf("the sums are %+v, counted by instances they are %+v", sums, want)
	}
	if sums.LiveBreaches == 0 || sums.ShadowBreaches >= sums.LiveBreaches {
		t.Errorf("a reactive policy was no worse than one with a perfect forecast: %+v", sums)
	}
}

// shadowSums counts both policies over instances that start and stop one by one,
// from the sizes that the records name.
func (r *rush) shadowSums(recs []api.TickRecord) (s api.ShadowSums) {
	const delay, lead = 90 * time.Second, 5 * time.Minute
	var ready []time.Time // of each imagined instance
	for i, rec := range recs {
		d := rec.Decisions[0]
		for len(ready) < d.Shadow.Desired && i == 0 {
			ready = append(ready, rec.Tick)
		}
		for len(ready) < d.Shadow.To {
			ready = append(ready, rec.Tick.Add(delay+lead))
		}
		slices.SortFunc(ready, time.Time.Compare)
		ready = ready[:d.Shadow.To]
		if i == len(recs)-1 {
			return s // nobody has seen its slot yet
		}
		serving := 0
		for _, at := range ready {
			if !at.After(rec.Tick) {
				serving++
			}
		}
		s.Slots++
		s.ShadowHours += float64(d.Shadow.To) / 12
		s.LiveHours += float64(d.Desired) / 12
		if climb(rec.Tick) > 0.9*float64(serving) {
			s.ShadowBreaches += 5
		}
		if climb(rec.Tick) > 0.9*float64(r.sizes[rec.Tick]) {
			s.LiveBreaches += 5
		}
	}
	return s
}

func TestAShadowOutlivesItsProcess(t *testing.T) {
	once, many := newRush(t, "nobody"), newRush(t, "nobody")
	many.fresh = true
	once.run(beside)
	many.run(beside)
	a, b := once.records(), many.records()
	for i := range a {
		if got, want := b[i].Decisions[0].Shadow, a[i].Decisions[0].Shadow; !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: by processes that start anew %+v, by one %+v", stamp(a[i].Tick), got, want)
		}
	}
}

// A scaler died after it had decided: the shadow goes on from there, and no slot
// counts twice.
func TestAShadowOutlivesACrash(t *testing.T) {
	for _, m := range []mode{diesBefore, diesAfter} {
		w := newWorld(t)
		w.mustOnce(t0, shadowed)
		w.bad = &saboteur{op: "scale down", nth: 1, mode: m, seen: map[string]int{}}
		_, _ = w.once(w.scaler(shadowed), t0.Add(2*step))
		w.bad = nil
		w.mustOnce(t0.Add(2*step+time.Minute), shadowed)
		rec := w.mustOnce(t0.Add(3*step), shadowed)
		// Of the slots from t0 on, the one that began at t0+5m has no tick of its own.
		if d := decisionOf(rec, "down"); d.Shadow == nil || d.Shadow.Sums.Slots != 1 {
			t.Errorf("%s: %+v", m, d.Shadow)
		}
		w.check(string(m))
	}
}

func shadowed(c *Config) {
	for i := range c.Groups {
		c.Groups[i].Shadow = &Shadow{DefaultPolicy()}
	}
}

func TestAShadowOfAnotherConfigurationBeginsAnew(t *testing.T) {
	w := newWorld(t)
	w.mustOnce(t0, shadowed)
	rec := w.mustOnce(t0.Add(step), shadowed)
	if d := decisionOf(rec, "same"); d.Shadow.Sums.Slots != 1 || !d.Shadow.Sums.Since.Equal(t0) {
		t.Errorf("%+v", d.Shadow.Sums)
	}
	rec = w.mustOnce(t0.Add(2*step), shadowed, func(c *Config) { c.Groups[2].Shadow.Fallback = 0.5 })
	if d := decisionOf(rec, "same"); d.Shadow.Sums.Slots != 0 || !d.Shadow.Sums.Since.Equal(t0.Add(2*step)) {
		t.Errorf("of another configuration: %+v", d.Shadow.Sums)
	}
	if d := decisionOf(rec, "up"); d.Shadow.Sums.Slots != 2 {
		t.Errorf("of another group: %+v", d.Shadow.Sums)
	}
	if rec = w.mustOnce(t0.Add(3 * step)); decisionOf(rec, "same").Shadow != nil || w.state().Groups["same"].Shadow != nil {
		t.Error("a shadow that is no longer configured is there still")
	}
}

func TestImaginedInstancesServeAfterTheirLeadTime(t *testing.T) {
	g := plan.Group{Step: step, Lead: 5 * time.Minute, Delay: time.Minute}
	at := func(minutes int) time.Time { return t0.Add(time.Duration(minutes) * time.Minute) }
	m := imagined{Desired: 4}
	for _, c := range []struct {
		minute, to     int
		now, five, ten int // serving now, five and ten minutes later
	}{
		{0, 4, 4, 4, 4},
		{5, 7, 4, 4, 7},  // three are ordered
		{10, 9, 4, 7, 9}, // two more
		{10, 6, 4, 6, 6}, // the newest go first
		{15, 3, 3, 3, 3}, // then those that serve
		{20, 0, 0, 0, 0}, //
		{25, 2, 0, 0, 2}, //
		{30, 2, 0, 2, 2}, //
	} {
		m.resize(c.to, at(c.minute), g)
		if a, b, d := m.serving(at(c.minute)), m.serving(at(c.minute+5)), m.serving(at(c.minute+10)); a != c.now || b != c.five || d != c.ten {
			t.Errorf("minute %d, to %d: serving %d, %d, %d; want %d, %d, %d", c.minute, c.to, a, b, d, c.now, c.five, c.ten)
		}
	}
}

func TestAShadowInTheConfiguration(t *testing.T) {
	cfg, err := load(t, "scaler:\n  groups:\n    - name: web\n      policy: {signal: observed}\n      shadow: {rule: threshold, out: 60}\n")
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultPolicy()
	want.Rule, want.Out = Rules{ruleThreshold}, 60
	g := cfg.Groups[0]
	if !reflect.DeepEqual(g.Shadow.Policy, want) || !g.Predicted() {
		t.Errorf("got %+v", g.Shadow)
	}
	if p := g.PlanShadow(step, time.Minute); p.Policies.Threshold == nil || p.Policies.Cost != nil || p.Cooldown.In != 10*time.Minute || p.Signal != plan.SignalPredicted {
		t.Errorf("the decision sees %+v", p)
	}
	_, err = load(t, "scaler:\n  groups:\n    - {name: web, shadow: {rule: magic, outt: 3}}\n")
	if err == nil || !strings.Contains(err.Error(), "outt") {
		t.Errorf("an unknown key: %v", err)
	}
	_, err = load(t, "scaler:\n  groups:\n    - {name: web, shadow: {rule: magic}}\n")
	if err == nil || !strings.Contains(err.Error(), "shadow.policy.rule") {
		t.Errorf("an unknown rule: %v", err)
	}
}

func TestShadowsAreShown(t *testing.T) {
	w := newWorld(t)
	s := w.scaler(shadowed)
	for i := range 2 {
		if _, err := w.once(s, t0.Add(time.Duration(i)*step)); err != nil {
			t.Fatal(err)
		}
	}
	mustShow(t, s, `
		group_shadow_instance_seconds{group="same",policy="live"} 1200
		shadow_breach_seconds{policy="live"} 0`)
	if problems, err := testutil.CollectAndLint(s.Metrics()); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}
