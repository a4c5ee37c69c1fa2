package plan

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

func TestResidualsTellTheirDistribution(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var rs Residuals
	for range 20_000 {
		z := r.ExpFloat64() - r.ExpFloat64() // double exponential: P(Z > z) = e^-z / 2
		rs = rs.add(z, 1e9)
	}
	tail := rs.tail()
	for _, z := range []float64{0.25, 0.5, 1, 2, 3, 5} {
		if got, want := tail.exceeds(z), math.Exp(-z)/2; math.Abs(got-want) > 0.012 {
			t.Errorf("P(Z > %g) = %.4f, want %.4f", z, got, want)
		}
	}
	last := 1.0
	for z := -8.0; z < 90; z += 0.01 {
		p := tail.exceeds(z)
		if p > last+1e-12 || p < 0 || p > 1 {
			t.Fatalf("P(Z > %g) = %g after %g", z, p, last)
		}
		last = p
	}
}

func TestTheDensityOfResidualsNeverRisesAboveTheMedian(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 200 {
		var rs Residuals
		for range 1 + r.IntN(80) {
			rs = rs.add(math.Abs(r.NormFloat64()*math.Exp(2*r.NormFloat64())), 30)
		}
		tail, before := rs.tail(), 0.0
		sum := 0.0
		for b := range residualBins {
			sum += tail.weights[b]
			density := tail.weights[b] / (edges[b+1] - edges[b])
			if b > zeroBin && density > before*(1+1e-9) {
				t.Fatalf("bin %d: %g after %g", b, density, before)
			}
			before = density
		}
		if math.Abs(sum/tail.total-1) > 1e-6 {
			t.Fatalf("smoothing changed the weight from %g to %g", tail.total, sum)
		}
	}
}

func TestThePastFades(t *testing.T) {
	var rs Residuals
	for range 1000 {
		rs = rs.add(-1, 100)
	}
	for range 300 {
		rs = rs.add(0.3, 100)
	}
	// What is left of the first is e^-3 of the whole.
	if got := rs.tail().exceeds(-0.5); math.Abs(got-(1-math.Exp(-3))) > 0.01 {
		t.Errorf("P(Z > -0.5) = %.3f", got)
	}
}

func TestResidualsSurviveTheStore(t *testing.T) {
	var rs Residuals
	for i := range 50 {
		rs = rs.add(float64(i)/7-3, 20)
	}
	for _, want := range []Residuals{rs, {}} {
		data, err := json.Marshal(State{Calibration: Calibration{Residuals: want}})
		if err != nil {
			t.Fatal(err)
		}
		var got State
		if err := json.Unmarshal(data, &got); err != nil || got.Calibration.Residuals != want {
			t.Errorf("%v: got another from %s", err, data)
		}
	}
	for _, bad := range []string{`"x"`, `"AAAA"`, `7`} {
		if err := json.Unmarshal([]byte(bad), new(Residuals)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}

// TestCalibrationMendsAForecastThatIsTooSure lets a forecast claim a tenth of the
// spread that the demand really has: what is covered must come near what was
// asked for.
func TestCalibrationMendsAForecastThatIsTooSure(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var c Calibration
	exceeded, n := 0, 0
	for i := range 6000 {
		tick := noon.Add(time.Duration(i) * step)
		f := &api.Forecast{Group: "web", IssuedAt: tick, StepSeconds: 300, Point: []float64{5, 5, 5}, Quantiles: []float64{0.1, 0.5, 0.9},
			Values: [][]float64{{4.9, 5, 5.1}, {4.9, 5, 5.1}, {4.9, 5, 5.1}}}
		var o *Outlook
		c, o = c.issue(f, 3, tick, step)
		bound := o.Quantile(1, 0.98)
		demand := 5 + r.NormFloat64()*0.8
		if i > 2000 {
			n++
			if demand > bound {
				exceeded++
			}
		}
		c = c.learn(tick, demand, step)
	}
	if share := float64(exceeded) / float64(n); share < 0.01 || share > 0.03 {
		t.Errorf("the 0.98 quantile was exceeded by %.1f %%", 100*share)
	}
	if got := c.Coverage(); got > 0.3 {
		t.Errorf("the forecast's own band is said to cover %.2f", got)
	}
	if len(c.Issued) != 3 {
		t.Errorf("%d forecasts are remembered", len(c.Issued))
	}
}

func TestASlotTeachesOnce(t *testing.T) {
	var c Calibration
	f := &api.Forecast{Point: []float64{2, 2, 2}}
	c, _ = c.issue(f, 3, noon, step)
	once := c.learn(noon, 3, step)
	if again := once.learn(noon, 30, step); again.Seen != 1 || again.Residuals != once.Residuals {
		t.Error("a slot was entered twice")
	}
	if late := once.learn(noon.Add(-step), 30, step); late.Residuals != once.Residuals {
		t.Error("an older slot was entered after a newer one")
	}
	if nothing := c.learn(noon, math.NaN(), step); nothing.Seen != 0 || !nothing.Slot.IsZero() {
		t.Error("a slot without a demand was entered")
	}
}

func TestAClockThatWasWrongDoesNotKeepAGroupFromLearning(t *testing.T) {
	s := calm()
	s.state.Calibration.Slot = noon.AddDate(1, 0, 0)
	if _, after := Decide(s.input()); !after.Calibration.Slot.Equal(noon.Add(-step)) || len(after.Calibration.Recent) != 1 {
		t.Errorf("a slot a year ahead stays the newest: %+v", after.Calibration)
	}
	s.state.Calibration.Slot = noon.Add(-step)
	if _, after := Decide(s.input()); len(after.Calibration.Recent) != 0 {
		t.Error("a slot was entered twice")
	}
}

func TestASpreadOfNothingIsNoFault(t *testing.T) {
	s := calm()
	s.state.Calibration.Issued = []Issued{{At: noon.Add(-step), Steps: []Spread{{Median: 2}, {Median: 2}}}}
	if _, after := Decide(s.input()); after.Calibration.Residuals.Empty() {
		t.Error("nothing was learned")
	}
}

func TestTheBrake(t *testing.T) {
	fleet := func(groups, shrinking, by int) []api.Decision {
		ds := make([]api.Decision, groups)
		for i := range ds {
			ds[i] = api.Decision{Capacity: api.Capacity{InService: 10, Desired: 10, Max: 20}, Desired: 10}
			if i < shrinking {
				ds[i].Desired = 10 - by
			}
		}
		return ds
	}
	for name, c := range map[string]struct {
		limit                 float64
		groups, shrinking, by int
		pulled                bool
	}{
		"a few groups may shrink":                        {0.2, 50, 10, 1, false},
		"many groups at once may not":                    {0.2, 50, 11, 1, true},
		"nor a few groups with most of the instances":    {0.04, 50, 2, 10, false},
		"a share of the instances beyond the limit":      {0.03, 50, 2, 10, true},
		"a small fleet has no shares":                    {0.2, 9, 9, 5, false},
		"a limit of 0 is no brake":                       {0, 50, 50, 5, false},
		"a fleet that grows has nothing to be held back": {0.2, 50, 50, -3, false},
	} {
		t.Run(name, func(t *testing.T) {
			ds := fleet(c.groups, c.shrinking, c.by)
			b := ApplyBrake(c.limit, noon, time.Time{}, ds)
			if (b != nil) != c.pulled {
				t.Fatalf("pulled: %+v", b)
			}
			for i, d := range ds {
				if held := d.Desired == 10; i < c.shrinking && held != c.pulled {
					t.Fatalf("group %d: %d, reasons %v", i, d.Desired, d.Reasons)
				}
				if c.pulled && i < c.shrinking && (len(d.Reasons) != 1 || d.Reasons[0].Rule != RuleBrake || d.Outcome.Status != api.OutcomeNone) {
					t.Fatalf("group %d: %+v", i, d)
				}
			}
		})
	}
	ds := fleet(20, 0, 0)
	for i := range 15 {
		ds[i] = api.Decision{Group: "unknown"} // capacities unknown: no wish, and no group to count
	}
	if b := ApplyBrake(0.2, noon, time.Time{}, ds); b != nil {
		t.Errorf("groups of unknown capacity pulled the brake: %+v", b)
	}
}

func TestTheLeadTimeIsLearned(t *testing.T) {
	launches := func(n int, took time.Duration) (out []api.Launch) {
		for range n {
			out = append(out, api.Launch{At: noon, Took: took})
		}
		return out
	}
	minute := time.Minute
	for name, c := range map[string]struct {
		launches []api.Launch
		want     time.Duration
	}{
		"nothing was launched":                   {nil, 5 * minute},
		"failures teach nothing":                 {[]api.Launch{{At: noon, Failed: "no capacity"}}, 5 * minute},
		"ten launches count as much as the word": {launches(10, 3*minute), 4 * minute},
		"many launches overrule it":              {launches(990, 3*minute), 3*minute + 1200*time.Millisecond},
		"slow ones decide":                       {append(launches(900, 2*minute), launches(90, 9*minute)...), 8*minute + 57600*time.Millisecond},
		"nothing leaves the order of magnitude":  {launches(100_000, 10*time.Hour), 20 * minute},
	} {
		if got := LearnLead(5*minute, c.launches); got != c.want.Round(time.Second) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestScheduleEntriesApply(t *testing.T) {
	berlin := "Europe/Berlin" // UTC+1 in March before the 29th
	for name, c := range map[string]struct {
		entry Entry
		at    string
		want  bool
	}{
		"all day":                         {Entry{}, "2026-03-02T00:00:00Z", true},
		"within":                          {Entry{From: 8 * 60, To: 17 * 60}, "2026-03-02T08:00:00Z", true},
		"the end is exclusive":            {Entry{From: 8 * 60, To: 17 * 60}, "2026-03-02T17:00:00Z", false},
		"in a zone":                       {Entry{From: 8 * 60, To: 17 * 60, Zone: berlin}, "2026-03-02T07:00:00Z", true},
		"on its day":                      {Entry{Days: []string{"mon"}}, "2026-03-02T12:00:00Z", true},
		"on another day":                  {Entry{Days: []string{"tue", "wed"}}, "2026-03-02T12:00:00Z", false},
		"over midnight":                   {Entry{From: 22 * 60, To: 2 * 60}, "2026-03-02T23:30:00Z", true},
		"after midnight":                  {Entry{From: 22 * 60, To: 2 * 60}, "2026-03-03T01:30:00Z", true},
		"after midnight, of the day then": {Entry{Days: []string{"mon"}, From: 22 * 60, To: 2 * 60}, "2026-03-03T01:30:00Z", true},
		"after midnight, of another day":  {Entry{Days: []string{"tue"}, From: 22 * 60, To: 2 * 60}, "2026-03-03T01:30:00Z", false},
		"in summer time":                  {Entry{From: 8 * 60, To: 9 * 60, Zone: berlin}, "2026-07-01T06:30:00Z", true},
		"in a zone that does not exist":   {Entry{Zone: "Nowhere"}, "2026-03-02T12:00:00Z", false},
		"in the zone of the machine":      {Entry{Zone: "Local"}, "2026-03-02T12:00:00Z", false},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.entry.on(at); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
