package asg_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/scaler/asg"
)

func scale(t *testing.T, target *asg.Target, group string, desired int) {
	t.Helper()
	if err := target.Scale(t.Context(), group, desired); err != nil {
		t.Fatal(err)
	}
}

// launches returns the launches of web-000, one line each.
func launches(t *testing.T, target *asg.Target, since time.Time) (all []string) {
	t.Helper()
	found, err := target.Launches(t.Context(), names(1), since)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range found[name(0)] {
		kind := "cold"
		if l.Warm {
			kind = "warm"
		}
		failed, _, _ := strings.Cut(l.Failed, ":")
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", l.At.Format("15:04"), kind, l.Took, failed)))
	}
	return all
}

func TestLaunchesSayHowLongTheyTookAndWhyTheyFailed(t *testing.T) {
	cloud, target := simulate(t, 1)
	if got := launches(t, target, monday); len(got) != 0 {
		t.Errorf("before any: %q", got)
	}
	scale(t, target, name(0), 12)
	advance(t, cloud, 10*time.Minute)
	scale(t, target, name(0), 13) // will be cancelled
	advance(t, cloud, time.Minute)
	scale(t, target, name(0), 12)
	cloud.SetTraps(fleet.Traps{Launches: []fleet.LaunchTrap{{Kind: fleet.LaunchQuota, Count: 1}, {Kind: fleet.LaunchFails, Count: 1}}})
	scale(t, target, name(0), 13) // 01:41, no quota; tried again at 01:46, no capacity, and at 01:51
	advance(t, cloud, 20*time.Minute)
	scale(t, target, name(0), 14) // still under way
	want := []string{"01:30 cold 5m0s", "01:30 cold 5m0s", "01:41 cold 0s lack of quota", "01:46 cold 0s lack of capacity", "01:51 cold 5m0s"}
	if got := launches(t, target, monday); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := launches(t, target, monday.Add(105*time.Minute)); !slices.Equal(got, want[3:]) {
		t.Errorf("since 01:45: %q, want %q", got, want[3:])
	}
}

func TestWarmStartsAreToldApart(t *testing.T) {
	cloud, target := simulateWith(t, 1, func(c *fleet.Config) {
		c.Groups[0].WarmPool, c.Groups[0].WarmLead = 2, fleet.Lead{Minutes: 1}
	}, asg.Config{})
	if c := read(t, target, name(0)); c.Warm != 2 || c.InService != 10 || c.Pending != 0 || c.Desired != 10 {
		t.Errorf("got %+v", c)
	}
	scale(t, target, name(0), 13)
	advance(t, cloud, time.Minute)
	if c := read(t, target, name(0)); c.Warm != 2 || c.InService != 12 || c.Pending != 1 { // the pool is being filled again
		t.Errorf("got %+v", c)
	}
	advance(t, cloud, 10*time.Minute)
	want := []string{"01:30 cold 5m0s", "01:30 warm 1m0s", "01:30 warm 1m0s"}
	got := launches(t, target, monday)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Pages of one group are bounded, and so are the calls for all of them; what was
// found before is said again.
func TestLaunchesAreReadInTurnWithinTheBudget(t *testing.T) {
	const groups, budget = 30, 10
	cloud, target := simulateWith(t, groups, nil, asg.Config{LookCalls: budget})
	for i := range groups {
		scale(t, target, name(i), 11)
	}
	advance(t, cloud, 10*time.Minute)
	for call := 1; call <= 3; call++ {
		found, err := target.Launches(t.Context(), names(groups), monday)
		if err != nil || len(found) != call*budget {
			t.Errorf("call %d: %d groups, %v", call, len(found), err)
		}
		if n := made(cloud, "DescribeScalingActivities", ""); n != call*budget {
			t.Errorf("call %d: %d calls of the provider", call, n)
		}
	}
	cloud.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Operation: "DescribeScalingActivities", Kind: fleet.FaultThrottle}}})
	before := made(cloud, "DescribeScalingActivities", "")
	found, err := target.Launches(t.Context(), names(groups), monday)
	if err == nil || len(found) != groups {
		t.Errorf("throttled: %d groups, %v", len(found), err)
	}
	if n := made(cloud, "DescribeScalingActivities", "") - before; n > 4 {
		t.Errorf("%d calls against the throttle, want those that were under way", n)
	}
	cloud.SetTraps(fleet.Traps{})
	if _, err := target.Launches(t.Context(), []string{"nobody"}, monday); err == nil || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("an unknown group: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if found, _ := target.Launches(ctx, names(groups), monday); len(found) != groups {
		t.Errorf("without time: %d groups", len(found))
	}
}

func TestALongHistoryIsCutToItsNewest(t *testing.T) {
	cloud, target := simulate(t, 1)
	for range 90 { // 450 launches and as many terminations
		scale(t, target, name(0), 15)
		advance(t, cloud, 6*time.Minute)
		scale(t, target, name(0), 10)
		advance(t, cloud, time.Minute)
	}
	found, err := target.Launches(t.Context(), names(1), monday)
	got := found[name(0)]
	if err != nil || len(got) != 50 {
		t.Fatalf("%d launches, %v", len(got), err)
	}
	if !slices.IsSortedFunc(got, func(a, b api.Launch) int { return a.At.Compare(b.At) }) || !got[49].At.Equal(cloud.Now().Add(-7*time.Minute)) {
		t.Errorf("the newest began at %s, the clock shows %s", got[49].At, cloud.Now())
	}
	if n := made(cloud, "DescribeScalingActivities", ""); n > 3 {
		t.Errorf("%d pages", n)
	}
}

func TestALaunchErrorShowsWhileTheGroupLacksInstances(t *testing.T) {
	for _, c := range []struct {
		kind fleet.LaunchKind
		want string
	}{
		{fleet.LaunchFails, "lack of capacity: We currently do not have sufficient capacity"},
		{fleet.LaunchQuota, "lack of quota: Could not launch On-Demand Instances. VcpuLimitExceeded"},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			cloud, target := simulate(t, 1)
			until := cloud.Now().Add(12 * time.Minute)
			scale(t, target, name(0), 11)
			advance(t, cloud, 10*time.Minute) // a success before
			cloud.SetTraps(fleet.Traps{Launches: []fleet.LaunchTrap{{Kind: c.kind, To: until.Add(20 * time.Minute)}}})
			scale(t, target, name(0), 14)
			advance(t, cloud, tick)
			got := read(t, target, name(0))
			if !strings.HasPrefix(got.LaunchError, c.want) || got.InService != 11 || got.Pending != 0 || got.Desired != 14 {
				t.Errorf("while launches fail: %+v", got)
			}
			if again := read(t, target, name(0)); again.LaunchError != got.LaunchError {
				t.Errorf("just before a change: %q", again.LaunchError)
			}
			advance(t, cloud, 30*time.Minute)
			if got := read(t, target, name(0)); got.LaunchError != "" || got.InService != 14 {
				t.Errorf("when they succeed again: %+v", got)
			}
		})
	}
}

// A newer success is news: the group lacks instances for another reason.
func TestAnOldLaunchErrorIsNotBroughtUpAgain(t *testing.T) {
	cloud, target := simulate(t, 1)
	cloud.SetTraps(fleet.Traps{Launches: []fleet.LaunchTrap{{Kind: fleet.LaunchFails, Count: 1}}})
	scale(t, target, name(0), 11)
	if got := read(t, target, name(0)); got.LaunchError == "" {
		t.Error("the failure does not show")
	}
	scale(t, target, name(0), 10)
	suspend := func(change fleet.GroupChange) {
		t.Helper()
		change.Group = name(0)
		if err := cloud.Schedule(change); err != nil {
			t.Fatal(err)
		}
		advance(t, cloud, time.Minute)
	}
	suspend(fleet.GroupChange{Suspend: []string{"Launch"}})
	advance(t, cloud, 7*time.Hour)
	scale(t, target, name(0), 12)
	if got := read(t, target, name(0)); got.LaunchError != "" {
		t.Errorf("hours later: %q", got.LaunchError)
	}
	suspend(fleet.GroupChange{Resume: []string{"Launch"}})
	cloud.SetTraps(fleet.Traps{Launches: []fleet.LaunchTrap{{Kind: fleet.LaunchFails, Count: 1}}})
	scale(t, target, name(0), 13) // fails now, succeeds in five minutes
	advance(t, cloud, 15*time.Minute)
	suspend(fleet.GroupChange{Suspend: []string{"Launch"}})
	scale(t, target, name(0), 14)
	if got := read(t, target, name(0)); got.LaunchError != "" || got.InService != 13 {
		t.Errorf("after a success: %+v", got)
	}
}

func TestCountsAreInUnitsOfDesiredCapacity(t *testing.T) {
	cloud, target := simulateWith(t, 1, func(c *fleet.Config) { c.Groups[0].Weights = []int{1, 2, 4} }, asg.Config{})
	scale(t, target, name(0), 12) // the next machine weighs four
	advance(t, cloud, time.Minute)
	if c := read(t, target, name(0)); c.InService != 10 || c.Pending != 4 || c.Desired != 12 || c.LaunchError != "" {
		t.Errorf("starting: %+v", c)
	}
	advance(t, cloud, 10*time.Minute)
	if c := read(t, target, name(0)); c.InService != 14 || c.Pending != 0 {
		t.Errorf("started: %+v", c)
	}
}

func TestProtectedInstancesAreCounted(t *testing.T) {
	cloud, target := simulateWith(t, 1, func(c *fleet.Config) {
		c.Groups[0].ProtectNew, c.Groups[0].Weights = true, []int{2}
	}, asg.Config{})
	scale(t, target, name(0), 12)
	advance(t, cloud, time.Minute)
	if c := read(t, target, name(0)); c.Protected != 10 || c.Pending != 2 { // not before it serves
		t.Errorf("got %+v", c)
	}
	scale(t, target, name(0), 4) // accepted, and only the one that starts goes
	advance(t, cloud, tick)
	if c := read(t, target, name(0)); c.Protected != 10 || c.InService != 10 || c.Desired != 4 {
		t.Errorf("got %+v", c)
	}
}

func TestAChangeThatFindsNoTimeToBeSentIsBusy(t *testing.T) {
	slow := asg.NewThrottle(0.01) // one call, and the next in minutes
	_, target := simulateWith(t, 1, nil, asg.Config{Throttle: slow})
	scale(t, target, name(0), 11)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := target.Scale(ctx, name(0), 12); !errors.Is(err, scaler.ErrBusy) || ctx.Err() != nil {
		t.Errorf("got %v, %v", err, ctx.Err())
	}
}
