package plan

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

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

func TestTurnsAreCountedInBothDirections(t *testing.T) {
	var st State
	for i, to := range []int{5, 6, 4, 3, 5, 4} { // out, out, in, in, out, in, from 4 on
		from := 4
		if i > 0 {
			from = []int{5, 6, 4, 3, 5}[i-1]
		}
		st = st.Accepted(noon.Add(time.Duration(i)*step), from, to)
	}
	want := []time.Time{noon.Add(2 * step), noon.Add(4 * step), noon.Add(5 * step)}
	if !reflect.DeepEqual(st.Turns, want) {
		t.Errorf("turned at %v, want %v", st.Turns, want)
	}
}

func TestInstanceHoursAreOfOneDay(t *testing.T) {
	at := func(hour int) time.Time { return noon.Truncate(24 * time.Hour).Add(time.Duration(hour) * time.Hour) }
	var s Spent
	for _, c := range []struct {
		name    string
		tick    time.Time
		desired int
		want    float64
	}{
		{"the first tick knows of nothing before it", at(20), 4, 0},
		{"an hour later", at(21), 4, 4},
		{"over midnight, what belongs to the new day", at(26), 5, 10},
		{"a clock that went back takes nothing away", at(25), 5, 10},
		{"and goes on from there", at(26), 5, 15},
		{"after days without a tick", at(24*5 + 3), 2, 6},
	} {
		s = s.spend(c.tick, c.desired)
		if s.Hours != c.want || !s.Until.Equal(c.tick) {
			t.Errorf("%s: %g hours until %s, want %g", c.name, s.Hours, s.Until, c.want)
		}
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
