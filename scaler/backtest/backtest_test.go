package backtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/scaler/backtest"
)

// The figures of the report are those that a judge finds in the capacity files, at
// the printed digits.
func TestThePlansJudgeAsTheReportSays(t *testing.T) {
	for name, part := range map[string]struct {
		config fleet.GenerateConfig
		leads  []int
	}{
		"five minutes":   {fleet.GenerateConfig{Seed: 1, Days: 10}, []int{0, 3, 10}},
		"thirty minutes": {fleet.GenerateConfig{Seed: 2, Days: 20, Step: 30 * time.Minute}, []int{5}},
		"an hour":        {fleet.GenerateConfig{Seed: 3, Days: 42, Step: time.Hour}, []int{5}},
	} {
		for _, lead := range part.leads {
			c := configured(workload(t, part.config))
			c.Lead = lead
			r := run(t, c)
			if len(r.Report.Policies) != len(backtest.Policies())+1 || len(r.Plans) != len(r.Report.Policies) {
				t.Fatalf("%d reports and %d plans of %d policies and the oracle", len(r.Report.Policies), len(r.Plans), len(backtest.Policies()))
			}
			for _, p := range r.Report.Policies {
				verdict, err := fleet.Judge(r.Demand, r.Plans[p.Name], lead)
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range []struct {
					what      string
					got, want float64
				}{
					{"violation_pct", p.ViolationPct, verdict.ViolationPct},
					{"unserved_pct", p.UnservedPct, verdict.UnservedPct},
					{"instance_hours", p.InstanceHours, verdict.InstanceHours},
					{"ratio_to_oracle", p.RatioToOracle, verdict.RatioToOracle},
					{"actions", float64(p.Actions), float64(verdict.Actions)},
					{"reversals_per_day", p.ReversalsPerDay, verdict.ReversalsPerDay},
				} {
					if x.got != x.want {
						t.Errorf("%s, lead %d, %s: %s is %v, a judge of the capacity file says %v", name, lead, p.Name, x.what, x.got, x.want)
					}
				}
			}
		}
	}
}

// The worst hours of a policy hold all of its violations, or five hours of them.
func TestTheWorstHoursAreThoseWithTheViolations(t *testing.T) {
	r := run(t, configured(workload(t, fleet.GenerateConfig{Seed: 1, Days: 10})))
	some := false
	for _, p := range r.Report.Policies {
		minutes := int(math.Round(p.ViolationPct * float64(r.Report.ScoredMinutes) / 100))
		var hours []backtest.WorstHour
		sum := 0
		for _, h := range r.Report.WorstHours {
			if h.Policy == p.Name {
				hours, sum = append(hours, h), sum+h.ViolationMinutes
				if h.ViolationMinutes < 1 || h.ViolationMinutes > 60 || h.InService >= h.Required || h.From.Before(r.Report.ScoreFrom) || !h.From.Before(r.Report.ScoreTo) {
					t.Errorf("%s: %+v", p.Name, h)
				}
			}
		}
		some = some || sum > 0
		complete := len(hours) < 5 && sum == minutes || len(hours) == 5 && sum <= minutes
		sorted := slices.IsSortedFunc(hours, func(a, b backtest.WorstHour) int { return b.ViolationMinutes - a.ViolationMinutes })
		if p.Name != backtest.Oracle && (!complete || !sorted) {
			t.Errorf("%s: %d minutes of violations, hours %+v", p.Name, minutes, hours)
		}
	}
	if !some {
		t.Error("the workload is so easy that nothing is shown")
	}
}

// What comes after a decision must not have moved it: for every policy, from one end
// of its knob to the other. A leak anywhere (scaling, forecasts, calibration, baselines) would.
func TestNoDecisionKnowsWhatComesAfterIt(t *testing.T) {
	d := workload(t, fleet.GenerateConfig{Seed: 7, Days: 10})
	for _, part := range []struct {
		name    string
		changed int // the first slot that is another
	}{
		{"early in the test", d.ScoreStart() + 40},
		{"late in the test", len(d.Slots) - 200},
	} {
		other := *d
		other.Slots, other.Missing = slices.Clone(d.Slots), slices.Clone(d.Missing)
		for i := part.changed; i < len(d.Slots); i++ {
			other.Slots[i] = 30 - other.Slots[i]/2
			other.Missing[i] = i%50 == 49
		}
		for _, p := range backtest.Policies() {
			// The last minute that begins before any of it is seen: the end of the slot, or
			// its start for those that look at single minutes.
			last := (part.changed + 1) * d.SlotMinutes()
			if slices.Contains([]string{backtest.TargetTracking, backtest.HPA, "aws-predictive"}, p.Name) {
				last = part.changed * d.SlotMinutes()
			}
			moved := false
			for _, knob := range []float64{p.Knobs[0], p.Knobs[len(p.Knobs)/2], p.Default(d), p.Knobs[len(p.Knobs)-1]} {
				p.Default = func(*fleet.Demand) float64 { return knob }
				var plans [2]fleet.Plan
				for i, demand := range []*fleet.Demand{d, &other} {
					c := configured(demand)
					p.Knobs = []float64{knob}
					c.Policies = []backtest.Policy{p}
					plans[i] = run(t, c).Plans[p.Name]
				}
				known := func(plan fleet.Plan) fleet.Plan {
					return slices.DeleteFunc(slices.Clone(plan), func(o fleet.Order) bool { return o.Time.After(d.Time(last)) })
				}
				if a, b := known(plans[0]), known(plans[1]); !slices.Equal(a, b) {
					t.Errorf("%s, %s at %g: another future changes earlier orders:\n%v\n%v", part.name, p.Name, knob, a, b)
				}
				moved = moved || !slices.Equal(plans[0], plans[1])
			}
			if !moved && p.Name != "static" {
				t.Errorf("%s, %s: not even later orders follow another future, so this test shows nothing", part.name, p.Name)
			}
		}
	}
}

// The recommendation is made before the test begins.
func TestTheRecommendationKnowsNothingOfTheTest(t *testing.T) {
	d := workload(t, fleet.GenerateConfig{Seed: 8, Days: 20})
	other := *d
	other.Slots = slices.Clone(d.Slots)
	for i := d.ScoreStart(); i < len(d.Slots); i++ {
		other.Slots[i] = 25
	}
	a, b := run(t, configured(d)).Report.Recommended, run(t, configured(&other)).Report.Recommended
	if a == nil || b == nil {
		t.Fatal("nothing is recommended")
	}
	if a.Tested == b.Tested {
		t.Error("another test part has the same outcome, so this test shows nothing")
	}
	a.Tested, b.Tested = backtest.Outcome{}, backtest.Outcome{}
	if *a != *b {
		t.Errorf("recommended %+v, and with another test %+v", *a, *b)
	}
}

func TestARecommendationSaysWhetherForecastsPay(t *testing.T) {
	const slots = 12 * 288
	level := func(at func(i int) float64) *fleet.Demand {
		d := &fleet.Demand{Start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), Step: 5 * time.Minute, Missing: make([]bool, slots), Unit: 1}
		for i := range slots {
			d.Slots = append(d.Slots, at(i))
		}
		return d
	}
	for _, c := range []struct {
		name    string
		demand  *fleet.Demand
		verdict string
	}{
		{"a load that never needs more than the minimum", level(func(int) float64 { return 1 }), "never needs more than the 2 instances"},
		{"a level load", level(func(int) float64 { return 9.5 }), "so smooth"},
	} {
		r := run(t, configured(c.demand)).Report
		if r.Recommended == nil || r.Recommended.Helps || r.Recommended.Policy == backtest.DefaultPolicy {
			t.Errorf("%s: recommended %+v", c.name, r.Recommended)
		}
		if !strings.Contains(r.Verdict, c.verdict) {
			t.Errorf("%s: the verdict does not say that it is %q: %s", c.name, c.verdict, r.Verdict)
		}
	}
}

// The pilot is plan.Decide and nothing else: what it is told is what a scaler would
// have seen at that tick.
func TestForecastsAreAskedForAtTheEndOfEachSlotOnly(t *testing.T) {
	d := workload(t, fleet.GenerateConfig{Seed: 9, Days: 10})
	asked := map[int]int{}
	c := configured(d)
	c.Rehearsal, c.Workers = nil, 1
	c.Policies = slices.DeleteFunc(c.Policies, func(p backtest.Policy) bool { return p.Name != backtest.DefaultPolicy })
	c.Policies[0].Knobs = nil
	c.Forecasts = forecaster(func(ctx context.Context, origin int) (api.Forecast, error) {
		asked[origin]++
		return yesterday{d}.Forecast(ctx, origin)
	})
	run(t, c)
	first := d.ScoreStart() - 288 - 1 // the warm-up's first decision is on the slot before it
	for origin := first; origin < len(d.Slots)-1; origin++ {
		if asked[origin] < 1 {
			t.Fatalf("no forecast of origin %d was asked for", origin)
		}
	}
	for origin := range asked {
		if origin < first || origin > len(d.Slots)-1 {
			t.Errorf("a forecast of origin %d was asked for", origin)
		}
	}
}

// forecaster is a function that forecasts.
type forecaster func(ctx context.Context, origin int) (api.Forecast, error)

func (f forecaster) Forecast(ctx context.Context, origin int) (api.Forecast, error) {
	return f(ctx, origin)
}

func TestRefittedModelsAnswerFromTheTimeOnThatTheyKnow(t *testing.T) {
	d := workload(t, fleet.GenerateConfig{Seed: 10, Days: 20})
	c := configured(d)
	c.Rehearsal, c.Workers = nil, 1
	var known []time.Time
	c.RefitEvery = 24 * time.Hour
	c.Refit = func(_ context.Context, at time.Time) (backtest.Forecaster, error) {
		known = append(known, at)
		slot := int(at.Sub(d.Start) / d.Step)
		return forecaster(func(ctx context.Context, origin int) (api.Forecast, error) {
			if origin < slot-1 {
				t.Errorf("the model that knows what came before slot %d is asked at the end of slot %d", slot, origin)
			}
			if origin >= slot-1+288 {
				t.Errorf("the model of slot %d is asked at slot %d, when there is a newer one", slot, origin)
			}
			return yesterday{d}.Forecast(ctx, origin)
		}), nil
	}
	r := run(t, c).Report
	if len(known) != 3 || !known[0].Equal(d.Time((d.ScoreStart()+288)*5)) {
		t.Errorf("models were fitted at %v", known)
	}
	if r.Refitted == nil || r.Refitted.EveryHours != 24 || len(r.Refitted.Policies) == 0 {
		t.Fatalf("refitted: %+v", r.Refitted)
	}
	for _, p := range r.Refitted.Policies {
		same := r.Policy(p.Name) // the same forecasts, hence the same figures
		if p.ViolationPct != same.ViolationPct || p.InstanceHours != same.InstanceHours {
			t.Errorf("%s: %v %% and %v hours, without refits %v and %v", p.Name, p.ViolationPct, p.InstanceHours, same.ViolationPct, same.InstanceHours)
		}
	}
}

func TestTheReportIsWhatWasPromised(t *testing.T) {
	r := run(t, configured(workload(t, fleet.GenerateConfig{Seed: 11, Days: 12})))
	raw, err := r.Report.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Trace       string `json:"trace"`
		LeadMinutes int    `json:"lead_minutes"`
		Policies    []map[string]any
		Default     string         `json:"default_policy"`
		Knob        *float64       `json:"default_knob"`
		Recommended map[string]any `json:"recommended"`
	}
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if got.Trace != "generated" || got.LeadMinutes != 5 || got.Default != backtest.DefaultPolicy || got.Knob == nil || got.Recommended["policy"] == nil {
		t.Errorf("report %+v", got)
	}
	for _, p := range got.Policies {
		for _, key := range []string{"name", "knob", "violation_pct", "unserved_pct", "instance_hours", "ratio_to_oracle", "actions", "actions_per_day", "reversals_per_day"} {
			if p[key] == nil {
				t.Errorf("policy %v: %s is missing", p["name"], key)
			}
		}
		before := [2]float64{math.Inf(-1), math.Inf(1)}
		for _, point := range p["curve"].([]any) {
			v, h := point.([]any)[0].(float64), point.([]any)[1].(float64)
			if len(point.([]any)) != 3 || v < before[0] || h >= before[1] {
				t.Errorf("policy %v: point %v follows %v", p["name"], point, before)
			}
			before = [2]float64{v, h}
		}
	}
}

func TestWhatCannotBeReplayedIsSaid(t *testing.T) {
	d := workload(t, fleet.GenerateConfig{Seed: 12, Days: 10})
	blind := *d
	blind.Missing = slices.Clone(d.Missing)
	for i := d.ScoreStart(); i < len(d.Slots); i++ {
		blind.Missing[i] = true
	}
	short := *d
	short.Slots, short.Missing = d.Slots[:2], d.Missing[:2]
	for want, change := range map[string]func(c *backtest.Config){
		"needs forecasts":                         func(c *backtest.Config) { c.Forecasts = nil },
		"there is no demand":                      func(c *backtest.Config) { c.Demand = nil },
		"was observed":                            func(c *backtest.Config) { c.Demand = &blind },
		"too short":                               func(c *backtest.Config) { c.Demand = &short },
		"lead time of -1":                         func(c *backtest.Config) { c.Lead = -1 },
		"must be a multiple":                      func(c *backtest.Config) { c.Refit, c.RefitEvery = noRefit, 7*time.Minute },
		"no forecast of slot":                     func(c *backtest.Config) { c.Forecasts = backtest.Forecasts{First: 5, All: make([]api.Forecast, 3)} },
		"refit at 2026-01-13T01:00:00Z: no model": func(c *backtest.Config) { c.Refit, c.RefitEvery = noRefit, time.Hour },
	} {
		c := configured(d)
		change(&c)
		if _, err := backtest.Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not contain %q", err, want)
		}
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := backtest.Run(stopped, configured(d)); !errors.Is(err, context.Canceled) {
		t.Errorf("a stopped backtest returns %v", err)
	}
}

func noRefit(context.Context, time.Time) (backtest.Forecaster, error) {
	return nil, errors.New("no model")
}

func TestTheDefaultPolicyIsTheScalers(t *testing.T) {
	if rules := scaler.DefaultPolicy().Rule; len(rules) != 1 || rules[0] != backtest.DefaultPolicy {
		t.Errorf("a group gets %v, and %q is replayed as the default", rules, backtest.DefaultPolicy)
	}
}

func TestPoliciesAreSelectedByName(t *testing.T) {
	some, err := backtest.Select([]string{"static", backtest.TargetTracking})
	if err != nil || len(some) != 2 || some[0].Name != backtest.TargetTracking {
		t.Errorf("selected %v (%v)", some, err)
	}
	all, err := backtest.Select([]string{"all"})
	if err != nil || len(all) != len(backtest.Policies()) {
		t.Errorf("selected %d of all (%v)", len(all), err)
	}
	for _, p := range all {
		if !slices.IsSorted(p.Knobs) {
			t.Errorf("%s: the knobs %v do not ascend", p.Name, p.Knobs)
		}
	}
	if _, err := backtest.Select([]string{"magic"}); err == nil || !strings.Contains(err.Error(), backtest.TargetTracking) {
		t.Errorf("error %v does not name what there is", err)
	}
}
