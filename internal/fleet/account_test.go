package fleet_test

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/forescale/forescale/internal/fleet"
)

func sameWords(t *testing.T, name string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", name, got, want)
	}
}

func TestPoliciesAreShownAndComeInPages(t *testing.T) {
	_, as := hour(t, func(c *fleet.Config) {
		shared := c.Groups[0].Demand
		c.Groups[0].Policies = []fleet.ScalingPolicy{
			{Name: "cpu", Type: fleet.PolicyTracking, Target: 60, NoScaleIn: true},
			{Name: "ahead", Type: fleet.PolicyPredictive, Target: 50, ForecastOnly: true},
			{Name: "step", Type: fleet.PolicyStep, Disabled: true},
		}
		for i := range 70 {
			c.Groups = append(c.Groups, fleet.GroupConfig{Name: fmt.Sprintf("x-%02d", i), Demand: shared,
				Policies: []fleet.ScalingPolicy{{Name: "one", Type: fleet.PolicySimple}}})
		}
	})
	out, err := as.DescribePolicies(t.Context(), &autoscaling.DescribePoliciesInput{AutoScalingGroupName: aws.String("web")})
	must(t, err)
	if len(out.ScalingPolicies) != 3 {
		t.Fatalf("%d policies", len(out.ScalingPolicies))
	}
	cpu, ahead, step := out.ScalingPolicies[0], out.ScalingPolicies[1], out.ScalingPolicies[2]
	if *cpu.PolicyType != "TargetTrackingScaling" || *cpu.TargetTrackingConfiguration.TargetValue != 60 || !*cpu.TargetTrackingConfiguration.DisableScaleIn ||
		cpu.TargetTrackingConfiguration.PredefinedMetricSpecification.PredefinedMetricType != astypes.MetricTypeASGAverageCPUUtilization || !*cpu.Enabled || len(cpu.Alarms) != 1 {
		t.Errorf("tracking policy %+v", cpu)
	}
	if ahead.PredictiveScalingConfiguration.Mode != astypes.PredictiveScalingModeForecastOnly || *ahead.PredictiveScalingConfiguration.MetricSpecifications[0].TargetValue != 50 {
		t.Errorf("predictive policy %+v", ahead.PredictiveScalingConfiguration)
	}
	if *step.Enabled || len(step.StepAdjustments) != 1 || *step.StepAdjustments[0].ScalingAdjustment != 1 {
		t.Errorf("step policy %+v", step)
	}
	var sizes []int
	pages := autoscaling.NewDescribePoliciesPaginator(as, &autoscaling.DescribePoliciesInput{})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		must(t, err)
		sizes = append(sizes, len(out.ScalingPolicies))
	}
	same(t, "policies a page", sizes, []int{50, 23})
	out, err = as.DescribePolicies(t.Context(), &autoscaling.DescribePoliciesInput{PolicyTypes: []string{"PredictiveScaling"}})
	must(t, err)
	if len(out.ScalingPolicies) != 1 || *out.ScalingPolicies[0].PolicyName != "ahead" {
		t.Errorf("predictive policies of the account: %d", len(out.ScalingPolicies))
	}
}

func TestScheduledActionsAreShownAndCarriedOut(t *testing.T) {
	six, twelve := 6, 12
	c, as := hour(t, func(c *fleet.Config) {
		c.Groups[0].Scheduled = []fleet.ScheduledAction{
			{Name: "once", At: monday.Add(70 * time.Minute), Desired: &twelve},
			{Name: "hourly", At: monday.Add(80 * time.Minute), Every: time.Hour, Recurrence: "20 * * * *", Max: &six},
		}
	})
	show := func() (names []string) {
		out, err := as.DescribeScheduledActions(t.Context(), &autoscaling.DescribeScheduledActionsInput{AutoScalingGroupName: aws.String("web"), EndTime: aws.Time(monday.Add(3 * time.Hour))})
		must(t, err)
		for _, a := range out.ScheduledUpdateGroupActions {
			names = append(names, fmt.Sprintf("%s %s %s", *a.ScheduledActionName, a.StartTime.Format("15:04"), aws.ToString(a.Recurrence)))
		}
		return names
	}
	sameWords(t, "actions", show(), []string{"once 01:10 ", "hourly 01:20 20 * * * *"})
	advance(t, c, 11*time.Minute)
	expectStates(t, as, "after the first", 12, "10/2")
	if cause := *activities(t, as)[0].Cause; !strings.Contains(cause, "executing scheduled action once") {
		t.Errorf("cause %q", cause)
	}
	advance(t, c, 10*time.Minute)
	expectStates(t, as, "after the second", 6, "6/0")
	sameWords(t, "actions afterwards", show(), []string{"hourly 02:20 20 * * * *"})
	ten := 10
	must(t, c.Schedule(fleet.GroupChange{Group: "web", Max: &ten, Desired: &ten, Suspend: []string{"ScheduledActions"}}))
	advance(t, c, time.Hour)
	if g := describe(t, as); *g.DesiredCapacity != 10 || *g.MaxSize != 10 {
		t.Errorf("a suspended action was carried out: desired %d of %d", *g.DesiredCapacity, *g.MaxSize)
	}
}

func TestAWarmPoolStartsFasterAndIsFilledAgain(t *testing.T) {
	c, as := hour(t, func(c *fleet.Config) {
		c.Groups[0].WarmPool, c.Groups[0].WarmLead = 2, fleet.Lead{Minutes: 1}
	})
	pool := func() (states []string) {
		out, err := as.DescribeWarmPool(t.Context(), &autoscaling.DescribeWarmPoolInput{AutoScalingGroupName: aws.String("web")})
		must(t, err)
		for _, i := range out.Instances {
			states = append(states, string(i.LifecycleState))
		}
		if g := describe(t, as); int(*g.WarmPoolSize) != len(states) {
			t.Errorf("a warm pool of %d is said to have %d", len(states), *g.WarmPoolSize)
		}
		return states
	}
	sameWords(t, "warm pool", pool(), []string{"Warmed:Stopped", "Warmed:Stopped"})
	must(t, set(t, as, 13))
	expectStates(t, as, "at once", 13, "10/3")
	advance(t, c, time.Minute)
	expectStates(t, as, "after a minute", 13, "12/1")
	sameWords(t, "warm pool", pool(), []string{"Warmed:Pending", "Warmed:Pending"})
	advance(t, c, 6*time.Minute)
	expectStates(t, as, "after the lead time", 13, "13/0")
	sameWords(t, "warm pool", pool(), []string{"Warmed:Stopped", "Warmed:Stopped"})
	took := map[string]time.Duration{}
	for _, a := range activities(t, as) {
		kind, _, _ := strings.Cut(*a.Description, ": ")
		took[kind] = a.EndTime.Sub(*a.StartTime)
	}
	want := map[string]time.Duration{
		"Launching a new EC2 instance": 5 * time.Minute, "Launching a new EC2 instance from warm pool": time.Minute, "Launching a new EC2 instance into warm pool": 5 * time.Minute,
	}
	if fmt.Sprint(took) != fmt.Sprint(want) {
		t.Errorf("activities took %v, want %v", took, want)
	}
}

func TestMachinesOfAMixedGroupComeAndGoWhole(t *testing.T) {
	c, as := hour(t, func(c *fleet.Config) { c.Groups[0].Weights = []int{1, 2, 4} })
	weights := func() (all []string) {
		for _, i := range describe(t, as).Instances {
			all = append(all, *i.WeightedCapacity)
		}
		return all
	}
	sameWords(t, "machines", weights(), []string{"1", "2", "4", "1", "2"}) // ten units
	must(t, set(t, as, 11))                                                // the next machine weighs four
	advance(t, c, 6*time.Minute)
	sameWords(t, "machines after growing", weights(), []string{"1", "2", "4", "1", "2", "4"})
	must(t, set(t, as, 10)) // 14 units: down to 10 without going below it
	sameWords(t, "machines after shrinking", weights(), []string{"4", "2", "4"})
	must(t, set(t, as, 9))
	sameWords(t, "machines that are too large to go", weights(), []string{"4", "2", "4"})
	if a := activities(t, as)[0]; !strings.HasPrefix(*a.Description, "Terminating") {
		t.Errorf("newest activity %s", *a.Description)
	}
	must(t, c.RefreshInstances("web", 1))
	advance(t, c, 20*time.Minute)
	if n := len(describe(t, as).Instances); n < 3 {
		t.Errorf("%d machines after a refresh", n)
	}
}

func TestAProtectedInstanceIsNotTerminated(t *testing.T) {
	c, as := hour(t, nil)
	var ids []string
	for _, i := range describe(t, as).Instances[:9] {
		ids = append(ids, *i.InstanceId)
	}
	protect := func(on bool) {
		t.Helper()
		_, err := as.SetInstanceProtection(t.Context(), &autoscaling.SetInstanceProtectionInput{AutoScalingGroupName: aws.String("web"), InstanceIds: ids, ProtectedFromScaleIn: &on})
		must(t, err)
	}
	protect(true)
	must(t, set(t, as, 5))
	advance(t, c, time.Minute)
	expectStates(t, as, "with nine protected", 5, "9/0")
	for _, i := range describe(t, as).Instances {
		if !*i.ProtectedFromScaleIn || !slices.Contains(ids, *i.InstanceId) {
			t.Errorf("%s is left", *i.InstanceId)
		}
	}
	protect(false)
	advance(t, c, time.Minute)
	expectStates(t, as, "without protection", 5, "5/0")
	_, err := as.SetInstanceProtection(t.Context(), &autoscaling.SetInstanceProtectionInput{AutoScalingGroupName: aws.String("web"), InstanceIds: ids[:1], ProtectedFromScaleIn: aws.Bool(true)})
	if code(err) != "ValidationError" {
		t.Errorf("an instance that is gone: %v", err)
	}
}

func TestNewInstancesMayBeProtectedFromTheStart(t *testing.T) {
	_, as := hour(t, func(c *fleet.Config) { c.Groups[0].ProtectNew = true })
	must(t, set(t, as, 4))
	expectStates(t, as, "after a scale-in", 4, "10/0")
}

func TestAQuotaFailsALaunchInWordsOfItsOwn(t *testing.T) {
	c, as := hour(t, nil)
	c.SetTraps(fleet.Traps{Launches: []fleet.LaunchTrap{{Kind: fleet.LaunchQuota}}})
	must(t, set(t, as, 11))
	if a := activities(t, as)[0]; a.StatusCode != astypes.ScalingActivityStatusCodeFailed || !strings.Contains(*a.StatusMessage, "vCPU limit") {
		t.Errorf("newest activity %s: %s", a.StatusCode, aws.ToString(a.StatusMessage))
	}
}

// TestARoleSeesItsOwnAccountOnly goes through the real STS client.
func TestARoleSeesItsOwnAccountOnly(t *testing.T) {
	wall := monday
	shared := flat(288, 6)
	const role = "arn:aws:iam::111111111111:role/scaler"
	c, err := fleet.New(fleet.Config{Start: monday, Now: monday.Add(time.Hour), WallClock: func() time.Time { return wall },
		Roles: []fleet.Role{{ARN: role, ExternalID: "open sesame"}},
		Groups: []fleet.GroupConfig{
			{Name: "own", Demand: shared}, {Name: "theirs", Account: "111111111111", Region: "eu-west-1", Demand: shared},
			{Name: "far", Account: "111111111111", Region: "us-west-2", Demand: shared},
		}})
	must(t, err)
	server := httptest.NewServer(fleet.Handler(c))
	t.Cleanup(server.Close)
	base := credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")
	desk := sts.New(sts.Options{Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: base, Retryer: aws.NopRetryer{}})
	in := &sts.AssumeRoleInput{RoleArn: aws.String(role), RoleSessionName: aws.String("test"), DurationSeconds: aws.Int32(900)}
	if _, err := desk.AssumeRole(t.Context(), in); code(err) != "AccessDenied" {
		t.Errorf("without the external id: %v", err)
	}
	in.ExternalId = aws.String("open sesame")
	out, err := desk.AssumeRole(t.Context(), in)
	must(t, err)
	if got := *out.AssumedRoleUser.Arn; got != "arn:aws:sts::111111111111:assumed-role/scaler/test" || !out.Credentials.Expiration.Equal(monday.Add(15*time.Minute)) {
		t.Errorf("%s until %s", got, out.Credentials.Expiration)
	}
	sees := func(keys aws.CredentialsProvider) (string, error) {
		as := autoscaling.New(autoscaling.Options{Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: keys, Retryer: aws.NopRetryer{}})
		out, err := as.DescribeAutoScalingGroups(t.Context(), &autoscaling.DescribeAutoScalingGroupsInput{})
		if err != nil {
			return "", err
		}
		var names []string
		for _, g := range out.AutoScalingGroups {
			names = append(names, *g.AutoScalingGroupName)
		}
		return strings.Join(names, " "), nil
	}
	assumed := func(token string) aws.CredentialsProvider {
		return credentials.NewStaticCredentialsProvider(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, token)
	}
	if got, err := sees(base); err != nil || got != "own" {
		t.Errorf("the base credentials see %q, %v", got, err)
	}
	if got, err := sees(assumed(*out.Credentials.SessionToken)); err != nil || got != "theirs" {
		t.Errorf("the role sees %q, %v", got, err)
	}
	if _, err := sees(assumed("guessed")); code(err) != "InvalidClientTokenId" {
		t.Errorf("with another token: %v", err)
	}
	wall = wall.Add(15 * time.Minute)
	if _, err := sees(assumed(*out.Credentials.SessionToken)); code(err) != "ExpiredToken" {
		t.Errorf("after the session: %v", err)
	}
	want := fleet.Call{Operation: "DescribeAutoScalingGroups", Account: "111111111111", Region: "eu-west-1", Role: role}
	if n := c.Calls()[want]; n != 1 {
		t.Errorf("%d calls as the role, want 1, in %v", n, c.Calls())
	}
}
