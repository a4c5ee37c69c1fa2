package plan

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

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
		s.drawMore(r)
	}
	if pick(0.2) {
		s.Forecast = nil
	}
	return s
}

// drawMore draws what only the policies beside the threshold rule look at, and
// what the others around a group may do.
func (s *scenario) drawMore(r *rand.Rand) {
	pick := func(p float64) bool { return r.Float64() < p }
	odd := []float64{math.NaN(), math.Inf(1), -math.MaxFloat64}
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
