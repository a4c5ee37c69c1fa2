package audit

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler/plan"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

const step = 5 * time.Minute

// randomInput returns what a decision may rest on: usual things, and those that
// happen when something is wrong.
func randomInput(rng *rand.Rand, group string) plan.Input {
	g := plan.Group{Name: group, Mode: api.ModeLive, Signal: plan.SignalPredicted, Min: rng.IntN(4), Max: 4 + rng.IntN(20),
		Policies: plan.Policies{Threshold: &plan.Threshold{Out: 60 + 30*rng.Float64(), In: 20 + 20*rng.Float64(), Step: 1 + rng.IntN(3)}},
		Cooldown: plan.Cooldown{Out: step, In: 2 * step}, Step: step, Lead: step, StaleAfter: 2}
	fallback := plan.Fallback{Utilisation: 0.6}
	switch rng.IntN(3) {
	case 0:
		g.Policies = plan.Policies{Target: &plan.Target{Quantile: 0.9 + 0.09*rng.Float64(), Utilisation: 0.9, Fallback: fallback}}
	case 1:
		g.Policies.Cost = &plan.Cost{InstanceHour: 0.1, ViolationPeaks: plan.DefaultViolationPeaks, Utilisation: 0.9, Fallback: fallback}
		g.Policies.Schedule = &plan.Schedule{Entries: []plan.Entry{{Name: "noon", From: 11 * 60, To: 13 * 60, Min: 1 + rng.IntN(6), Flag: "is_sale_active"}}}
		g.Guard = plan.Guard{MaxOut: 3, MaxInShare: 0.3, Stabilise: 3 * step, Flaps: 4, DailyHours: 200}
	}
	if rng.IntN(4) == 0 {
		g.Mode = api.ModeDryRun
	}
	in := plan.Input{Group: g, Tick: noon}
	for _, at := range []*time.Time{&in.State.LastOut, &in.State.LastIn, &in.State.ShortSince} {
		if rng.IntN(2) == 0 {
			*at = noon.Add(-time.Duration(rng.IntN(8)) * step)
		}
	}
	n := 1 + rng.IntN(12)
	in.Observation = plan.Observation{
		Capacity: &api.Capacity{InService: max(0, n-rng.IntN(3)), Desired: n, Min: 1, Max: 30, ObservedAt: noon.Add(90 * time.Second)},
		Slot:     noon.Add(-step * time.Duration(1+rng.IntN(5))),
		Values:   map[string]float64{api.MetricCPU: 100 * rng.Float64(), api.SeriesDemand: float64(n) * rng.Float64(), "temperature": rng.NormFloat64() / 3},
	}
	if rng.IntN(2) == 0 {
		in.Observation.Offered, in.Observation.Flags = true, map[string][]float64{"is_sale_active": {1, 0, 0.25}}
	}
	switch rng.IntN(8) {
	case 0:
		in.Observation.Capacity, in.Observation.CapacityError = nil, "Rate exceeded"
	case 1:
		in.Observation.Slot, in.Observation.Values = time.Time{}, nil
	}
	f := &api.Forecast{Group: group, IssuedAt: noon, StepSeconds: 300, Quantiles: []float64{0.5, 0.99}}
	for range plan.LaunchSteps(step, step) {
		v := float64(n) * rng.Float64()
		f.Point, f.Values = append(f.Point, v), append(f.Values, []float64{v, v * (1 + rng.Float64())})
	}
	switch rng.IntN(6) {
	case 0:
		f = nil
	case 1:
		f = &api.Forecast{Group: group, Error: &api.Problem{Title: "no such model", Status: 404}}
	}
	in.Forecast = f
	if rng.IntN(3) == 0 {
		in.Control = &api.Control{Kind: []api.ControlKind{api.ControlFreeze, api.ControlPause}[rng.IntN(2)], Group: group,
			Until: noon.Add(time.Hour), Reason: "release", By: "ana", At: noon.Add(-time.Hour)}
	}
	return in
}

// recordOfInputs decides for many groups and records it as the scaler does: with
// the inputs, carried out, and read again from JSON.
func recordOfInputs(t *testing.T, seed uint64, groups int) api.TickRecord {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	rec := api.TickRecord{Tick: noon, Scaler: "a", Version: "v1"}
	for i := range groups {
		in := randomInput(rng, fmt.Sprint("g", i))
		d, _ := plan.Decide(in)
		d.Before = encode(t, in.State)
		d.Model, d.ModelVersion = "m", 3
		nameless := in.Group
		nameless.Name = ""
		d.Config = len(rec.Configs)
		rec.Configs = append(rec.Configs, encode(t, nameless))
		if d.Outcome.Status == "" {
			d.Outcome.Status = []api.OutcomeStatus{api.OutcomeAccepted, api.OutcomeFailed, api.OutcomeSkipped, ""}[rng.IntN(4)]
			if d.Outcome.Status != "" {
				d.Outcome.Detail = "as the provider said"
			}
		}
		d.Outcome.At = noon.Add(100 * time.Second)
		rec.Decisions = append(rec.Decisions, d)
	}
	return stored(t, rec)
}

// following returns a tick that was decided with a past: the state that twelve
// decisions left behind, calibration and all.
func following(t *testing.T, seed uint64) (api.TickRecord, plan.State) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 2))
	in := randomInput(rng, "web")
	for in.Observation.Capacity == nil || in.Forecast == nil || len(in.Forecast.Point) == 0 || in.Observation.Values == nil {
		in = randomInput(rng, "web")
	}
	var rec api.TickRecord
	for i := range 12 {
		in.Tick = noon.Add(time.Duration(i) * step)
		in.Forecast.IssuedAt, in.Observation.Slot = in.Tick, in.Tick.Add(-step)
		in.Observation.Values[api.SeriesDemand] = 8 * rng.Float64()
		d, after := plan.Decide(in)
		nameless := in.Group
		nameless.Name = ""
		d.Before = encode(t, in.State)
		rec = api.TickRecord{Tick: in.Tick, Configs: []json.RawMessage{encode(t, nameless)}}
		if d.Outcome.Status == "" {
			d.Outcome.Status = api.OutcomeAccepted
			c := *in.Observation.Capacity
			c.Desired, c.InService = d.Desired, d.Desired
			in.Observation.Capacity = &c
		}
		rec.Decisions = []api.Decision{d}
		// What is written between two ticks is what the next one begins with.
		var read plan.State
		if err := json.Unmarshal(encode(t, after.After(d)), &read); err != nil {
			t.Fatal(err)
		}
		in.State = read
	}
	return stored(t, rec), in.State
}

func encode(t testing.TB, v any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// stored returns a record as it is read from the audit log.
func stored(t testing.TB, rec api.TickRecord) api.TickRecord {
	t.Helper()
	var read api.TickRecord
	if err := json.Unmarshal(encode(t, rec), &read); err != nil {
		t.Fatal(err)
	}
	return read
}

func TestEveryDecisionIsReachedAgainBitForBit(t *testing.T) {
	changed := 0
	for seed := range uint64(40) {
		rec := recordOfInputs(t, seed, 25)
		for _, d := range rec.Decisions {
			if d.Desired != d.Capacity.Desired {
				changed++
			}
		}
		diffs, err := Replay(rec)
		for _, d := range diffs {
			t.Error(d)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if changed < 100 {
		t.Errorf("only %d of 1000 decisions changed anything: the test shows little", changed)
	}
}

func TestADecisionWithAPastIsReachedAgain(t *testing.T) {
	learned := 0
	for seed := range uint64(100) {
		rec, after := following(t, seed)
		learned += after.Calibration.Seen
		if diffs, err := Replay(rec); len(diffs) > 0 || err != nil {
			t.Errorf("seed %d: %v, %v", seed, diffs, err)
		}
	}
	if learned < 100 {
		t.Errorf("only %d slots were learned from: the test shows little", learned)
	}
}

// idle returns a record of many groups, some of which wish to scale in, under the
// brake if it was pulled.
func idle(t testing.TB, groups, shrinking int) api.TickRecord {
	t.Helper()
	rec := api.TickRecord{Tick: noon}
	g := plan.Group{Mode: api.ModeLive, Signal: plan.SignalObserved, Min: 1, Step: step, Lead: step, StaleAfter: 2,
		Policies: plan.Policies{Threshold: &plan.Threshold{Out: 70, In: 35, Step: 1}}}
	rec.Configs = []json.RawMessage{encode(t, g)}
	for i := range groups {
		g.Name = fmt.Sprint("g", i)
		cpu := 50.0
		if i < shrinking {
			cpu = 10
		}
		d, _ := plan.Decide(plan.Input{Group: g, Tick: noon, Observation: plan.Observation{
			Capacity: &api.Capacity{InService: 4, Desired: 4, Min: 1, Max: 9}, Slot: noon.Add(-step), Values: map[string]float64{api.MetricCPU: cpu}}})
		d.Before = encode(t, plan.State{})
		rec.Decisions = append(rec.Decisions, d)
	}
	rec.Brake = plan.ApplyBrake(plan.DefaultBrake, rec.Tick, time.Time{}, rec.Decisions)
	for i := range rec.Decisions {
		if d := &rec.Decisions[i]; d.Outcome.Status == "" {
			d.Outcome.Status = api.OutcomeAccepted
		}
	}
	return stored(t, rec)
}

func TestTheBrakeIsReplayed(t *testing.T) {
	for name, c := range map[string]struct {
		shrinking int
		pulled    bool
		spoil     func(*api.TickRecord)
		want      string // the differences
	}{
		"a fleet at work":               {2, false, nil, ""},
		"a fleet that wishes to shrink": {9, true, nil, ""},
		"another share":                 {9, true, func(r *api.TickRecord) { r.Brake.GroupShare = 0.5 }, "* brake.group_share"},
		"a group that it did not hold":  {9, true, func(r *api.TickRecord) { r.Decisions[3].Desired = 3 }, "g3 desired"},
		"a limit that would not have pulled it": {9, true, func(r *api.TickRecord) { r.Brake.Limit = 0.9 },
			"* brake" + strings.Repeat(" g desired outcome.status reasons[1]", 9)},
		"a group without its inputs is still counted": {9, true, func(r *api.TickRecord) { r.Decisions[3].Before = nil }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rec := idle(t, 20, c.shrinking)
			if (rec.Brake != nil) != c.pulled {
				t.Fatalf("the brake is %+v", rec.Brake)
			}
			if c.spoil != nil {
				c.spoil(&rec)
			}
			before := encode(t, rec)
			diffs, err := Replay(rec)
			if (err != nil) != strings.Contains(name, "without its inputs") {
				t.Error(err)
			}
			got, last := "", ""
			for _, d := range diffs {
				group := strings.TrimRight(d.Group, "0123456789")
				if strings.Contains(c.want, d.Group+" ") {
					group = d.Group
				}
				if d.Group != last {
					got += " " + group
				}
				last = d.Group
				got += " " + d.Field
			}
			if strings.TrimSpace(got) != c.want {
				t.Errorf("got %q, want %q", strings.TrimSpace(got), c.want)
			}
			if string(encode(t, rec)) != string(before) {
				t.Error("the record was changed")
			}
		})
	}
}

// A record of the largest fleet: BenchmarkReplay says what it costs.
func BenchmarkReplay(b *testing.B) {
	rec := idle(b, 10_000, 100)
	for b.Loop() {
		if diffs, err := Replay(rec); len(diffs) > 0 || err != nil {
			b.Fatal(diffs, err)
		}
	}
}

func TestAChangeOfARecordIsNamed(t *testing.T) {
	// The decision that is spoilt: a scale-out that was accepted.
	rec := recordOfInputs(t, 1, 25)
	n := -1
	for i, d := range rec.Decisions {
		if d.Outcome.Status == api.OutcomeAccepted && d.Desired > d.Capacity.Desired && d.Forecast != nil && len(d.Forecast.Point) > 0 {
			n = i
		}
	}
	if n < 0 {
		t.Fatal("no such decision")
	}
	good := rec.Decisions[n]
	last := len(good.Reasons) - 1
	for _, c := range []struct {
		name  string
		spoil func(*api.Decision)
		want  string // the field; "": no difference
	}{
		{"another time of the outcome", func(d *api.Decision) { d.Outcome.At = noon.Add(time.Hour) }, ""},
		{"another outcome of carrying it out", func(d *api.Decision) { d.Outcome = api.Outcome{Status: api.OutcomeFailed, Detail: "x"} }, ""},
		{"an outcome of nothing to do", func(d *api.Decision) { d.Outcome.Status = api.OutcomeNone }, "outcome.status"},
		{"an outcome of a dry run", func(d *api.Decision) { d.Outcome.Status = api.OutcomeDryRun }, "outcome.status"},
		{"another size", func(d *api.Decision) { d.Desired++ }, "desired"},
		{"another wish", func(d *api.Decision) { d.Wanted-- }, "wanted"},
		{"another mode", func(d *api.Decision) { d.Mode = api.ModeDryRun }, "mode"},
		{"another basis", func(d *api.Decision) { d.Basis = api.BasisHold }, "basis"},
		{"another sentence", func(d *api.Decision) { d.Reasons[last].Detail += "!" }, fmt.Sprintf("reasons[%d].detail", last)},
		{"a reason less", func(d *api.Decision) { d.Reasons = d.Reasons[:last] }, fmt.Sprintf("reasons[%d]", last)},
		{"another safety state", func(d *api.Decision) { d.Safety += "X" }, "safety"},
		{"another alert", func(d *api.Decision) { d.Alerts = append(d.Alerts, "x") }, "alerts"},
		{"another input", func(d *api.Decision) { d.Capacity.Desired++ }, fmt.Sprintf("reasons[%d].from", last)},
		{"another policy", func(d *api.Decision) { d.Policy = "other" }, "policy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := stored(t, rec)
			c.spoil(&bad.Decisions[n])
			diffs, err := Replay(bad)
			if err != nil {
				t.Fatal(err)
			}
			named := false
			for _, d := range diffs {
				if d.Group != good.Group {
					t.Errorf("another group: %s", d)
				}
				named = named || d.Field == c.want && d.Recorded != d.Replayed && strings.HasPrefix(d.String(), good.Group+": "+c.want+": recorded is ")
			}
			if c.want == "" && len(diffs) > 0 || c.want != "" && !named {
				t.Errorf("want a difference in %q, got %v", c.want, diffs)
			}
		})
	}
}

func TestADecisionWithoutItsInputsIsNamedAndTheOthersCompared(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*api.TickRecord)
		want  string
	}{
		"no state":                   {func(r *api.TickRecord) { r.Decisions[1].Before = nil }, "group g1: the record has not the state"},
		"a state that is none":       {func(r *api.TickRecord) { r.Decisions[1].Before = json.RawMessage(`[]`) }, "group g1: state"},
		"no configuration":           {func(r *api.TickRecord) { r.Decisions[1].Config = 99 }, "group g1: the record has no configuration 99"},
		"a negative configuration":   {func(r *api.TickRecord) { r.Decisions[1].Config = -1 }, "group g1: the record has no configuration -1"},
		"an unreadable one":          {func(r *api.TickRecord) { r.Configs[1] = json.RawMessage(`{"step":"5m"}`) }, "group g1: configuration"},
		"one without a step":         {func(r *api.TickRecord) { r.Configs[1] = json.RawMessage(`{}`) }, "group g1: configuration: a step of 0s"},
		"a decision of another tick": {func(r *api.TickRecord) { r.Decisions[1].Tick = noon.Add(step) }, "group g1: it is of 2026-03-02T12:05:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			rec := recordOfInputs(t, 2, 4)
			c.spoil(&rec)
			rec.Decisions[3].Wanted += 7
			diffs, err := Replay(rec)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want only %q", err, c.want)
			}
			if len(diffs) != 1 || diffs[0].Group != "g3" || diffs[0].Field != "wanted" {
				t.Errorf("got %v", diffs)
			}
		})
	}
}
