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
	Mode        api.Mode           `json:"mode"`
	Signal      Signal             `json:"signal"`
	Out         float64            `json:"out"`
	In          float64            `json:"in"`
	By          int                `json:"by"`
	Min         int                `json:"min"`
	Max         int                `json:"max"`
	CooldownOut duration           `json:"cooldown_out"`
	CooldownIn  duration           `json:"cooldown_in"`
	Lead        duration           `json:"lead"`
	StaleAfter  int                `json:"stale_after"`
	LastOut     *duration          `json:"last_out"`
	LastIn      *duration          `json:"last_in"`
	ShortSince  *duration          `json:"short_since"`
	Capacity    *api.Capacity      `json:"capacity"`
	CapacityErr string             `json:"capacity_error"`
	Slot        *duration          `json:"slot"`
	Observed    map[string]float64 `json:"observed"`
	Forecast    *forecast          `json:"forecast"`
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
	g := Group{Name: "web", Mode: s.Mode, Policies: Policies{Threshold: &Threshold{Out: s.Out, In: s.In, Step: s.By}}, Signal: s.Signal,
		Min: s.Min, Max: s.Max, Cooldown: Cooldown{Out: time.Duration(s.CooldownOut), In: time.Duration(s.CooldownIn)},
		Step: step, Lead: time.Duration(s.Lead), StaleAfter: s.StaleAfter}
	o := Observation{Capacity: s.Capacity, CapacityError: s.CapacityErr, Slot: at(s.Slot), Values: s.Observed}
	var f *api.Forecast
	if s.Forecast != nil {
		f = &api.Forecast{Group: s.Forecast.Group, IssuedAt: at(&s.Forecast.Issued), StepSeconds: s.Forecast.Step,
			Point: s.Forecast.Point, Quantiles: s.Forecast.Quantiles, Values: s.Forecast.Values, Error: s.Forecast.Error}
	}
	d, _ := Decide(Input{Group: g, State: State{LastOut: at(s.LastOut), LastIn: at(s.LastIn), ShortSince: at(s.ShortSince)},
		Observation: o, Forecast: f, Tick: noon})
	return d
}

func render(d api.Decision) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s: %d -> %d (wanted %d), %s\n", d.Policy, d.Basis, d.Capacity.Desired, d.Desired, d.Wanted,
		map[bool]string{true: "to be carried out", false: string(d.Outcome.Status)}[d.Outcome.Status == ""])
	for _, r := range d.Reasons {
		fmt.Fprintf(&b, "  %s %d -> %d: %s\n", r.Rule, r.From, r.To, r.Detail)
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
			got := render(s.decide())
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
	odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, math.MaxFloat64}
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
	if pick(0.2) {
		s.Forecast = nil
	}
	return s
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
		if by := d.Desired - s.Capacity.Desired; by < -s.By || by > s.By && d.Desired > low {
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
	r, moved := rand.New(rand.NewPCG(3, 3)), 0
	for i := range 50_000 {
		s := world(r)
		if s.Forecast == nil {
			continue
		}
		s.Forecast.Point = []float64{r.Float64() * 12, r.Float64() * 12, r.Float64()*12 - 1}
		lower := s.decide()
		up := *s.Forecast
		up.Point = append([]float64(nil), up.Point...)
		up.Point[r.IntN(3)] += r.Float64() * 10
		s.Forecast = &up
		higher := s.decide()
		if higher.Desired < lower.Desired {
			t.Fatalf("world %d:\n%s\nbut with a higher forecast\n%s", i, render(lower), render(higher))
		}
		if higher.Desired > lower.Desired {
			moved++
		}
	}
	if moved < 100 {
		t.Fatalf("the forecast moved only %d decisions: the worlds prove nothing", moved)
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
		if (d.Outcome.Status == "") != (d.Desired != s.Capacity.Desired) {
			t.Fatalf("world %d: outcome %q\n%s", i, d.Outcome.Status, render(d))
		}
	}
}

func TestEveryDecisionCanBeRecorded(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for i := range 5_000 {
		d := world(r).decide()
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
			State{LastOut: noon, LastIn: before.LastIn, ShortSince: before.ShortSince}},
		{"an accepted scale-in starts its cooldown", func(d *api.Decision) { d.Outcome.Status, d.Desired = api.OutcomeAccepted, 2 },
			State{LastOut: before.LastOut, LastIn: noon, ShortSince: before.ShortSince}},
		{"a failed action starts none", func(d *api.Decision) { d.Outcome.Status = api.OutcomeFailed }, before},
		{"a skipped action starts none", func(d *api.Decision) { d.Outcome.Status = api.OutcomeSkipped }, before},
		{"a dry run starts none", func(d *api.Decision) { d.Outcome.Status = api.OutcomeDryRun }, before},
		{"a complete group is no longer short", func(d *api.Decision) { d.Capacity.InService = 4 },
			State{LastOut: before.LastOut, LastIn: before.LastIn}},
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
		d := s.decide()
		if _, err := json.Marshal(d); err != nil {
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
