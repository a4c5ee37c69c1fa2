package plan

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/forescale/forescale/api"
)

var update = flag.Bool("update", false, "rewrite the expected decisions in testdata")

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

const step = 5 * time.Minute

// scenario is the file `input` of a txtar archive, decoded over calm(): a file
// names only what makes its case special. Times are offsets from the tick.
type scenario struct {
	Mode        api.Mode             `json:"mode"`
	Signal      Signal               `json:"signal"`
	Out         float64              `json:"out"`
	In          float64              `json:"in"`
	By          int                  `json:"by"`
	Min         int                  `json:"min"`
	Max         int                  `json:"max"`
	CooldownOut duration             `json:"cooldown_out"`
	CooldownIn  duration             `json:"cooldown_in"`
	Lead        duration             `json:"lead"`
	StaleAfter  int                  `json:"stale_after"`
	LastOut     *duration            `json:"last_out"`
	LastIn      *duration            `json:"last_in"`
	ShortSince  *duration            `json:"short_since"`
	Capacity    *api.Capacity        `json:"capacity"`
	CapacityErr string               `json:"capacity_error"`
	Slot        *duration            `json:"slot"`
	Observed    map[string]float64   `json:"observed"`
	Forecast    *forecast            `json:"forecast"`
	Offered     bool                 `json:"offered"`
	Flags       map[string][]float64 `json:"flags"`
	Control     *api.Control         `json:"control"`
	// Group and State are decoded over what the fields above make of them. A policy
	// named in Group takes the place of the threshold rule.
	Group json.RawMessage `json:"group"`
	State json.RawMessage `json:"state"`
	// Ticks are decided one after the other, each from the state that the one before
	// left, every change accepted: a file that has them tells a story. Each is
	// decoded over this scenario.
	Ticks []json.RawMessage `json:"ticks"`

	policies *Policies // of a drawn world; nil: the threshold rule
	guard    Guard
	state    State
}

type forecast struct {
	Group     string       `json:"group"`
	Issued    duration     `json:"issued"`
	Step      int          `json:"step"`
	Point     []float64    `json:"point"`
	Quantiles []float64    `json:"quantiles"`
	Values    [][]float64  `json:"values"`
	Error     *api.Problem `json:"error"`
}

type duration time.Duration

func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = duration(v)
	return err
}

// calm is a group of 4 at half load with a forecast of the same.
func calm() scenario {
	slot := duration(-step)
	return scenario{
		Mode: api.ModeLive, Signal: SignalPredicted, Out: 70, In: 35, By: 1, Min: 1, Max: 10,
		CooldownOut: duration(step), CooldownIn: duration(2 * step), Lead: duration(step), StaleAfter: 2,
		Capacity: &api.Capacity{InService: 4, Desired: 4, Min: 0, Max: 20},
		Slot:     &slot,
		Observed: map[string]float64{"cpu_utilization": 50, "instances_in_service": 4, "demand": 2},
		Forecast: &forecast{Group: "web", Step: 300, Point: []float64{2, 2, 2}},
	}
}

func at(d *duration) time.Time {
	if d == nil {
		return time.Time{}
	}
	return noon.Add(time.Duration(*d))
}

func (s scenario) decide() api.Decision {
	d, _ := Decide(s.input())
	return d
}

// story decides the ticks of a scenario in turn.
func (s scenario) story() (ds []api.Decision, err error) {
	var state State
	size := *s.Capacity
	for i, raw := range s.Ticks {
		one := s
		one.Observed, one.Ticks = nil, nil
		one.Capacity = &size
		if s.Slot != nil { // a pointer that is decoded over must be this tick's own
			slot := *s.Slot
			one.Slot = &slot
		}
		if s.Forecast != nil {
			f := *s.Forecast
			one.Forecast = &f
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&one); err != nil {
			return nil, fmt.Errorf("tick %d: %w", i, err)
		}
		if one.Observed == nil {
			one.Observed = s.Observed
		}
		in := one.input()
		move := func(t time.Time) time.Time { return t.Add(time.Duration(i) * step) }
		in.Tick, in.Observation.Slot = move(in.Tick), move(in.Observation.Slot)
		if in.Forecast != nil {
			f := *in.Forecast
			f.IssuedAt = move(f.IssuedAt)
			in.Forecast = &f
		}
		if i > 0 {
			in.State = state
		}
		d, next := Decide(in)
		if d.Outcome.Status == "" {
			d.Outcome.Status = api.OutcomeAccepted
		}
		state = next.After(d)
		size = *one.Capacity
		if d.Outcome.Status == api.OutcomeAccepted {
			size.Desired, size.InService = d.Desired, d.Desired
		}
		ds = append(ds, d)
	}
	return ds, nil
}

func (s scenario) input() Input {
	g := Group{Name: "web", Mode: s.Mode, Policies: Policies{Threshold: &Threshold{Out: s.Out, In: s.In, Step: s.By}}, Signal: s.Signal,
		Min: s.Min, Max: s.Max, Cooldown: Cooldown{Out: time.Duration(s.CooldownOut), In: time.Duration(s.CooldownIn)},
		Step: step, Lead: time.Duration(s.Lead), StaleAfter: s.StaleAfter}
	o := Observation{Capacity: s.Capacity, CapacityError: s.CapacityErr, Slot: at(s.Slot), Values: s.Observed}
	var f *api.Forecast
	if s.Forecast != nil {
		f = &api.Forecast{Group: s.Forecast.Group, IssuedAt: at(&s.Forecast.Issued), StepSeconds: s.Forecast.Step,
			Point: s.Forecast.Point, Quantiles: s.Forecast.Quantiles, Values: s.Forecast.Values, Error: s.Forecast.Error}
	}
	st := s.state
	st.LastOut, st.LastIn, st.ShortSince = at(s.LastOut), at(s.LastIn), at(s.ShortSince)
	g.Guard = s.guard
	if s.policies != nil {
		g.Policies = *s.policies
	}
	for raw, into := range map[*json.RawMessage]any{&s.Group: &g, &s.State: &st} {
		if len(*raw) == 0 {
			continue
		}
		dec := json.NewDecoder(bytes.NewReader(*raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(into); err != nil {
			panic(err)
		}
	}
	if p := &g.Policies; p.Target != nil || p.Cost != nil {
		if !bytes.Contains(s.Group, []byte(`"threshold"`)) {
			p.Threshold = nil
		}
	}
	o.Offered, o.Flags = s.Offered, s.Flags
	return Input{Group: g, State: st, Observation: o, Forecast: f, Control: s.Control, Tick: noon}
}

func render(d api.Decision) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s: %d -> %d (wanted %d), %s\n", d.Policy, d.Basis, d.Capacity.Desired, d.Desired, d.Wanted,
		map[bool]string{true: "to be carried out", false: string(d.Outcome.Status)}[d.Outcome.Status == ""])
	for _, r := range d.Reasons {
		fmt.Fprintf(&b, "  %s %d -> %d: %s\n", r.Rule, r.From, r.To, r.Detail)
	}
	if d.Outcome.Detail != "" {
		fmt.Fprintf(&b, "  [%s]\n", d.Outcome.Detail)
	}
	if len(d.Alerts) > 0 {
		fmt.Fprintf(&b, "  alerts %s, %s\n", strings.Join(d.Alerts, ", "), d.Safety)
	}
	return b.Bytes()
}

func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(ar.Files) == 0 || ar.Files[0].Name != "input" {
				t.Fatal("the first file must be called input")
			}
			s := calm()
			s.Observed = nil // not merged with the default: what is absent is missing
			dec := json.NewDecoder(bytes.NewReader(ar.Files[0].Data))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&s); err != nil {
				t.Fatal(err)
			}
			if s.Observed == nil {
				s.Observed = calm().Observed
			}
			var got []byte
			if len(s.Ticks) > 0 {
				ds, err := s.story()
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range ds {
					got = append(append(got, clock(d.Tick)...), ' ')
					got = append(got, render(d)...)
				}
			} else {
				got = render(s.decide())
			}
			if *update {
				ar.Files = append(ar.Files[:1], txtar.File{Name: "decision", Data: got})
				if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if len(ar.Files) != 2 || !bytes.Equal(ar.Files[1].Data, got) {
				t.Errorf("decided:\n%s\nexpected:\n%s", got, ar.Files[len(ar.Files)-1].Data)
			}
		})
	}
}

// world draws a scenario in which everything, likely or not, may happen.
func world(r *rand.Rand) scenario {
	s := calm()
	pick := func(p float64) bool { return r.Float64() < p }
	ago := func() *duration {
		if pick(0.4) {
			return nil
		}
		d := duration(-time.Duration(r.IntN(8)) * step)
		return &d
	}
	s.By = 1 + r.IntN(4)
	s.Min, s.Max = r.IntN(5), r.IntN(12)
	if pick(0.3) {
		s.Signal = SignalObserved
	}
	s.CooldownOut, s.CooldownIn = duration(r.IntN(4))*duration(step), duration(r.IntN(4))*duration(step)
	s.LastOut, s.LastIn, s.ShortSince = ago(), ago(), ago()
	s.Slot = ago()
	s.Capacity = &api.Capacity{InService: r.IntN(12), Desired: r.IntN(12), Min: r.IntN(4), Max: 4 + r.IntN(10)}
	s.Observed = map[string]float64{}
	if pick(0.8) {
		s.Observed[api.MetricCPU] = r.Float64() * 110
	}
	if pick(0.8) {
		s.Observed[api.SeriesDemand] = r.Float64() * 10
	}
	if pick(0.1) {
		s.Capacity.Pending, s.Capacity.LaunchError = r.IntN(3), "no capacity"
	}
	odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, math.MaxFloat64, -math.MaxFloat64}
	if pick(0.1) {
		s.Observed[api.MetricCPU] = odd[r.IntN(len(odd))]
	}
	s.Forecast.Point = make([]float64, r.IntN(6))
	for i := range s.Forecast.Point {
		s.Forecast.Point[i] = r.Float64()*12 - 1
		if pick(0.05) {
			s.Forecast.Point[i] = odd[r.IntN(len(odd))]
		}
	}
	if pick(0.5) {
		s.policies = drawPolicies(r)
		s.Offered = pick(0.5)
		s.state = drawState(r)
		if pick(0.3) {
			s.guard = Guard{MaxOut: r.IntN(3), MaxIn: r.IntN(3), MaxInShare: float64(r.IntN(3)) / 4, Stabilise: time.Duration(r.IntN(4)) * step,
				Flaps: r.IntN(3), DailyHours: float64(r.IntN(2)) * 60, Quota: r.IntN(9)}
		}
		if pick(0.2) {
			s.Capacity.Protected = r.IntN(6)
		}
		if pick(0.1) {
			s.Capacity.Rivals = []api.Rival{{Kind: api.RivalKinds[r.IntN(len(api.RivalKinds))], Detail: "somebody"}}
		}
		if pick(0.1) {
			s.Control = &api.Control{Kind: []api.ControlKind{api.ControlFreeze, api.ControlPause}[r.IntN(2)], Group: "web", Until: noon.Add(time.Hour), Reason: "because", By: "sre"}
		}
		if pick(0.7) {
			s.Forecast.Quantiles = []float64{0.1, 0.5, 0.9}
			for _, v := range s.Forecast.Point {
				w := r.Float64() * 3
				s.Forecast.Values = append(s.Forecast.Values, []float64{v - w, v, v + w*r.Float64()})
				if pick(0.05) {
					s.Forecast.Values[len(s.Forecast.Values)-1][0] = odd[r.IntN(len(odd))]
				}
			}
		}
	}
	if pick(0.2) {
		s.Forecast = nil
	}
	return s
}

// drawPolicies returns one or several policies other than the threshold rule.
func drawPolicies(r *rand.Rand) *Policies {
	fallback := Fallback{Utilisation: 0.3 + 0.6*r.Float64()}
	p := &Policies{Cost: &Cost{InstanceHour: 1, ViolationPeaks: math.Exp(6 * r.Float64()), Utilisation: 0.9, Fallback: fallback}}
	if r.IntN(2) == 0 {
		p.Target = &Target{Quantile: 0.5 + 0.499*r.Float64(), Utilisation: 0.8, Fallback: fallback}
		if r.IntN(2) == 0 {
			p.Cost = nil
		}
	}
	if r.IntN(4) == 0 {
		p.Schedule = &Schedule{Entries: []Entry{{Name: "a", Min: r.IntN(6)}, {Name: "b", Max: 1 + r.IntN(6)}}}
	}
	return p
}

// drawState returns a state in which anything may have been learned.
func drawState(r *rand.Rand) State {
	var st State
	for range r.IntN(60) {
		st.Calibration.Residuals = st.Calibration.Residuals.add(r.NormFloat64()*math.Exp(2*r.NormFloat64()), 20)
	}
	for i := range r.IntN(10) {
		st.Calibration.Peaks = append(st.Calibration.Peaks, Peak{20500 + i, float32(r.Float64() * 12)})
	}
	st.Trust = Trust{State: []api.SafetyState{"", api.SafetyPredictive, api.SafetyDrift, api.SafetyStale, api.SafetyNoModel}[r.IntN(5)], Good: r.IntN(3)}
	if r.IntN(3) == 0 {
		st.Wishes = []Wish{{noon.Add(-step), r.IntN(9)}}
		st.Turns = []time.Time{noon.Add(-time.Hour), noon.Add(-2 * time.Hour)}
		st.Left = &Left{Desired: r.IntN(9), Max: 14}
		st.Spent = Spent{Until: noon.Add(-step), Hours: 70 * r.Float64()}
	}
	return st
}

func TestBoundsHoldWhateverTheForecast(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 50_000 {
		s := world(r)
		d := s.decide()
		low, high := Bounds(Group{Min: s.Min, Max: s.Max}, *s.Capacity)
		if d.Desired < low || d.Desired > max(high, s.Capacity.Desired) {
			t.Fatalf("world %d: %d is outside of %d to %d\n%s", i, d.Desired, low, high, render(d))
		}
		if by := d.Desired - s.Capacity.Desired; s.policies == nil && (by < -s.By || by > s.By && d.Desired > low) {
			t.Fatalf("world %d: moved by %d with a step of %d\n%s", i, by, s.By, render(d))
		}
	}
}

func TestAScaleInNeedsFreshMetrics(t *testing.T) {
	r, ins := rand.New(rand.NewPCG(2, 2)), 0
	for i := range 50_000 {
		s := world(r)
		d := s.decide()
		if d.Desired >= s.Capacity.Desired {
			continue
		}
		ins++
		_, cpu := d.Observed[api.MetricCPU]
		_, demand := d.Observed[api.SeriesDemand]
		if d.Basis == api.BasisHold || s.Slot == nil || noon.Sub(at(s.Slot)) > time.Duration(s.StaleAfter+1)*step || !cpu && !demand {
			t.Fatalf("world %d: scaled in on stale metrics\n%s", i, render(d))
		}
		if s.LastIn != nil && noon.Sub(at(s.LastIn)) < time.Duration(s.CooldownIn) {
			t.Fatalf("world %d: scaled in during a cooldown\n%s", i, render(d))
		}
	}
	if ins < 100 {
		t.Fatalf("only %d scale-ins: the worlds prove nothing", ins)
	}
}

func TestAHigherForecastNeverYieldsASmallerGroup(t *testing.T) {
	r, moved := rand.New(rand.NewPCG(3, 3)), map[bool]int{}
	for i := range 50_000 {
		s := world(r)
		if s.Forecast == nil {
			continue
		}
		s.Forecast.Point = []float64{r.Float64() * 12, r.Float64() * 12, r.Float64()*12 - 1}
		if s.Forecast.Quantiles != nil {
			s.Forecast.Values = nil
			for _, v := range s.Forecast.Point {
				s.Forecast.Values = append(s.Forecast.Values, []float64{v - 1, v, v + 2*r.Float64()})
			}
		}
		lower := s.decide()
		up := *s.Forecast
		up.Point = append([]float64(nil), up.Point...)
		k, by := r.IntN(3), r.Float64()*10
		up.Point[k] += by
		if up.Quantiles != nil {
			up.Values = append([][]float64(nil), up.Values...)
			row := append([]float64(nil), up.Values[k]...)
			for j := range row {
				row[j] += by
			}
			up.Values[k] = row
		}
		s.Forecast = &up
		higher := s.decide()
		if higher.Desired < lower.Desired {
			t.Fatalf("world %d: step %d higher by %g\n%s\nbut then\n%s", i, k+1, by, render(lower), render(higher))
		}
		if higher.Desired > lower.Desired {
			moved[s.policies == nil]++
		}
	}
	if moved[true] < 50 || moved[false] < 50 {
		t.Fatalf("the forecast moved only %v decisions: the worlds prove nothing", moved)
	}
}

func TestADecisionIsReachedAgainFromItsRecord(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for i := range 5_000 {
		s := world(r)
		if s.Forecast != nil && !encodable(&api.Forecast{Point: s.Forecast.Point, Values: s.Forecast.Values}) {
			continue // a scaler replaces it by an error before it decides
		}
		in := s.input()
		d, _ := Decide(in)
		before, err := json.Marshal(in.State)
		if err != nil {
			t.Fatal(err)
		}
		config, err := json.Marshal(in.Group)
		if err != nil {
			t.Fatal(err)
		}
		d.Before = before
		record, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var read api.Decision
		if err := json.Unmarshal(record, &read); err != nil {
			t.Fatal(err)
		}
		again, err := Again(config, read)
		if err != nil {
			t.Fatalf("world %d: %v", i, err)
		}
		got, err := json.Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, record) {
			t.Fatalf("world %d:\n%s\nagain:\n%s", i, record, got)
		}
	}
}

func TestEveryReasonContinuesWhereTheLastOneEnded(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for i := range 20_000 {
		s := world(r)
		d := s.decide()
		n := s.Capacity.Desired
		for _, reason := range d.Reasons {
			if reason.From != n || reason.Detail == "" || reason.Rule == "" {
				t.Fatalf("world %d: a break in\n%s", i, render(d))
			}
			n = reason.To
		}
		if n != d.Desired {
			t.Fatalf("world %d: the reasons end at %d\n%s", i, n, render(d))
		}
		paused := s.Control != nil && s.Control.Kind == api.ControlPause
		if (d.Outcome.Status == "") != (d.Desired != s.Capacity.Desired && !paused) {
			t.Fatalf("world %d: outcome %q\n%s", i, d.Outcome.Status, render(d))
		}
	}
}

func TestEveryDecisionAndItsStateCanBeRecorded(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for i := range 5_000 {
		d, after := Decide(world(r).input())
		if _, err := json.Marshal(after); err != nil {
			t.Fatalf("world %d: a state that cannot be stored: %v", i, err)
		}
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatalf("world %d: a decision that cannot be recorded: %v", i, err)
		}
		var back api.Decision
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(d.Reasons, back.Reasons) || !reflect.DeepEqual(d.Observed, back.Observed) || back.Tick != d.Tick {
			t.Fatalf("world %d: the record differs from the decision", i)
		}
	}
}

func TestStateAfterADecision(t *testing.T) {
	d := api.Decision{Tick: noon, Capacity: api.Capacity{InService: 3, Desired: 4, Max: 9}, Desired: 5}
	before := State{LastOut: noon.Add(-time.Hour), LastIn: noon.Add(-2 * time.Hour), ShortSince: noon.Add(-step)}
	for _, c := range []struct {
		name   string
		change func(*api.Decision)
		want   State
	}{
		{"an accepted scale-out starts its cooldown", func(d *api.Decision) { d.Outcome.Status = api.OutcomeAccepted },
			State{LastOut: noon, LastIn: before.LastIn, ShortSince: before.ShortSince, Outs: []Wish{{noon, 1}}}},
		{"an accepted scale-in starts its cooldown", func(d *api.Decision) { d.Outcome.Status, d.Desired = api.OutcomeAccepted, 2 },
			State{LastOut: before.LastOut, LastIn: noon, ShortSince: before.ShortSince}},
		{"a failed action starts none", func(d *api.Decision) { d.Outcome.Status = api.OutcomeFailed }, before},
		{"a skipped action starts none", func(d *api.Decision) { d.Outcome.Status = api.OutcomeSkipped }, before},
		{"a dry run starts none", func(d *api.Decision) { d.Outcome.Status = api.OutcomeDryRun }, before},
		{"a complete group is no longer short", func(d *api.Decision) { d.Capacity.InService = 4 },
			State{LastOut: before.LastOut, LastIn: before.LastIn}},
		{"a clock that was wrong does not count", func(d *api.Decision) { d.Tick = noon.Add(-time.Hour) },
			State{LastOut: before.LastOut, LastIn: before.LastIn, ShortSince: noon.Add(-time.Hour)}},
		{"an unknown capacity changes nothing", func(d *api.Decision) { d.Capacity = api.Capacity{} }, before},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := d
			c.change(&d)
			got := before.After(d)
			got.Left, got.Turns = nil, nil
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
	if got := (State{}).After(d); got.ShortSince != noon {
		t.Errorf("a group that became short has ShortSince %v", got.ShortSince)
	}
}

func TestLaunchStepsCoverTheLeadAndTheStepAfterIt(t *testing.T) {
	for lead, want := range map[time.Duration]int{0: 2, 3 * time.Minute: 2, 5 * time.Minute: 3, 10 * time.Minute: 4, -time.Hour: 2} {
		if got := LaunchSteps(step, lead); got != want {
			t.Errorf("lead %s: %d steps, want %d", lead, got, want)
		}
	}
}

// FuzzDecide looks for arguments that break an invariant or panic.
func FuzzDecide(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"observed":{"cpu_utilization":100},"capacity":{"desired":0},"forecast":{"group":"web","step":300,"point":[1e308,-1,0],"quantiles":[0.5],"values":[[1],[1],[1]]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := calm()
		if json.Unmarshal(raw, &s) != nil || s.By < 1 || s.By > 1000 || s.In > s.Out || s.StaleAfter < 0 || s.StaleAfter > 1000 ||
			s.Min > 1000 || s.Lead < 0 || s.Lead > duration(24*time.Hour) || s.CooldownIn < 0 || s.CooldownIn > duration(24*time.Hour) {
			return
		}
		d, after := Decide(s.input())
		if _, err := json.Marshal(d); err != nil {
			t.Fatal(err)
		}
		if _, err := json.Marshal(after); err != nil {
			t.Fatal(err)
		}
		if s.Capacity == nil || len(d.Reasons) == 1 && d.Reasons[0].Rule == RuleCapacity {
			if d.Desired != 0 || d.Outcome.Status != api.OutcomeNone {
				t.Fatalf("decided without a capacity: %s", render(d))
			}
			return
		}
		low, high := Bounds(Group{Min: s.Min, Max: s.Max}, *s.Capacity)
		if d.Desired < low || d.Desired > max(high, s.Capacity.Desired) {
			t.Fatalf("out of bounds: %s", render(d))
		}
		if d.Basis == api.BasisHold && d.Desired < s.Capacity.Desired {
			t.Fatalf("scaled in on stale metrics: %s", render(d))
		}
	})
}
