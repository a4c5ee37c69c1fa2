package fleet_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/forescale/forescale/internal/fleet"
)

// monday is the start of the demands of these tests.
var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// flat returns a demand of some slots of five minutes with a constant value.
func flat(slots int, instances float64) *fleet.Demand {
	d := &fleet.Demand{Start: monday, Step: 5 * time.Minute, Slots: make([]float64, slots), Missing: make([]bool, slots), Unit: 1}
	for i := range d.Slots {
		d.Slots[i] = instances
	}
	return d
}

// start serves a cloud and returns it with the real clients, without retries.
func start(t *testing.T, config fleet.Config) (*fleet.Cloud, *cloudwatch.Client, *autoscaling.Client) {
	t.Helper()
	c, err := fleet.New(config)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(fleet.Handler(c))
	t.Cleanup(s.Close)
	keys := credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")
	cw := cloudwatch.New(cloudwatch.Options{Region: "us-east-1", BaseEndpoint: &s.URL, Credentials: keys, Retryer: aws.NopRetryer{}})
	as := autoscaling.New(autoscaling.Options{Region: "us-east-1", BaseEndpoint: &s.URL, Credentials: keys, Retryer: aws.NopRetryer{}})
	return c, cw, as
}

// ask returns a query for one metric of a group.
func ask(id, group, namespace, metric, stat string, period int32) cwtypes.MetricDataQuery {
	dimension := cwtypes.Dimension{Name: aws.String("AutoScalingGroupName"), Value: &group}
	if namespace == "AWS/ApplicationELB" {
		dimension = cwtypes.Dimension{Name: aws.String("LoadBalancer"), Value: aws.String("app/" + group)}
	}
	return cwtypes.MetricDataQuery{Id: &id, MetricStat: &cwtypes.MetricStat{
		Metric: &cwtypes.Metric{Namespace: &namespace, MetricName: &metric, Dimensions: []cwtypes.Dimension{dimension}},
		Period: &period, Stat: &stat,
	}}
}

func TestASmoke(t *testing.T) {
	ctx := context.Background()
	now := monday.Add(24 * time.Hour)
	c, cw, as := start(t, fleet.Config{Start: monday, Now: now, Groups: []fleet.GroupConfig{
		{Name: "web", Demand: flat(600, 6), Lead: fleet.Lead{Minutes: 5}},
	}})
	out, err := cw.GetMetricData(ctx, &cloudwatch.GetMetricDataInput{StartTime: &monday, EndTime: &now, MetricDataQueries: []cwtypes.MetricDataQuery{
		ask("cpu", "web", "AWS/EC2", "CPUUtilization", "Average", 300),
		ask("rps", "web", "AWS/ApplicationELB", "RequestCount", "Sum", 300),
		ask("net", "web", "AWS/EC2", "NetworkIn", "Sum", 300),
		ask("n", "web", "AWS/AutoScaling", "GroupInServiceInstances", "Average", 300),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range out.MetricDataResults {
		t.Log(*r.Id, r.StatusCode, len(r.Timestamps), r.Timestamps[0], r.Values[0])
	}
	if _, err := as.SetDesiredCapacity(ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("web"), DesiredCapacity: aws.Int32(12)}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		g, err := as.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{"web"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Log(*g.AutoScalingGroups[0].DesiredCapacity, len(g.AutoScalingGroups[0].Instances), g.AutoScalingGroups[0].Instances[len(g.AutoScalingGroups[0].Instances)-1].LifecycleState, c.State())
		now = now.Add(4 * time.Minute)
		if err := c.Advance(now); err != nil {
			t.Fatal(err)
		}
	}
	a, err := as.DescribeScalingActivities(ctx, &autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: aws.String("web")})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range a.Activities {
		t.Log(*x.Description, *x.Cause, x.StatusCode, x.StartTime, x.EndTime)
	}
}
