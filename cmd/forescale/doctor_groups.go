package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/scaler/plan"
	"github.com/forescale/forescale/scaler/targets"
)

// groups looks at each group as its provider has it: does it exist, can it go where
// the configuration wants it, and who else has a hand in it?
func (d *doctor) groups(ctx context.Context, s *section) {
	if len(d.scaling.Groups) == 0 {
		return
	}
	shared := d.common
	// A look at everything costs two calls a group; a scaler spreads them over its ticks.
	shared.AWS.RivalCalls = min(max(shared.AWS.RivalCalls, 8*len(d.scaling.Groups)), 400)
	target, err := targets.Open(ctx, d.scaling, shared, d.quiet)
	if err != nil {
		s.tell(levelError, "provider", err.Error(), "No group can be scaled.", "correct it in "+d.config)
		return
	}
	sizes, err := target.Capacities(ctx, d.names())
	unknown := errors.Is(err, scaler.ErrUnknownGroup)
	if err != nil && !unknown {
		s.tell(levelError, "sizes", err.Error(), "Of a group whose size is not known, nothing is decided.", "see credentials above")
	}
	sound := 0
	for _, g := range d.scaling.Groups {
		c, there := sizes[g.Name]
		if !there {
			if unknown {
				_, name := g.Route()
				s.group(levelError, "exists", g.Name, fmt.Sprintf("the provider has no %q there", name), "It cannot be scaled.",
					"correct target_name, account or region of the group in "+d.config)
			}
			continue
		}
		before := len(s.found)
		d.bounds(s, g, c)
		d.rivals(s, g, c)
		if raw, ok := d.seen[g.Name]; ok {
			d.settings(s, g, raw)
		}
		if len(s.found) == before {
			sound++
		}
	}
	if l, ok := target.(scaler.Launches); ok {
		d.launches(ctx, s, l, slices.Sorted(maps.Keys(sizes)))
	}
	if sound > 0 {
		s.ok("settings", "%s as it should be: nobody else scales, and the bounds agree", counted(sound, "group"))
	}
}

// bounds compares the configured bounds with the provider's.
func (d *doctor) bounds(s *section, g scaler.Group, c api.Capacity) {
	_, name := g.Route()
	update := fmt.Sprintf("aws autoscaling update-auto-scaling-group --auto-scaling-group-name %s", shellWord(name))
	switch {
	case c.Min == c.Max:
		s.group(levelWarning, "bounds", g.Name, fmt.Sprintf("its provider holds it at %d", c.Max), "It cannot be scaled at all.", update+" --max-size N")
	case g.Max > c.Max:
		s.group(levelWarning, "bounds", g.Name, fmt.Sprintf("max is %d, and its provider lets it grow to %d only", g.Max, c.Max), "The greatest size that can be reached is the provider's.",
			fmt.Sprintf("%s --max-size %d", update, g.Max), "or lower max in "+d.config)
	case g.Max > 0 && g.Max < c.Desired:
		s.group(levelWarning, "bounds", g.Name, fmt.Sprintf("it has %d instances, and max is %d", c.Desired, g.Max), "It is never grown, and shrinks to max when the load allows.", "raise max in "+d.config)
	}
	if g.Min < c.Min {
		s.group(levelNote, "bounds", g.Name, fmt.Sprintf("min is %d, and its provider keeps at least %d", g.Min, c.Min), "It never gets as small as it may.", update+fmt.Sprintf(" --min-size %d", g.Min))
	}
	if q := g.Guard.Quota; q > 0 && c.Max > q {
		s.group(levelNote, "quota", g.Name, fmt.Sprintf("its provider would let it grow to %d, and guard.quota says %d", c.Max, q), "Beyond the quota launches fail.", "aws service-quotas list-service-quotas --service-code ec2")
	}
}

// rivals tells of whoever else scales a group, and what the scaler makes of them.
func (d *doctor) rivals(s *section, g scaler.Group, c api.Capacity) {
	_, name := g.Route()
	for _, r := range c.Rivals {
		means, do := "Two hands at one wheel: sizes go back and forth.", "switch it off, or say under rivals: of the group what is to be done about it (yield, hold-in, warn)"
		l := levelWarning
		switch r.Kind {
		case api.RivalPredictive:
			do = "aws autoscaling describe-policies --auto-scaling-group-name " + shellWord(name) + "; put-scaling-policy with Mode=ForecastOnly lets it only forecast"
		case api.RivalTracking:
			do = "aws autoscaling delete-policy --auto-scaling-group-name " + shellWord(name) + " --policy-name NAME"
		case api.RivalSuspended:
			means, do = "What is ordered does not happen.", "aws autoscaling resume-processes --auto-scaling-group-name "+shellWord(name)
			if g.Mode == api.ModeLive {
				l = levelError
			}
		case api.RivalSchedule:
			do = "move it into policy.schedule of the group, and delete it: aws autoscaling describe-scheduled-actions --auto-scaling-group-name " + shellWord(name)
		case api.RivalRefresh:
			l, means, do = levelNote, "Instances come and go until it is over.", "wait, or freeze the group meanwhile: forescale freeze"
		case api.RivalAutoscaler:
			do = "kubectl delete hpa NAME; one resource has one autoscaler"
		}
		if response := g.Rivals[r.Kind]; response != "" {
			l, means = levelNote, fmt.Sprintf("The configuration says what is done about it: %s.", response)
		}
		s.group(l, "rival-"+string(r.Kind), g.Name, r.Detail, means, do)
	}
	if c.LaunchError != "" {
		s.group(levelWarning, "launches", g.Name, "the newest launch failed: "+c.LaunchError, "It cannot grow.", "aws autoscaling describe-scaling-activities --auto-scaling-group-name "+shellWord(name))
	}
}

// settings looks at what of an Auto Scaling Group matters to forecasts.
func (d *doctor) settings(s *section, g scaler.Group, raw types.AutoScalingGroup) {
	name := aws.ToString(raw.AutoScalingGroupName)
	lead := g.LeadTime
	if w := raw.DefaultInstanceWarmup; w != nil && *w >= 0 {
		if warm := time.Duration(*w) * time.Second; warm > 2*max(lead, d.common.Step) {
			s.group(levelWarning, "warm-up", g.Name, fmt.Sprintf("the default instance warm-up is %s, and lead_time %s", warm, lead),
				"AWS leaves the load of new instances out of the group's metrics for so long: less is seen than there is.",
				fmt.Sprintf("aws autoscaling update-auto-scaling-group --auto-scaling-group-name %s --default-instance-warmup %d", shellWord(name), int(lead.Seconds())))
		}
	}
	grace := time.Duration(aws.ToInt32(raw.HealthCheckGracePeriod)) * time.Second
	if aws.ToString(raw.HealthCheckType) == "ELB" && raw.HealthCheckGracePeriod != nil && grace < lead {
		s.group(levelWarning, "health-check", g.Name, fmt.Sprintf("health checks of the load balancer count %s after a launch, and lead_time is %s", grace, lead),
			"Instances may be replaced before they serve.",
			fmt.Sprintf("aws autoscaling update-auto-scaling-group --auto-scaling-group-name %s --health-check-grace-period %d", shellWord(name), int(lead.Seconds())))
	}
	if cool := time.Duration(aws.ToInt32(raw.DefaultCooldown)) * time.Second; cool > g.Cooldown.Out && g.Cooldown.Out > 0 {
		s.group(levelNote, "cooldown", g.Name, fmt.Sprintf("its own cooldown is %s, and ours %s after a scale-out", cool, g.Cooldown.Out),
			"Ours counts: the group's own is never waited for, because a stuck instance would block every change.")
	}
	if !countsInstances(raw) && g.Load == "" {
		s.group(levelError, "metrics", g.Name, "group metrics are not collected", "Without the number of instances in service there is no demand to forecast.",
			fmt.Sprintf("aws autoscaling enable-metrics-collection --auto-scaling-group-name %s --granularity 1Minute --metrics GroupInServiceInstances GroupDesiredCapacity", shellWord(name)))
	}
}

// countsInstances reports whether CloudWatch is told how many instances serve.
func countsInstances(g types.AutoScalingGroup) bool {
	return slices.ContainsFunc(g.EnabledMetrics, func(m types.EnabledMetric) bool { return aws.ToString(m.Metric) == "GroupInServiceInstances" })
}

// launchHistory is how far back launches are looked at.
const launchHistory = 14 * day

// launches compares how long starts really took with what the configuration says.
func (d *doctor) launches(ctx context.Context, s *section, target scaler.Launches, groups []string) {
	found, err := target.Launches(ctx, groups, d.now().Add(-launchHistory))
	if err != nil && len(found) == 0 {
		return // told by the permissions
	}
	for _, g := range d.scaling.Groups {
		failed := 0
		for _, l := range found[g.Name] {
			if l.Failed != "" {
				failed++
			}
		}
		if n := len(found[g.Name]); failed > 0 && 5*failed >= n {
			s.group(levelWarning, "launches", g.Name, fmt.Sprintf("%d of the last %d launches failed", failed, n), "It grows late, or not at all.",
				"look at quota, capacity and the launch template: aws autoscaling describe-scaling-activities --auto-scaling-group-name NAME")
		}
		prior := cmp.Or(g.LeadTime, d.common.Step)
		if learned := plan.LearnLead(prior, found[g.Name]); learned > prior+prior/2 {
			s.group(levelNote, "lead-time", g.Name, fmt.Sprintf("lead_time is %s, and launches took %s", g.LeadTime, learned.Round(time.Second)),
				"What launches really take is learned and used; a back-test and a new scaler begin with what is configured.", "set lead_time of the group in "+d.config)
		}
	}
}
