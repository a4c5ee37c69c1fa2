package fleet

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The types of a scaling policy, as Auto Scaling spells them.
const (
	PolicyTracking   = "TargetTrackingScaling"
	PolicyPredictive = "PredictiveScaling"
	PolicyStep       = "StepScaling"
	PolicySimple     = "SimpleScaling"
)

// ScalingPolicy is a policy of the provider, as it is shown. What it does is up to
// the group's Live controller.
type ScalingPolicy struct {
	Name     string  `json:"name"`
	Type     string  `json:"type"`
	Disabled bool    `json:"disabled,omitempty"`
	Target   float64 `json:"target,omitempty"` // of CPU, in percent
	// ForecastOnly is a predictive policy that looks on.
	ForecastOnly bool `json:"forecast_only,omitempty"`
	// NoScaleIn is a tracking policy that only adds.
	NoScaleIn bool `json:"no_scale_in,omitempty"`
}

// ScheduledAction changes a group at a moment of the simulated time, and again
// every so often. It rests while the group's process ScheduledActions is
// suspended. nil fields stay as they are.
type ScheduledAction struct {
	Name       string        `json:"name"`
	At         time.Time     `json:"at"`
	Every      time.Duration `json:"every,omitempty"` // 0: once, and then it is gone
	Recurrence string        `json:"recurrence,omitempty"`
	Min        *int          `json:"min,omitempty"`
	Max        *int          `json:"max,omitempty"`
	Desired    *int          `json:"desired,omitempty"`
}

// runScheduled carries out the actions that are due.
func (g *group) runScheduled() {
	kept := g.scheduled[:0]
	for _, a := range g.scheduled {
		for !a.At.After(g.now()) {
			if _, off := g.suspended[processScheduled]; !off {
				g.apply(GroupChange{Min: a.Min, Max: a.Max, Desired: a.Desired, who: "executing scheduled action " + a.Name + " set group"})
			}
			if a.Every <= 0 {
				break
			}
			a.At = a.At.Add(a.Every)
		}
		if a.At.After(g.now()) {
			kept = append(kept, a)
		}
	}
	g.scheduled = kept
}

// subjects returns the groups that a call is about: the one that it names, or all
// that the caller sees.
func (c *Cloud) subjects(form request) ([]*group, *apiError) {
	if form.Get("AutoScalingGroupName") != "" {
		g, err := c.named(form)
		if err != nil {
			return nil, err
		}
		return []*group{g}, nil
	}
	return slices.DeleteFunc(slices.Clone(c.groups), func(g *group) bool { return !form.from.sees(g) }), nil
}

// describePolicies answers DescribePolicies.
func (c *Cloud) describePolicies(form request) (any, *apiError) {
	groups, err := c.subjects(form)
	if err != nil {
		return nil, err
	}
	names, types := members(form, "PolicyNames"), members(form, "PolicyTypes")
	var all []xmlPolicy
	for _, g := range groups {
		for _, p := range g.policies {
			if (len(names) == 0 || slices.Contains(names, p.Name)) && (len(types) == 0 || slices.Contains(types, p.Type)) {
				all = append(all, g.describePolicy(p))
			}
		}
	}
	from, to, next, err := page(form, len(all), itemsPage)
	if err != nil {
		return nil, err
	}
	return &xmlPoliciesResult{Policies: all[from:to], NextToken: next}, nil
}

// describeScheduled answers DescribeScheduledActions. The times filter what is not
// asked for by name.
func (c *Cloud) describeScheduled(form request) (any, *apiError) {
	groups, err := c.subjects(form)
	if err != nil {
		return nil, err
	}
	names := members(form, "ScheduledActionNames")
	var bounds [2]time.Time
	for i, name := range []string{"StartTime", "EndTime"} {
		if s := form.Get(name); s != "" && len(names) == 0 {
			t, err := time.Parse(time.RFC3339, s)
			if err != nil {
				return nil, validation("The value %q of %s is not a timestamp.", s, name)
			}
			bounds[i] = t
		}
	}
	var all []xmlScheduled
	for _, g := range groups {
		for _, a := range g.scheduled {
			if len(names) > 0 && !slices.Contains(names, a.Name) || a.At.Before(bounds[0]) || !bounds[1].IsZero() && a.At.After(bounds[1]) {
				continue
			}
			all = append(all, xmlScheduled{
				Name: a.Name, Group: g.Name, StartTime: xmlTime(a.At), Recurrence: a.Recurrence,
				ARN:     fmt.Sprintf("arn:aws:autoscaling:%s:%s:scheduledUpdateGroupAction:%016x:autoScalingGroupName/%s:scheduledActionName/%s", g.region(), g.Account, hash(g.Name, a.Name), g.Name, a.Name),
				MinSize: a.Min, MaxSize: a.Max, Desired: a.Desired,
			})
		}
	}
	from, to, next, err := page(form, len(all), itemsPage)
	if err != nil {
		return nil, err
	}
	return &xmlScheduledResult{Actions: all[from:to], NextToken: next}, nil
}

func (g *group) describePolicy(p ScalingPolicy) xmlPolicy {
	x := xmlPolicy{
		Group: g.Name, Name: p.Name, Type: p.Type, Enabled: !p.Disabled,
		ARN: fmt.Sprintf("arn:aws:autoscaling:%s:%s:scalingPolicy:%016x:autoScalingGroupName/%s:policyName/%s", g.region(), g.Account, hash(g.Name, p.Name), g.Name, p.Name),
	}
	cpu := &xmlPredefined{Type: "ASGAverageCPUUtilization"}
	switch p.Type {
	case PolicyTracking:
		x.Tracking = &xmlTracking{Metric: cpu, Target: p.Target, NoScaleIn: p.NoScaleIn}
	case PolicyPredictive:
		pair := &xmlPredefined{Type: "ASGCPUUtilization"}
		x.Predictive = &xmlPredictive{Mode: "ForecastAndScale", Metrics: []xmlPredictiveMetric{{Target: p.Target, Pair: pair}}}
		if p.ForecastOnly {
			x.Predictive.Mode = "ForecastOnly"
		}
	case PolicyStep, PolicySimple:
		one := 1
		x.AdjustmentType = "ChangeInCapacity"
		if p.Type == PolicySimple {
			x.Adjustment = &one
		} else {
			x.Steps = []xmlStep{{Lower: "0.0", Adjustment: 1}}
		}
	}
	if p.Type != PolicyPredictive {
		name := fmt.Sprintf("%s-%s-%s", strings.TrimSuffix(p.Type, "Scaling"), g.Name, p.Name)
		x.Alarms = []xmlAlarm{{Name: name, ARN: fmt.Sprintf("arn:aws:cloudwatch:%s:%s:alarm:%s", g.region(), g.Account, name)}}
	}
	return x
}

type xmlPoliciesResult struct {
	Policies  []xmlPolicy `xml:"ScalingPolicies>member"`
	NextToken string      `xml:"NextToken,omitempty"`
}

type xmlPolicy struct {
	Group          string         `xml:"AutoScalingGroupName"`
	Name           string         `xml:"PolicyName"`
	ARN            string         `xml:"PolicyARN"`
	Type           string         `xml:"PolicyType"`
	AdjustmentType string         `xml:"AdjustmentType,omitempty"`
	Adjustment     *int           `xml:"ScalingAdjustment"`
	Steps          []xmlStep      `xml:"StepAdjustments>member"`
	Alarms         []xmlAlarm     `xml:"Alarms>member"`
	Tracking       *xmlTracking   `xml:"TargetTrackingConfiguration"`
	Predictive     *xmlPredictive `xml:"PredictiveScalingConfiguration"`
	Enabled        bool           `xml:"Enabled"`
}

type xmlStep struct {
	Lower      string `xml:"MetricIntervalLowerBound"`
	Adjustment int    `xml:"ScalingAdjustment"`
}

type xmlAlarm struct {
	Name string `xml:"AlarmName"`
	ARN  string `xml:"AlarmARN"`
}

type xmlPredefined struct {
	Type string `xml:"PredefinedMetricType"`
}

type xmlTracking struct {
	Metric    *xmlPredefined `xml:"PredefinedMetricSpecification"`
	Target    float64        `xml:"TargetValue"`
	NoScaleIn bool           `xml:"DisableScaleIn"`
}

type xmlPredictive struct {
	Metrics []xmlPredictiveMetric `xml:"MetricSpecifications>member"`
	Mode    string                `xml:"Mode"`
}

type xmlPredictiveMetric struct {
	Target float64        `xml:"TargetValue"`
	Pair   *xmlPredefined `xml:"PredefinedMetricPairSpecification"`
}

type xmlScheduledResult struct {
	Actions   []xmlScheduled `xml:"ScheduledUpdateGroupActions>member"`
	NextToken string         `xml:"NextToken,omitempty"`
}

type xmlScheduled struct {
	Name       string `xml:"ScheduledActionName"`
	ARN        string `xml:"ScheduledActionARN"`
	Group      string `xml:"AutoScalingGroupName"`
	StartTime  string `xml:"StartTime"`
	Recurrence string `xml:"Recurrence,omitempty"`
	MinSize    *int   `xml:"MinSize"`
	MaxSize    *int   `xml:"MaxSize"`
	Desired    *int   `xml:"DesiredCapacity"`
}
