package fleet

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The XML answers of EC2 Auto Scaling, version 2011-01-01. Lists are wrapped in
// member elements.

const autoScalingNamespace = "http://autoscaling.amazonaws.com/doc/2011-01-01/"

type xmlGroupsResult struct {
	Groups    []xmlGroup `xml:"AutoScalingGroups>member"`
	NextToken string     `xml:"NextToken,omitempty"`
}

type xmlGroup struct {
	Name                  string         `xml:"AutoScalingGroupName"`
	ARN                   string         `xml:"AutoScalingGroupARN"`
	MinSize               int            `xml:"MinSize"`
	MaxSize               int            `xml:"MaxSize"`
	DesiredCapacity       int            `xml:"DesiredCapacity"`
	PredictedCapacity     *int           `xml:"PredictedCapacity"`
	DefaultCooldown       int            `xml:"DefaultCooldown"`
	DefaultInstanceWarmup *int           `xml:"DefaultInstanceWarmup"`
	AvailabilityZones     []string       `xml:"AvailabilityZones>member"`
	HealthCheckType       string         `xml:"HealthCheckType"`
	CreatedTime           string         `xml:"CreatedTime"`
	TargetGroupARNs       []string       `xml:"TargetGroupARNs>member"`
	EnabledMetrics        []xmlEnabled   `xml:"EnabledMetrics>member"`
	Instances             []xmlInstance  `xml:"Instances>member"`
	SuspendedProcesses    []xmlSuspended `xml:"SuspendedProcesses>member"`
	WarmPool              *xmlWarmPool   `xml:"WarmPoolConfiguration"`
}

type xmlEnabled struct {
	Metric      string `xml:"Metric"`
	Granularity string `xml:"Granularity"`
}

type xmlInstance struct {
	ID               string `xml:"InstanceId"`
	Type             string `xml:"InstanceType"`
	AvailabilityZone string `xml:"AvailabilityZone"`
	LifecycleState   string `xml:"LifecycleState"`
	HealthStatus     string `xml:"HealthStatus"`
	Protected        bool   `xml:"ProtectedFromScaleIn"`
}

type xmlSuspended struct {
	Process string `xml:"ProcessName"`
	Reason  string `xml:"SuspensionReason"`
}

type xmlWarmPool struct {
	MinSize   int    `xml:"MinSize"`
	PoolState string `xml:"PoolState"`
}

type xmlActivitiesResult struct {
	Activities []xmlActivity `xml:"Activities>member"`
	NextToken  string        `xml:"NextToken,omitempty"`
}

type xmlActivity struct {
	ID            string `xml:"ActivityId"`
	Group         string `xml:"AutoScalingGroupName"`
	Description   string `xml:"Description"`
	Cause         string `xml:"Cause"`
	StartTime     string `xml:"StartTime"`
	EndTime       string `xml:"EndTime,omitempty"`
	StatusCode    string `xml:"StatusCode"`
	StatusMessage string `xml:"StatusMessage,omitempty"`
	Progress      int    `xml:"Progress"`
	Details       string `xml:"Details"`
}

type xmlRefreshesResult struct {
	Refreshes []xmlRefresh `xml:"InstanceRefreshes>member"`
}

type xmlRefresh struct {
	ID                 string `xml:"InstanceRefreshId"`
	Group              string `xml:"AutoScalingGroupName"`
	Status             string `xml:"Status"`
	Start              string `xml:"StartTime"`
	End                string `xml:"EndTime,omitempty"`
	PercentageComplete int    `xml:"PercentageComplete"`
	InstancesToUpdate  int    `xml:"InstancesToUpdate"`
}

func xmlTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

const (
	simulatedRegion  = "us-east-1"
	simulatedAccount = "000000000000"
	simulatedZone    = simulatedRegion + "a"
)

// describeGroup returns the group as DescribeAutoScalingGroups shows it.
func (g *group) describeGroup(instances bool) xmlGroup {
	x := xmlGroup{
		Name:    g.Name,
		ARN:     fmt.Sprintf("arn:aws:autoscaling:%s:%s:autoScalingGroup:%016x:autoScalingGroupName/%s", simulatedRegion, simulatedAccount, hash(g.Name), g.Name),
		MinSize: g.min, MaxSize: g.max, DesiredCapacity: g.desired,
		DefaultCooldown:   int(g.Cooldown / time.Second),
		AvailabilityZones: []string{simulatedZone},
		HealthCheckType:   "EC2",
		CreatedTime:       xmlTime(g.cloud.config.Start),
		TargetGroupARNs:   []string{fmt.Sprintf("arn:aws:elasticloadbalancing:%s:%s:%s", simulatedRegion, simulatedAccount, g.TargetGroup)},
	}
	for i := range metrics {
		if metrics[i].namespace == "AWS/AutoScaling" {
			x.EnabledMetrics = append(x.EnabledMetrics, xmlEnabled{metrics[i].name, "1Minute"})
		}
	}
	if g.predicted > 0 {
		x.PredictedCapacity = &g.predicted
	}
	if g.Warmup > 0 {
		seconds := int(g.Warmup / time.Second)
		x.DefaultInstanceWarmup = &seconds
	}
	if g.WarmPool > 0 {
		x.WarmPool = &xmlWarmPool{MinSize: g.WarmPool, PoolState: "Stopped"}
	}
	for p, reason := range g.suspended {
		x.SuspendedProcesses = append(x.SuspendedProcesses, xmlSuspended{p, reason})
	}
	slices.SortFunc(x.SuspendedProcesses, func(a, b xmlSuspended) int { return strings.Compare(a.Process, b.Process) })
	if instances {
		for _, i := range g.sim.Pool.Serving() {
			x.Instances = append(x.Instances, g.describeInstance(i, "InService"))
		}
		for _, i := range g.sim.Pool.Pending() {
			x.Instances = append(x.Instances, g.describeInstance(i, "Pending"))
		}
	}
	return x
}

func (g *group) describeInstance(i Instance, state string) xmlInstance {
	return xmlInstance{
		ID: g.instanceName(i), Type: "m5.large", AvailabilityZone: simulatedZone,
		LifecycleState: state, HealthStatus: "Healthy",
	}
}

func (a *Activity) xml() xmlActivity {
	x := xmlActivity{
		ID: a.ID, Group: a.Group, Description: a.Description, Cause: a.Cause, StartTime: xmlTime(a.Start),
		StatusCode: a.Status, StatusMessage: a.Message, Progress: a.Progress,
		Details: fmt.Sprintf(`{"Availability Zone":"%s"}`, simulatedZone),
	}
	if !a.End.IsZero() {
		x.EndTime = xmlTime(a.End)
	}
	return x
}
