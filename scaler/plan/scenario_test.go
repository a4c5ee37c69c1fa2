package plan

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
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
