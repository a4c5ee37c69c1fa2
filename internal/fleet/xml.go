package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The XML answers of EC2 Auto Scaling, version 2011-01-01. Lists are wrapped in
// member elements.

const (
	autoScalingVersion   = "2011-01-01"
	autoScalingNamespace = "http://autoscaling.amazonaws.com/doc/2011-01-01/"
	stsVersion           = "2011-06-15"
	stsNamespace         = "https://sts.amazonaws.com/doc/2011-06-15/"
)

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
	Tags                  []xmlTag       `xml:"Tags>member"`
	EnabledMetrics        []xmlEnabled   `xml:"EnabledMetrics>member"`
	Instances             []xmlInstance  `xml:"Instances>member"`
	SuspendedProcesses    []xmlSuspended `xml:"SuspendedProcesses>member"`
	WarmPool              *xmlWarmPool   `xml:"WarmPoolConfiguration"`
	WarmPoolSize          *int           `xml:"WarmPoolSize"`
	ProtectNew            bool           `xml:"NewInstancesProtectedFromScaleIn"`
	Overrides             []xmlOverride  `xml:"MixedInstancesPolicy>LaunchTemplate>Overrides>member"`
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
	Weight           string `xml:"WeightedCapacity,omitempty"`
	Protected        bool   `xml:"ProtectedFromScaleIn"`
}

// xmlOverride is an instance type of a group of mixed ones.
type xmlOverride struct {
	Type   string `xml:"InstanceType"`
	Weight string `xml:"WeightedCapacity"`
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
	simulatedRegion  = "us-east-1" // of groups that live everywhere
	simulatedAccount = "000000000000"
)

func (g *group) region() string {
	if g.Region == "" {
		return simulatedRegion
	}
	return g.Region
}

func (g *group) zone() string { return g.region() + "a" }

// describeGroup returns the group as DescribeAutoScalingGroups shows it.
func (g *group) describeGroup(instances bool) xmlGroup {
	x := xmlGroup{
		Name:    g.Name,
		ARN:     fmt.Sprintf("arn:aws:autoscaling:%s:%s:autoScalingGroup:%016x:autoScalingGroupName/%s", g.region(), g.Account, hash(g.Name), g.Name),
		MinSize: g.min, MaxSize: g.max, DesiredCapacity: g.desired,
		DefaultCooldown:   int(g.Cooldown / time.Second),
		AvailabilityZones: []string{g.zone()},
		HealthCheckType:   "EC2",
		CreatedTime:       xmlTime(g.cloud.config.Start),
		TargetGroupARNs:   []string{g.balancingARN(g.TargetGroup)},
	}
	for _, key := range slices.Sorted(maps.Keys(g.Tags)) {
		x.Tags = append(x.Tags, xmlTag{key, g.Tags[key], g.Name, "auto-scaling-group"})
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
		x.WarmPool = g.warmConfiguration()
		size := len(g.warm)
		x.WarmPoolSize = &size
	}
	x.ProtectNew = g.ProtectNew
	for _, w := range g.Weights {
		x.Overrides = append(x.Overrides, xmlOverride{instanceType(w), strconv.Itoa(w)})
	}
	for p, reason := range g.suspended {
		x.SuspendedProcesses = append(x.SuspendedProcesses, xmlSuspended{p, reason})
	}
	slices.SortFunc(x.SuspendedProcesses, func(a, b xmlSuspended) int { return strings.Compare(a.Process, b.Process) })
	if instances {
		for _, i := range g.machines(g.sim.Pool.Serving()) {
			x.Instances = append(x.Instances, g.describeInstance(i, "InService"))
		}
		for _, i := range g.machines(g.sim.Pool.Pending()) {
			x.Instances = append(x.Instances, g.describeInstance(i, "Pending"))
		}
	}
	return x
}

func (g *group) describeInstance(i Instance, state string) xmlInstance {
	x := xmlInstance{
		ID: g.instanceName(i), Type: instanceType(1), AvailabilityZone: g.zone(),
		LifecycleState: state, HealthStatus: "Healthy", Protected: g.protected[i.ID],
	}
	if len(g.Weights) > 0 {
		w := g.weight(i.ID)
		x.Type, x.Weight = instanceType(w), strconv.Itoa(w)
	}
	return x
}

// instanceType names a type that does the work of w plain instances.
func instanceType(w int) string {
	if w == 1 {
		return "m5.large"
	}
	return fmt.Sprintf("m5.%dxlarge", w)
}

func (a *Activity) xml() xmlActivity {
	x := xmlActivity{
		ID: a.ID, Group: a.Group, Description: a.Description, Cause: a.Cause, StartTime: xmlTime(a.Start),
		StatusCode: a.Status, StatusMessage: a.Message, Progress: a.Progress,
		Details: fmt.Sprintf(`{"Availability Zone":"%s"}`, a.zone),
	}
	if !a.End.IsZero() {
		x.EndTime = xmlTime(a.End)
	}
	return x
}
