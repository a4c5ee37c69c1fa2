package asg_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/scaler/asg"
)

// tick is how far the clock moves between two readings of all sizes.
const tick = 5 * time.Minute

func rivals(c api.Capacity) string {
	var all []string
	for _, r := range c.Rivals {
		all = append(all, fmt.Sprintf("%s: %s", r.Kind, r.Detail))
	}
	return strings.Join(all, "\n")
}

func number(n int) *int { return &n }

// TestEachRivalIsNamed gives one group each rival in turn.
func TestEachRivalIsNamed(t *testing.T) {
	soon := monday.Add(2 * time.Hour) // half an hour after the first reading
	for _, c := range []struct {
		name   string
		change func(*fleet.GroupConfig)
		later  fleet.GroupChange
		want   string // "": nobody
	}{
		{name: "nobody"},
		{name: "a target tracking policy",
			change: func(g *fleet.GroupConfig) {
				g.Policies = []fleet.ScalingPolicy{{Name: "cpu", Type: fleet.PolicyTracking, Target: 55}}
			},
			want: `target-tracking: target tracking policy "cpu" holds ASGAverageCPUUtilization at 55`},
		{name: "a target tracking policy that only adds",
			change: func(g *fleet.GroupConfig) {
				g.Policies = []fleet.ScalingPolicy{{Name: "cpu", Type: fleet.PolicyTracking, Target: 55, NoScaleIn: true}}
			},
			want: `target-tracking: target tracking policy "cpu" holds ASGAverageCPUUtilization at 55, never removing any`},
		{name: "a policy that follows alarms",
			change: func(g *fleet.GroupConfig) {
				g.Policies = []fleet.ScalingPolicy{{Name: "steps", Type: fleet.PolicyStep}}
			},
			want: `target-tracking: policy "steps" (StepScaling) follows its alarms`},
		{name: "a policy that is switched off is none",
			change: func(g *fleet.GroupConfig) {
				g.Policies = []fleet.ScalingPolicy{{Name: "cpu", Type: fleet.PolicyTracking, Disabled: true}}
			}},
		{name: "a policy whose alarms are suspended is none",
			change: func(g *fleet.GroupConfig) {
				g.Policies = []fleet.ScalingPolicy{{Name: "cpu", Type: fleet.PolicyTracking, Target: 55}}
			},
			later: fleet.GroupChange{Suspend: []string{"AlarmNotification"}}},
		{name: "a predictive policy",
			change: func(g *fleet.GroupConfig) {
				g.Policies, g.PredictedCapacity = []fleet.ScalingPolicy{{Name: "ahead", Type: fleet.PolicyPredictive}}, 14
			},
			want: `predictive-policy: predictive policy "ahead" scales by its own forecast, and wants 14 now`},
		{name: "a predictive policy that only forecasts is none",
			change: func(g *fleet.GroupConfig) {
				g.Policies, g.PredictedCapacity = []fleet.ScalingPolicy{{Name: "ahead", Type: fleet.PolicyPredictive, ForecastOnly: true}}, 14
			}},
		{name: "a scheduled action that is near",
			change: func(g *fleet.GroupConfig) {
				g.Scheduled = []fleet.ScheduledAction{{Name: "noon", At: soon, Recurrence: "0 2 * * *", Max: number(30), Desired: number(12)}}
			},
			want: `scheduled-action: scheduled action "noon" sets maximum 30, desired capacity 12 at 2026-03-02T02:00:00Z (0 2 * * *)`},
		{name: "a scheduled action that is far is none",
			change: func(g *fleet.GroupConfig) {
				g.Scheduled = []fleet.ScheduledAction{{Name: "noon", At: soon.Add(time.Hour), Desired: number(12)}}
			}},
		{name: "a scheduled action that is suspended is none",
			change: func(g *fleet.GroupConfig) {
				g.Scheduled = []fleet.ScheduledAction{{Name: "noon", At: soon, Desired: number(12)}}
			},
			later: fleet.GroupChange{Suspend: []string{"ScheduledActions"}}},
		{name: "an instance refresh",
			later: fleet.GroupChange{Refresh: 5},
			want:  "instance-refresh: instance refresh refresh-"},
		{name: "launching that is suspended",
			later: fleet.GroupChange{Suspend: []string{"Launch"}},
			want:  "suspended-process: process Launch is suspended (User suspended at 2026-03-02T01:30:00Z): no instance is launched"},
		{name: "terminating that is suspended",
			later: fleet.GroupChange{Suspend: []string{"Terminate"}},
			want:  "suspended-process: process Terminate is suspended (User suspended at 2026-03-02T01:30:00Z): no instance is terminated"},
		{name: "a load balancer that gets no new instances",
			later: fleet.GroupChange{Suspend: []string{"AddToLoadBalancer"}},
			want:  "suspended-process: process AddToLoadBalancer is suspended (User suspended at 2026-03-02T01:30:00Z): new instances get no load"},
		{name: "suspended health checks are none",
			later: fleet.GroupChange{Suspend: []string{"HealthCheck", "AZRebalance"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cloud, target := simulateWith(t, 2, func(cfg *fleet.Config) {
				if c.change != nil {
					c.change(&cfg.Groups[1])
				}
			}, asg.Config{})
			c.later.Group = name(1)
			if err := cloud.Schedule(c.later); err != nil {
				t.Fatal(err)
			}
			advance(t, cloud, time.Minute)
			found, err := target.Capacities(t.Context(), names(2))
			if err != nil {
				t.Fatal(err)
			}
			if got := rivals(found[name(1)]); !strings.HasPrefix(got, c.want) || c.want == "" && got != "" || strings.Contains(got, "\n") {
				t.Errorf("rivals %q, want %q", got, c.want)
			}
			if got := rivals(found[name(0)]); got != "" {
				t.Errorf("rivals of the other group: %q", got)
			}
		})
	}
}

func TestARivalIsForgottenWhenItIsGone(t *testing.T) {
	cloud, target := simulateWith(t, 1, func(c *fleet.Config) {
		c.Groups[0].Policies = []fleet.ScalingPolicy{{Name: "cpu", Type: fleet.PolicyTracking}}
		c.Groups[0].Scheduled = []fleet.ScheduledAction{{Name: "once", At: monday.Add(100 * time.Minute), Max: number(19)}}
	}, asg.Config{})
	if err := cloud.Schedule(fleet.GroupChange{Group: name(0), Refresh: 10}); err != nil {
		t.Fatal(err)
	}
	advance(t, cloud, time.Minute)
	if got := read(t, target, name(0)); len(got.Rivals) != 3 {
		t.Errorf("rivals at first:\n%s", rivals(got))
	}
	if err := cloud.Schedule(fleet.GroupChange{Group: name(0), Policies: &[]fleet.ScalingPolicy{}}); err != nil {
		t.Fatal(err)
	}
	advance(t, cloud, 15*time.Minute)
	if got := read(t, target, name(0)); len(got.Rivals) != 0 || got.Max != 19 {
		t.Errorf("rivals at last:\n%s", rivals(got))
	}
}

// Without permission to read policies, the provider's own forecast still shows.
func TestAPredictedCapacityIsARivalUntilItsPolicyIsKnown(t *testing.T) {
	cloud, target := simulateWith(t, 1, func(c *fleet.Config) { c.Groups[0].PredictedCapacity = 14 }, asg.Config{})
	cloud.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Operation: "DescribePolicies", Kind: fleet.FaultDenied, Count: 1}}})
	if got := rivals(read(t, target, name(0))); !strings.HasPrefix(got, "predictive-policy: a predictive policy forecasts 14; whether") {
		t.Errorf("before: %q", got)
	}
	advance(t, cloud, tick)
	if got := rivals(read(t, target, name(0))); got != "" {
		t.Errorf("after: %q", got)
	}
}

// One look a tick: readings just before a change find what it has found.
func TestASingleReadingDoesNotLookAround(t *testing.T) {
	cloud, target := simulate(t, 10)
	if _, err := target.Capacities(t.Context(), names(10)); err != nil {
		t.Fatal(err)
	}
	before := made(cloud, "DescribePolicies", "") + made(cloud, "DescribeScheduledActions", "") + made(cloud, "DescribeInstanceRefreshes", "")
	if before != 12 {
		t.Errorf("%d calls of the first look, want one for policies, one for schedules and one for each group", before)
	}
	for i := range 10 {
		read(t, target, name(i))
	}
	if after := made(cloud, "DescribePolicies", "") + made(cloud, "DescribeScheduledActions", "") + made(cloud, "DescribeInstanceRefreshes", ""); after != before {
		t.Errorf("%d calls of looks within one tick, want %d", after, before)
	}
	// After a restart the first reading may be of one group: it does not use up the
	// look of the tick.
	cloud, target = simulate(t, 10)
	read(t, target, name(0))
	if _, err := target.Capacities(t.Context(), names(10)); err != nil {
		t.Fatal(err)
	}
	if n := made(cloud, "DescribeInstanceRefreshes", name(7)); n != 1 {
		t.Errorf("%d looks at a group after a reading of another, want 1", n)
	}
}

// TestTheBudgetHoldsAndEveryGroupHasItsTurn is the arithmetic of the package
// comment: B = 20 calls a look, G = 60 groups, each with three policies and three
// scheduled actions, so that a pass over either takes two pages.
func TestTheBudgetHoldsAndEveryGroupHasItsTurn(t *testing.T) {
	const budget, groups = 20, 60
	cloud, target := simulateWith(t, groups, func(c *fleet.Config) {
		for i := range c.Groups {
			g := &c.Groups[i]
			for k := range 3 {
				g.Policies = append(g.Policies, fleet.ScalingPolicy{Name: fmt.Sprintf("p%d", k), Type: fleet.PolicyTracking})
				g.Scheduled = append(g.Scheduled, fleet.ScheduledAction{Name: fmt.Sprintf("s%d", k), At: monday.Add(10 * 24 * time.Hour).Add(-time.Hour), Max: number(20)})
			}
		}
	}, asg.Config{LookCalls: budget})
	count := func() (n int) {
		for _, op := range []string{"DescribePolicies", "DescribeScheduledActions", "DescribeInstanceRefreshes", "DescribeScalingActivities"} {
			n += made(cloud, op, "")
		}
		return n
	}
	const ticks = groups / (budget / 4) // 12
	spent := 0
	for i := range ticks {
		found, err := target.Capacities(t.Context(), names(groups))
		if err != nil {
			t.Fatal(err)
		}
		if n := count() - spent; n > budget {
			t.Errorf("tick %d took %d calls, the budget is %d", i, n, budget)
		}
		spent = count()
		if i == 0 && len(found[name(59)].Rivals) != 3 {
			t.Errorf("after one tick the last group has rivals\n%s", rivals(found[name(59)]))
		}
		advance(t, cloud, tick)
	}
	for i := range groups {
		if made(cloud, "DescribeInstanceRefreshes", name(i)) == 0 {
			t.Errorf("%s had no turn in %d ticks", name(i), ticks)
		}
	}
}

// A refresh shows in the instances, so that it need not wait for its turn; but the
// suspects do not keep the others from theirs.
func TestSuspectsComeFirstAndOthersStillHaveTheirTurn(t *testing.T) {
	const budget, groups = 16, 64
	cloud, target := simulateWith(t, groups, nil, asg.Config{LookCalls: budget})
	if _, err := target.Capacities(t.Context(), names(groups)); err != nil { // reads 14 of them
		t.Fatal(err)
	}
	if err := cloud.Schedule(fleet.GroupChange{Group: name(63), Refresh: 2}); err != nil {
		t.Fatal(err)
	}
	advance(t, cloud, tick-time.Minute) // the first two are being replaced
	found, err := target.Capacities(t.Context(), names(groups))
	if err != nil {
		t.Fatal(err)
	}
	if got := rivals(found[name(63)]); !strings.HasPrefix(got, "instance-refresh") {
		t.Errorf("rivals of the group that is refreshed: %q", got)
	}
	// Now every group lacks instances, for lack of capacity.
	cloud.SetTraps(fleet.Traps{Launches: []fleet.LaunchTrap{{Kind: fleet.LaunchFails}}})
	for i := range groups {
		if err := target.Scale(t.Context(), name(i), 15); err != nil {
			t.Fatal(err)
		}
	}
	before := map[string]int{}
	for i := range groups {
		before[name(i)] = made(cloud, "DescribeInstanceRefreshes", name(i))
	}
	for range groups / (budget / 4) {
		advance(t, cloud, tick)
		if _, err := target.Capacities(t.Context(), names(groups)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range groups {
		if made(cloud, "DescribeInstanceRefreshes", name(i)) == before[name(i)] {
			t.Errorf("%s had no turn", name(i))
		}
	}
}

// A look that is throttled ends there, costs the tick nothing, and what was known
// is said again.
func TestALookGivesWayToThrottling(t *testing.T) {
	cloud, target := simulateWith(t, 10, func(c *fleet.Config) {
		c.Groups[3].Policies = []fleet.ScalingPolicy{{Name: "cpu", Type: fleet.PolicyTracking}}
	}, asg.Config{})
	if _, err := target.Capacities(t.Context(), names(10)); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []fleet.FaultKind{fleet.FaultThrottle, fleet.FaultDenied, fleet.FaultInternal, fleet.FaultLostRequest} {
		t.Run(string(kind), func(t *testing.T) {
			cloud.SetTraps(fleet.Traps{Faults: []fleet.Fault{
				{Operation: "DescribePolicies", Kind: kind}, {Operation: "DescribeScheduledActions", Kind: kind}, {Operation: "DescribeInstanceRefreshes", Kind: kind},
			}})
			before := made(cloud, "DescribePolicies", "") + made(cloud, "DescribeScheduledActions", "") + made(cloud, "DescribeInstanceRefreshes", "")
			advance(t, cloud, tick)
			found, err := target.Capacities(t.Context(), names(10))
			if err != nil || len(found) != 10 || len(found[name(3)].Rivals) != 1 {
				t.Errorf("%d groups, rivals %q, %v", len(found), rivals(found[name(3)]), err)
			}
			after := made(cloud, "DescribePolicies", "") + made(cloud, "DescribeScheduledActions", "") + made(cloud, "DescribeInstanceRefreshes", "")
			if kind == fleet.FaultThrottle && after != before+1 {
				t.Errorf("%d calls, want to end at the first refusal", after-before)
			}
		})
	}
}

// A look that hangs is cut off, long before the caller's own deadline.
func TestALookThatHangsIsCutOff(t *testing.T) {
	cloud, target := simulate(t, 3)
	cloud.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Operation: "DescribePolicies", Kind: fleet.FaultHang}}})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	found, err := target.Capacities(ctx, names(3))
	if err != nil || len(found) != 3 || ctx.Err() != nil {
		t.Errorf("%d groups, %v, %v", len(found), err, ctx.Err())
	}
}

// Somebody else uses up the allowance of the account: the sizes of all groups are
// read all the same, only later.
func TestTheAllowanceIsSharedWithOthers(t *testing.T) {
	throttle := asg.NewThrottle(400)
	_, target := simulateWith(t, 250, func(c *fleet.Config) { c.CallsPerSecond, c.CallBurst = 8, 1 }, asg.Config{Throttle: throttle, LookCalls: 4})
	found, err := target.Capacities(t.Context(), names(250))
	if err != nil || len(found) != 250 {
		t.Errorf("%d groups, %v", len(found), err)
	}
	if throttle.Refusals() == 0 || throttle.Pace() >= 400 {
		t.Errorf("%d refusals, pace %g", throttle.Refusals(), throttle.Pace())
	}
}

func TestSomebodyElseChangesTheGroup(t *testing.T) {
	cloud, target := simulate(t, 1)
	if err := cloud.Schedule(fleet.GroupChange{Group: name(0), Max: number(11), Desired: number(9)}); err != nil {
		t.Fatal(err)
	}
	advance(t, cloud, time.Minute)
	if c := read(t, target, name(0)); c.Desired != 9 || c.Max != 11 || c.InService != 9 {
		t.Errorf("got %+v", c)
	}
	if err := target.Scale(t.Context(), name(0), 12); err == nil || !strings.Contains(err.Error(), "outside of the group's bounds") {
		t.Errorf("above the new maximum: %v", err)
	}
}

func TestASuspendedProcessKeepsWhatWasAcceptedFromHappening(t *testing.T) {
	cloud, target := simulate(t, 1)
	for _, c := range []struct {
		process                     string
		to, inService, pendingAfter int
	}{{"Launch", 14, 10, 0}, {"Terminate", 6, 10, 0}} {
		if err := cloud.Schedule(fleet.GroupChange{Group: name(0), Suspend: []string{c.process}}); err != nil {
			t.Fatal(err)
		}
		advance(t, cloud, time.Minute)
		if err := target.Scale(t.Context(), name(0), c.to); err != nil {
			t.Fatalf("%s: %v", c.process, err)
		}
		advance(t, cloud, tick)
		got := read(t, target, name(0))
		if got.Desired != c.to || got.InService != c.inService || got.Pending != c.pendingAfter || !strings.Contains(rivals(got), c.process+" is suspended") {
			t.Errorf("%s: %+v", c.process, got)
		}
		if err := cloud.Schedule(fleet.GroupChange{Group: name(0), Desired: number(10), Resume: []string{c.process}}); err != nil {
			t.Fatal(err)
		}
		advance(t, cloud, 10*time.Minute)
	}
}
