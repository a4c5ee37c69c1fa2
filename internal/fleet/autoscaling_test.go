package fleet_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/forescale/forescale/internal/fleet"
)

func set(t *testing.T, as *autoscaling.Client, desired int32, options ...func(*autoscaling.Options)) error {
	t.Helper()
	_, err := as.SetDesiredCapacity(t.Context(), &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("web"), DesiredCapacity: &desired}, options...)
	return err
}

func describe(t *testing.T, as *autoscaling.Client) astypes.AutoScalingGroup {
	t.Helper()
	out, err := as.DescribeAutoScalingGroups(t.Context(), &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{"web"}})
	must(t, err)
	if len(out.AutoScalingGroups) != 1 {
		t.Fatalf("%d groups", len(out.AutoScalingGroups))
	}
	return out.AutoScalingGroups[0]
}

func activities(t *testing.T, as *autoscaling.Client) []astypes.Activity {
	t.Helper()
	var all []astypes.Activity
	pages := autoscaling.NewDescribeScalingActivitiesPaginator(as, &autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: aws.String("web")})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		must(t, err)
		all = append(all, out.Activities...)
	}
	return all
}

// states counts the instances of a group by lifecycle state: "in service/pending".
func states(g astypes.AutoScalingGroup) string {
	n := map[astypes.LifecycleState]int{}
	for _, i := range g.Instances {
		n[i.LifecycleState]++
	}
	return fmt.Sprintf("%d/%d", n[astypes.LifecycleStateInService], n[astypes.LifecycleStatePending])
}

// expectStates checks desired capacity and the instances by state.
func expectStates(t *testing.T, as *autoscaling.Client, when string, desired int32, want string) {
	t.Helper()
	g := describe(t, as)
	if *g.DesiredCapacity != desired || states(g) != want {
		t.Errorf("%s: desired %d with %s in service/pending, want %d with %s", when, *g.DesiredCapacity, states(g), desired, want)
	}
}

// hour is a cloud with one group, an hour into its demand, on ten instances.
func hour(t *testing.T, change func(*fleet.Config)) (*fleet.Cloud, *autoscaling.Client) {
	t.Helper()
	config := fleet.Config{Start: monday, Now: monday.Add(time.Hour), Groups: []fleet.GroupConfig{web(1)}}
	if change != nil {
		change(&config)
	}
	c, _, as := start(t, config)
	return c, as
}

func TestAnOrderStartsInstancesThatServeAfterTheLeadTime(t *testing.T) {
	c, as := hour(t, nil)
	must(t, set(t, as, 12))
	expectStates(t, as, "at once", 12, "10/2")
	advance(t, c, 4*time.Minute)
	expectStates(t, as, "after 4 minutes", 12, "10/2")
	must(t, set(t, as, 13))
	must(t, set(t, as, 12)) // the newest is cancelled, not one of the first two
	advance(t, c, time.Minute)
	expectStates(t, as, "after 5 minutes", 12, "12/0")
	must(t, set(t, as, 9))
	expectStates(t, as, "after a scale-in", 9, "9/0")

	list := activities(t, as)
	counts := map[string]int{}
	for _, a := range list {
		counts[strings.SplitN(*a.Description, ":", 2)[0]+" "+string(a.StatusCode)]++
	}
	for what, n := range map[string]int{
		"Launching a new EC2 instance Successful": 2, "Launching a new EC2 instance Cancelled": 1, "Terminating EC2 instance Successful": 3,
	} {
		if counts[what] != n {
			t.Errorf("%d activities %q, want %d (%v)", counts[what], what, n, counts)
		}
	}
	first := list[len(list)-1]
	if got := first.EndTime.Sub(*first.StartTime); got != 5*time.Minute {
		t.Errorf("the oldest activity took %v, want the lead time", got)
	}
	if want := "At 2026-03-02T01:00:00Z a user request explicitly set group desired capacity changing the desired capacity from 10 to 12."; !strings.Contains(*first.Cause, want) {
		t.Errorf("cause %q does not contain %q", *first.Cause, want)
	}
}

func TestDesiredCapacityOutsideOfTheBoundsIsRefused(t *testing.T) {
	_, as := hour(t, nil)
	for desired, want := range map[int32]string{
		61: "New SetDesiredCapacity value 61 is above max value 60 for the AutoScalingGroup.",
		1:  "New SetDesiredCapacity value 1 is below min value 2 for the AutoScalingGroup.",
	} {
		if err := set(t, as, desired); code(err) != "ValidationError" || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v", desired, err)
		}
	}
	_, err := as.SetDesiredCapacity(t.Context(), &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("nobody"), DesiredCapacity: aws.Int32(3)})
	if code(err) != "ValidationError" || !strings.Contains(err.Error(), "name not found") {
		t.Errorf("an unknown group: %v", err)
	}
	expectStates(t, as, "after refusals", 10, "10/0")
}

func TestTheCooldownBlocksOnlyThoseWhoHonourIt(t *testing.T) {
	c, as := hour(t, nil)
	honour := func(desired int32) error {
		_, err := as.SetDesiredCapacity(t.Context(), &autoscaling.SetDesiredCapacityInput{
			AutoScalingGroupName: aws.String("web"), DesiredCapacity: &desired, HonorCooldown: aws.Bool(true)})
		return err
	}
	must(t, honour(12))
	for minute := 1; minute < 10; minute++ { // 5 minutes starting, 5 of cooldown
		advance(t, c, time.Minute)
		var blocked *astypes.ScalingActivityInProgressFault
		if err := honour(13); !errors.As(err, &blocked) {
			t.Fatalf("minute %d: %v, want ScalingActivityInProgress", minute, err)
		}
	}
	advance(t, c, time.Minute)
	must(t, honour(13))
	must(t, set(t, as, 14))
	expectStates(t, as, "at the end", 14, "12/2")
}

func TestAStuckInstanceStaysPendingUntilItIsCancelled(t *testing.T) {
	c, as := hour(t, nil)
	c.SetTraps(fleet.Traps{Launches: []fleet.LaunchTrap{{Group: "web", Kind: fleet.LaunchStuck, Count: 1}}})
	must(t, set(t, as, 12))
	advance(t, c, 3*time.Hour)
	expectStates(t, as, "after three hours", 12, "11/1")
	if a := activities(t, as); a[1].StatusCode != astypes.ScalingActivityStatusCodePreInService || a[1].EndTime != nil {
		t.Errorf("the stuck launch is %s", a[1].StatusCode)
	}
	must(t, set(t, as, 11))
	expectStates(t, as, "after a scale-in by one", 11, "11/0")
}

func TestASlowInstanceServesInTheEnd(t *testing.T) {
	c, as := hour(t, nil)
	c.SetTraps(fleet.Traps{Launches: []fleet.LaunchTrap{{Kind: fleet.LaunchStuck, Lead: 40 * time.Minute}}})
	must(t, set(t, as, 11))
	advance(t, c, 39*time.Minute)
	expectStates(t, as, "after 39 minutes", 11, "10/1")
	advance(t, c, time.Minute)
	expectStates(t, as, "after 40 minutes", 11, "11/0")
}

func TestAFailedLaunchIsReportedAndTriedAgain(t *testing.T) {
	c, as := hour(t, nil)
	until := c.Now().Add(12 * time.Minute)
	c.SetTraps(fleet.Traps{Launches: []fleet.LaunchTrap{{Kind: fleet.LaunchFails, To: until}}})
	must(t, set(t, as, 12))
	expectStates(t, as, "while there is no capacity", 12, "10/0")
	advance(t, c, 12*time.Minute)
	failed := 0
	for _, a := range activities(t, as) {
		if a.StatusCode == astypes.ScalingActivityStatusCodeFailed && strings.Contains(*a.StatusMessage, "do not have sufficient capacity") {
			failed++
		}
	}
	if failed != 6 { // two instances, at minutes 0, 5 and 10
		t.Errorf("%d failed launches, want 6", failed)
	}
	advance(t, c, 5*time.Minute) // tried again at minute 15
	expectStates(t, as, "when there is capacity again", 12, "10/2")
	advance(t, c, 10*time.Minute)
	expectStates(t, as, "in the end", 12, "12/0")
}

func TestAllCallsShareOneThrottle(t *testing.T) {
	wall := time.Now()
	_, as := hour(t, func(c *fleet.Config) {
		c.CallsPerSecond, c.CallBurst = 1, 3
		c.WallClock = func() time.Time { return wall }
	})
	must(t, set(t, as, 11))
	describe(t, as)
	activities(t, as)
	err := set(t, as, 12)
	if code(err) != "Throttling" || !strings.Contains(err.Error(), "Rate exceeded") {
		t.Errorf("the fourth call: %v", err)
	}
	if !(retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}).IsErrorThrottle(err).Bool() {
		t.Error("the SDK does not take it for a throttle")
	}
	wall = wall.Add(time.Second)
	must(t, set(t, as, 12))
}

func TestFaultsOfACallSayWhetherItHadAnEffect(t *testing.T) {
	for _, c := range []struct {
		kind    fleet.FaultKind
		want    string
		desired int32
	}{
		{fleet.FaultThrottle, "Throttling", 10},
		{fleet.FaultInternal, "InternalFailure", 10},
		{fleet.FaultContention, "ResourceContention", 10},
		{fleet.FaultDenied, "AccessDenied", 10},
		{fleet.FaultLostRequest, "EOF", 10},
		{fleet.FaultLostResponse, "EOF", 12},
	} {
		cloud, as := hour(t, nil)
		cloud.SetTraps(fleet.Traps{Faults: []fleet.Fault{
			{Operation: "SetDesiredCapacity", Group: "other", Kind: fleet.FaultInternal},
			{Operation: "SetDesiredCapacity", Group: "web", Kind: c.kind, Count: 1},
		}})
		if err := set(t, as, 12); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.kind, err, c.want)
		}
		if g := describe(t, as); *g.DesiredCapacity != c.desired {
			t.Errorf("%s: desired %d afterwards, want %d", c.kind, *g.DesiredCapacity, c.desired)
		}
		must(t, set(t, as, 12))
	}
	cloud, as := hour(t, nil)
	cloud.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Kind: fleet.FaultContention, Count: 1}}})
	var contention *astypes.ResourceContentionFault
	if err := set(t, as, 12); !errors.As(err, &contention) {
		t.Errorf("contention is %T", err)
	}
}

func TestSomebodyElseChangesTheGroup(t *testing.T) {
	c, as := hour(t, func(c *fleet.Config) {
		c.Groups[0].PredictedCapacity, c.Groups[0].WarmPool, c.Groups[0].Warmup = 14, 3, 90*time.Second
	})
	g := describe(t, as)
	if *g.PredictedCapacity != 14 || *g.WarmPoolConfiguration.MinSize != 3 || *g.DefaultInstanceWarmup != 90 || *g.DefaultCooldown != 300 {
		t.Errorf("predicted %d, warm pool %d, warm-up %d, cooldown %d", *g.PredictedCapacity, *g.WarmPoolConfiguration.MinSize, *g.DefaultInstanceWarmup, *g.DefaultCooldown)
	}
	desired, most := 7, 8
	must(t, c.Schedule(fleet.GroupChange{At: c.Now().Add(5 * time.Minute), Group: "web", Desired: &desired}))
	must(t, c.Schedule(fleet.GroupChange{At: c.Now().Add(2 * time.Minute), Group: "web", Max: &most, Suspend: []string{"Terminate"}}))
	advance(t, c, 3*time.Minute)
	expectStates(t, as, "with a smaller maximum, but no terminations", 8, "10/0")
	if g = describe(t, as); *g.MaxSize != 8 || len(g.SuspendedProcesses) != 1 || *g.SuspendedProcesses[0].ProcessName != "Terminate" {
		t.Errorf("maximum %d, suspended %v", *g.MaxSize, g.SuspendedProcesses)
	}
	_, err := as.ResumeProcesses(t.Context(), &autoscaling.ResumeProcessesInput{AutoScalingGroupName: aws.String("web")})
	must(t, err)
	expectStates(t, as, "after the processes are resumed", 8, "8/0")
	advance(t, c, 3*time.Minute)
	expectStates(t, as, "after the second change", 7, "7/0")
	if cause := *activities(t, as)[0].Cause; !strings.Contains(cause, "user request update of AutoScalingGroup constraints") {
		t.Errorf("cause %q", cause)
	}
	_, err = as.SuspendProcesses(t.Context(), &autoscaling.SuspendProcessesInput{AutoScalingGroupName: aws.String("web"), ScalingProcesses: []string{"Launch"}})
	must(t, err)
	must(t, set(t, as, 8))
	advance(t, c, 10*time.Minute)
	expectStates(t, as, "with launches suspended", 8, "7/0")
}

func TestUpdateAutoScalingGroupKeepsTheGroupConsistent(t *testing.T) {
	_, as := hour(t, nil)
	change := func(in autoscaling.UpdateAutoScalingGroupInput) error {
		in.AutoScalingGroupName = aws.String("web")
		_, err := as.UpdateAutoScalingGroup(t.Context(), &in)
		return err
	}
	must(t, change(autoscaling.UpdateAutoScalingGroupInput{MaxSize: aws.Int32(8), DefaultCooldown: aws.Int32(60)}))
	expectStates(t, as, "below the former size", 8, "8/0")
	must(t, change(autoscaling.UpdateAutoScalingGroupInput{MinSize: aws.Int32(9), MaxSize: aws.Int32(20)}))
	expectStates(t, as, "above the former size", 9, "8/1")
	if g := describe(t, as); *g.MinSize != 9 || *g.MaxSize != 20 || *g.DefaultCooldown != 60 {
		t.Errorf("bounds %d to %d, cooldown %d", *g.MinSize, *g.MaxSize, *g.DefaultCooldown)
	}
	for name, in := range map[string]autoscaling.UpdateAutoScalingGroupInput{
		"bounds that cross":           {MinSize: aws.Int32(21)},
		"a desired capacity outside":  {DesiredCapacity: aws.Int32(3)},
		"a negative minimum capacity": {MinSize: aws.Int32(-1)},
	} {
		if err := change(in); code(err) != "ValidationError" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnInstanceRefreshTakesCapacityAwayForAWhile(t *testing.T) {
	c, as := hour(t, nil)
	before := map[string]bool{}
	for _, i := range describe(t, as).Instances {
		before[*i.InstanceId] = true
	}
	must(t, c.RefreshInstances("web", 4))
	advance(t, c, time.Minute)
	expectStates(t, as, "in the first batch", 10, "6/4")
	status := func() astypes.InstanceRefresh {
		out, err := as.DescribeInstanceRefreshes(t.Context(), &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: aws.String("web")})
		must(t, err)
		return out.InstanceRefreshes[0]
	}
	if r := status(); r.Status != astypes.InstanceRefreshStatusInProgress || *r.PercentageComplete != 40 {
		t.Errorf("refresh %s at %d %%", r.Status, *r.PercentageComplete)
	}
	advance(t, c, 20*time.Minute)
	expectStates(t, as, "in the end", 10, "10/0")
	if r := status(); r.Status != astypes.InstanceRefreshStatusSuccessful || *r.PercentageComplete != 100 {
		t.Errorf("refresh %s at %d %%", r.Status, *r.PercentageComplete)
	}
	for _, i := range describe(t, as).Instances {
		if before[*i.InstanceId] {
			t.Errorf("instance %s is still there", *i.InstanceId)
		}
	}
	m, err := c.Summary("web", monday.Add(time.Hour), c.Now())
	must(t, err)
	if m.ViolationMinutes != 10 { // 6 instance-equivalents on 6 instances, in two of three batches
		t.Errorf("%d violation minutes, want 10", m.ViolationMinutes)
	}
}

func TestGroupsComeInPages(t *testing.T) {
	_, as := hour(t, func(c *fleet.Config) {
		shared := c.Groups[0].Demand
		c.Groups = nil
		for i := range 120 {
			c.Groups = append(c.Groups, fleet.GroupConfig{Name: fmt.Sprintf("web-%03d", i), Demand: shared})
		}
	})
	in := &autoscaling.DescribeAutoScalingGroupsInput{}
	for _, c := range []struct {
		size  *int32
		pages []int
	}{{nil, []int{50, 50, 20}}, {aws.Int32(100), []int{100, 20}}} {
		in.MaxRecords = c.size
		var sizes []int
		pages := autoscaling.NewDescribeAutoScalingGroupsPaginator(as, in)
		for pages.HasMorePages() {
			out, err := pages.NextPage(t.Context())
			must(t, err)
			sizes = append(sizes, len(out.AutoScalingGroups))
		}
		same(t, "groups a page", sizes, c.pages)
	}
	in.MaxRecords = aws.Int32(101)
	if _, err := as.DescribeAutoScalingGroups(t.Context(), in); code(err) != "ValidationError" {
		t.Errorf("a page of 101: %v", err)
	}
	in.MaxRecords, in.NextToken = nil, aws.String("made-up")
	if _, err := as.DescribeAutoScalingGroups(t.Context(), in); code(err) != "InvalidNextToken" {
		t.Errorf("a made-up token: %v", err)
	}
	in.NextToken = nil
	for i := range 51 {
		in.AutoScalingGroupNames = append(in.AutoScalingGroupNames, fmt.Sprintf("web-%03d", i))
	}
	if _, err := as.DescribeAutoScalingGroups(t.Context(), in); code(err) != "ValidationError" {
		t.Errorf("51 names: %v", err)
	}
	in.AutoScalingGroupNames, in.IncludeInstances = []string{"web-007", "nobody"}, aws.Bool(false)
	out, err := as.DescribeAutoScalingGroups(t.Context(), in)
	must(t, err)
	if len(out.AutoScalingGroups) != 1 || len(out.AutoScalingGroups[0].Instances) != 0 {
		t.Errorf("an unknown name is left out: %d groups", len(out.AutoScalingGroups))
	}
}

func TestActivitiesComeInPagesAndCanBeFiltered(t *testing.T) {
	c, as := hour(t, nil)
	for range 30 {
		must(t, set(t, as, 15))
		advance(t, c, 6*time.Minute)
		must(t, set(t, as, 10))
		advance(t, c, 6*time.Minute)
	}
	if n := len(activities(t, as)); n != 300 {
		t.Errorf("%d activities, want 300", n)
	}
	out, err := as.DescribeScalingActivities(t.Context(), &autoscaling.DescribeScalingActivitiesInput{})
	must(t, err)
	if len(out.Activities) != 100 || out.NextToken == nil || out.Activities[0].StartTime.Before(*out.Activities[99].StartTime) {
		t.Errorf("the first page of the account has %d activities", len(out.Activities))
	}
	from := c.Now().Add(-12 * time.Minute)
	out, err = as.DescribeScalingActivities(t.Context(), &autoscaling.DescribeScalingActivitiesInput{
		AutoScalingGroupName: aws.String("web"),
		Filters: []astypes.Filter{
			{Name: aws.String("StartTimeLowerBound"), Values: []string{from.Format(time.RFC3339)}},
			{Name: aws.String("Status"), Values: []string{"Successful"}},
		}})
	must(t, err)
	if len(out.Activities) != 10 {
		t.Errorf("%d activities of the last cycle, want 10", len(out.Activities))
	}
}

func TestLeadTimesAreSpreadAndReproducible(t *testing.T) {
	leads := func(seed uint64) []time.Duration {
		c, as := hour(t, func(c *fleet.Config) {
			c.Seed, c.Groups[0].Lead = seed, fleet.Lead{Minutes: 5, Spread: 0.5}
		})
		must(t, set(t, as, 60))
		advance(t, c, 4*time.Hour)
		var all []time.Duration
		for _, a := range activities(t, as) {
			all = append(all, a.EndTime.Sub(*a.StartTime))
		}
		return all
	}
	one, again, other := leads(1), leads(1), leads(2)
	least, most := one[0], one[0]
	for _, l := range one {
		least, most = min(least, l), max(most, l)
	}
	if len(one) != 50 || least > 3*time.Minute || most < 9*time.Minute {
		t.Errorf("%d lead times from %v to %v", len(one), least, most)
	}
	if fmt.Sprint(one) != fmt.Sprint(again) || fmt.Sprint(one) == fmt.Sprint(other) {
		t.Error("the same seed must give the same lead times, another one others")
	}
}

func TestTheRightVersionOfAKnownActionIsNeeded(t *testing.T) {
	_, as := hour(t, nil)
	_, err := as.DescribeTags(t.Context(), &autoscaling.DescribeTagsInput{})
	if code(err) != "InvalidAction" {
		t.Errorf("an action that is not simulated: %v", err)
	}
}

func TestActivitiesAreForgottenAfterSixWeeks(t *testing.T) {
	c, _, as := start(t, fleet.Config{Start: monday, Now: monday.Add(time.Hour), Groups: []fleet.GroupConfig{web(45)}})
	must(t, set(t, as, 11))
	must(t, c.Advance(monday.Add(time.Hour+42*24*time.Hour)))
	if n := len(activities(t, as)); n != 1 {
		t.Errorf("%d activities at six weeks, want 1", n)
	}
	advance(t, c, time.Minute)
	if n := len(activities(t, as)); n != 0 {
		t.Errorf("%d activities after six weeks, want none", n)
	}
}

func TestAGroupMayBeEmptied(t *testing.T) {
	c, cw, as := start(t, fleet.Config{Start: monday, Now: monday.Add(time.Hour), Groups: []fleet.GroupConfig{{Name: "web", Demand: flat(288, 6), Max: 20}}})
	must(t, set(t, as, 0))
	advance(t, c, 10*time.Minute)
	from := monday.Add(time.Hour)
	for metric, want := range map[string]int{"CPUUtilization": 0, "NetworkIn": 0} {
		if n := len(fetch(t, cw, ask("q", "web", "AWS/EC2", metric, "Average", 300), from, c.Now())); n != want {
			t.Errorf("%s of no instance has %d points", metric, n)
		}
	}
	if p := fetch(t, cw, ask("q", "web", "AWS/AutoScaling", "GroupInServiceInstances", "Average", 300), from, c.Now()); len(p) != 2 || p[0].value != 0 {
		t.Errorf("instances in service: %v", p)
	}
	m, err := c.Summary("web", from, c.Now())
	must(t, err)
	if m.ViolationMinutes != 10 || m.UnservedPct != 100 || m.MeanUtilisation != 0 {
		t.Errorf("summary %+v", m)
	}
}
