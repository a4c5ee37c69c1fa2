package gate

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func figure(v float64) *float64 { return &v }

// result is a model that is well calibrated, on two held-out weeks.
func result(name string, version int) Result {
	return Result{
		Model: name, Version: version, TrainedUntil: monday, SizeBytes: 1 << 20, From: monday, Until: monday.AddDate(0, 0, 14), Slots: 4032,
		InstanceHours: figure(1000), Violations: figure(0.30), Unserved: figure(0.01), EqualHours: figure(980), EqualAt: figure(0.5), WAPE: figure(0.12),
		Coverage: []Coverage{{0.1, figure(0.3)}, {0.9, figure(0.905)}, {0.99, figure(0.985)}},
	}
}

func pair() Input {
	champion, challenger := result("fleet", 7), result("fleet", 8)
	champion.TrainedUntil = monday.AddDate(0, 0, -7)
	return Input{Challenger: challenger, Champion: &champion}
}

// first has no champion: the challenger is compared with the persistence.
func first() Input {
	persistence := result("persistence", 0)
	persistence.InstanceHours, persistence.EqualHours, persistence.WAPE, persistence.Coverage = figure(1100), figure(1080), figure(0.15), nil
	return Input{Challenger: result("fleet", 1), Persistence: &persistence}
}

func failed(v Verdict) string {
	var names []string
	for _, r := range v.Reasons {
		if !r.Passed {
			names = append(names, r.Check)
		}
	}
	return strings.Join(names, " ")
}

func TestPromotion(t *testing.T) {
	for _, c := range []struct {
		name   string
		in     Input
		change func(*Input)
		failed string // the checks; "": promoted
	}{
		{"an equal challenger that knows more", pair(), func(*Input) {}, ""},
		{"fewer hours at equal violations", pair(), func(in *Input) { in.Challenger.EqualHours = figure(900) }, ""},
		{"hours just under the limit", pair(), func(in *Input) { in.Challenger.EqualHours = figure(984.89) }, ""},
		{"hours just over it", pair(), func(in *Input) { in.Challenger.EqualHours = figure(984.91) }, "cost"},
		{"no curve, but no worse at the default knob", pair(), func(in *Input) { in.Challenger.EqualHours = nil }, ""},
		{"no curve, and fewer hours at the price of violations", pair(), func(in *Input) {
			in.Challenger.EqualHours, in.Challenger.InstanceHours, in.Challenger.Violations = nil, figure(900), figure(0.31)
		}, "cost"},
		{"curves that are read off at different violations", pair(), func(in *Input) {
			in.Challenger.EqualAt, in.Challenger.EqualHours, in.Challenger.InstanceHours = figure(1), figure(700), figure(1100)
		}, "cost"},
		{"hours of nothing", pair(), func(in *Input) { in.Challenger.EqualHours = figure(0) }, "cost"},
		{"more violations at the default knob", pair(), func(in *Input) { in.Challenger.Violations = figure(0.36) }, "violations"},
		{"more load unserved", pair(), func(in *Input) { in.Challenger.Unserved = figure(0.031) }, "unserved"},
		{"a greater error", pair(), func(in *Input) { in.Challenger.WAPE = figure(0.123) }, "error"},
		{"an upper quantile that is too low", pair(), func(in *Input) { in.Challenger.Coverage[2].Share = figure(0.95) }, "coverage calibration"},
		{"an upper quantile that is too high", pair(), func(in *Input) { in.Challenger.Coverage[1].Share = figure(0.97) }, "coverage calibration"},
		{"a lower quantile says nothing", pair(), func(in *Input) { in.Challenger.Coverage[0].Share = figure(0.9) }, ""},
		{"within the band, but worse than the champion", pair(), func(in *Input) {
			in.Challenger.Coverage[1].Share, in.Challenger.Coverage[2].Share = figure(0.875), figure(0.965)
		}, "calibration"},
		{"no upper quantile at all", pair(), func(in *Input) { in.Challenger.Coverage = in.Challenger.Coverage[:1] }, "coverage calibration"},
		{"a level of the champion's is missing", pair(), func(in *Input) { in.Challenger.Coverage = in.Challenger.Coverage[:2] }, "calibration"},
		{"a champion without quantiles", pair(), func(in *Input) { in.Champion.Coverage = nil }, ""},
		{"a level that is none", pair(), func(in *Input) { in.Challenger.Coverage[1].Level = 1 }, "coverage calibration"},
		{"a coverage of more than all", pair(), func(in *Input) { in.Challenger.Coverage[1].Share = figure(1.01) }, "coverage calibration"},
		{"a file of five times the size", pair(), func(in *Input) { in.Challenger.SizeBytes = 5 << 20 }, "size"},
		{"a file of unknown size", pair(), func(in *Input) { in.Challenger.SizeBytes = 0 }, "size"},
		{"a challenger that knows less than the champion", pair(), func(in *Input) { in.Challenger.TrainedUntil = monday.AddDate(0, 0, -8) }, "fresh"},
		{"trained on what it is scored on", pair(), func(in *Input) { in.Challenger.TrainedUntil = monday.Add(1) }, "held-out"},
		{"trained nobody knows until when", pair(), func(in *Input) { in.Challenger.TrainedUntil = time.Time{} }, "held-out fresh"},
		{"a week less a slot", pair(), func(in *Input) { in.Challenger.Slots, in.Champion.Slots = 2015, 2015 }, "slots"},
		{"other slots than the champion's", pair(), func(in *Input) { in.Champion.From = monday.Add(time.Hour) }, "slots"},
		{"another number of slots", pair(), func(in *Input) { in.Challenger.Slots++ }, "slots"},
		{"worse in everything", pair(), func(in *Input) {
			in.Challenger = result("fleet", 8)
			in.Challenger.EqualHours, in.Challenger.Violations, in.Challenger.Unserved, in.Challenger.WAPE = figure(2000), figure(3), figure(1), figure(0.5)
		}, "cost violations unserved error"},

		{"a first model that beats the persistence", first(), func(*Input) {}, ""},
		{"a first model that only equals it in cost", first(), func(in *Input) { in.Challenger.EqualHours = figure(1080) }, "cost"},
		{"a first model that beats it by too little", first(), func(in *Input) { in.Challenger.EqualHours = figure(1075) }, "cost"},
		{"a first model that errs as much", first(), func(in *Input) { in.Challenger.WAPE = figure(0.15) }, "error"},
		{"a first model without quantiles", first(), func(in *Input) { in.Challenger.Coverage = nil }, "coverage"},
		{"nothing to compare with", first(), func(in *Input) { in.Persistence = nil }, "rival"},
		{"a champion goes before the persistence", pair(), func(in *Input) {
			p := result("persistence", 0)
			p.EqualHours = figure(1)
			in.Persistence = &p
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.change(&c.in)
			v := DefaultConfig().Judge(c.in)
			if got := failed(v); got != c.failed || v.Promote != (c.failed == "") {
				t.Errorf("promote %v, failed %q, want %q\n%s", v.Promote, got, c.failed, v)
			}
			for _, r := range v.Reasons {
				if r.Check == "" || r.Detail == "" || strings.Contains(r.Detail, "%!") {
					t.Errorf("a reason says %+v", r)
				}
			}
		})
	}
}

// The figures of a verdict and its limit are those that it rests on.
func TestAReasonCarriesItsFigures(t *testing.T) {
	in := pair()
	in.Challenger.EqualHours = figure(990)
	for _, r := range DefaultConfig().Judge(in).Reasons {
		if r.Check != CheckCost {
			continue
		}
		if *r.Figure != 990 || *r.Against != 980 || math.Abs(*r.Limit-984.9) > 1e-9 || r.Passed ||
			r.Detail != "at 0.5 % violations, 990.0 instance-hours, against 980.0 instance-hours; at most 984.9 instance-hours is allowed" {
			t.Errorf("got %+v", r)
		}
		return
	}
	t.Error("there is no such reason")
}

// measures are the fields that a challenger is judged by, most of all of which a
// higher value is worse.
func measures(r *Result) map[string]**float64 {
	return map[string]**float64{"hours": &r.InstanceHours, "violations": &r.Violations, "unserved": &r.Unserved, "equal hours": &r.EqualHours, "wape": &r.WAPE}
}

func TestWhatIsNotANumberPromotesNothing(t *testing.T) {
	for _, base := range []func() Input{pair, first} {
		for _, v := range []*float64{nil, figure(math.NaN()), figure(math.Inf(1)), figure(math.Inf(-1)), figure(-1)} {
			for name := range measures(&Result{}) {
				for _, side := range []string{"challenger", "rival", "both"} {
					in := base()
					rival := in.Champion
					if rival == nil {
						rival = in.Persistence
					}
					if side != "rival" {
						*measures(&in.Challenger)[name] = v
					}
					if side != "challenger" {
						*measures(rival)[name] = v
					}
					// Without the curve the default knob decides, and the other way round.
					want := name == "equal hours" || name == "hours"
					if got := DefaultConfig().Judge(in); got.Promote != want {
						t.Errorf("%s of %s is %v: promote %v\n%s", name, side, v, got.Promote, got)
					} else if _, err := json.Marshal(got); err != nil {
						t.Errorf("%s of %s is %v: %v", name, side, v, err)
					}
				}
			}
		}
	}
	in := pair()
	in.Challenger.EqualHours, in.Challenger.InstanceHours = figure(math.NaN()), figure(math.NaN())
	if v := DefaultConfig().Judge(in); v.Promote || failed(v) != "cost" {
		t.Errorf("neither cost is a number:\n%s", v)
	}
	if v := DefaultConfig().Judge(Input{Champion: &Result{}}); v.Promote {
		t.Errorf("of nothing is known anything:\n%s", v)
	}
}

func TestAWorseChallengerIsNotPromotedWhereABetterOneIsNot(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	promoted := 0
	for range 4000 {
		in := pair()
		for _, m := range measures(&in.Challenger) {
			*m = figure(**m * (0.96 + 0.08*rng.Float64()))
			if rng.IntN(12) == 0 {
				*m = nil
			}
		}
		v := DefaultConfig().Judge(in)
		worse := in
		all := measures(&worse.Challenger)
		name := []string{"hours", "violations", "unserved", "equal hours", "wape"}[rng.IntN(5)]
		if m := all[name]; *m != nil {
			*m = figure(**m * (1 + rng.Float64()))
		}
		if v.Promote {
			promoted++
		} else if w := DefaultConfig().Judge(worse); w.Promote {
			t.Fatalf("worse in %s and promoted:\n%s\nwas\n%s", name, w, v)
		}
		if again := DefaultConfig().Judge(in); !reflect.DeepEqual(again, v) {
			t.Fatal("the same input gave another verdict")
		}
	}
	if promoted < 100 || promoted > 3900 {
		t.Errorf("%d of 4000 were promoted: the test shows little", promoted)
	}
}

func TestAnInputSurvivesItsRecord(t *testing.T) {
	in := pair()
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var read Input
	if err := json.Unmarshal(raw, &read); err != nil {
		t.Fatal(err)
	}
	if a, b := DefaultConfig().Judge(in), DefaultConfig().Judge(read); !reflect.DeepEqual(a, b) {
		t.Errorf("judged\n%s\nbefore, and\n%s\nfrom the record", a, b)
	}
	// What an older program did not record is missing, and not 0.
	if err := json.Unmarshal([]byte(`{"challenger":{"model":"a"},"champion":{"model":"a"}}`), &read); err != nil {
		t.Fatal(err)
	}
	read.Challenger.Violations = nil
	if v := DefaultConfig().Judge(read); v.Promote {
		t.Errorf("promoted\n%s", v)
	}
}
