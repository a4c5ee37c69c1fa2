package asg

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/forescale/forescale/api"
)

const (
	// scheduleAhead is how long before its time a scheduled action is a rival, and
	// scheduleBehind how long after, as far as it has not been read again.
	scheduleAhead  = time.Hour
	scheduleBehind = 10 * time.Minute
)

// The processes of a group without which somebody cannot act.
const (
	processLaunch    = "Launch"
	processTerminate = "Terminate"
	processBalancer  = "AddToLoadBalancer"
	processAlarms    = "AlarmNotification"
	processScheduled = "ScheduledActions"
)

// rival is a policy or a scheduled action, as the provider describes it.
type rival struct {
	api.Rival
	name  string
	needs string    // the process that carries it out; "": none
	due   time.Time // of a scheduled action
}

// suspensions returns the processes of a group that are suspended, with the reason.
func suspensions(g types.AutoScalingGroup) map[string]string {
	off := make(map[string]string, len(g.SuspendedProcesses))
	for _, p := range g.SuspendedProcesses {
		off[aws.ToString(p.ProcessName)] = aws.ToString(p.SuspensionReason)
	}
	return off
}

// annotate enters into a capacity what is known of the group's rivals and of why
// its launches fail, as of now.
func (t *Target) annotate(c *api.Capacity, g types.AutoScalingGroup, now time.Time) {
	off := suspensions(g)
	effects := []struct{ process, effect string }{
		{processLaunch, "no instance is launched"}, {processTerminate, "no instance is terminated"}, {processBalancer, "new instances get no load"},
	}
	for _, p := range effects {
		if why, yes := off[p.process]; yes {
			c.Rivals = append(c.Rivals, api.Rival{Kind: api.RivalSuspended, Detail: fmt.Sprintf("process %s is suspended (%s): %s", p.process, why, p.effect)})
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	name := aws.ToString(g.AutoScalingGroupName)
	predictive := false
	for _, r := range append(t.policies.of(name), t.scheduled.of(name)...) {
		_, resting := off[r.needs]
		if resting || !r.due.IsZero() && (r.due.Before(now.Add(-scheduleBehind)) || r.due.After(now.Add(scheduleAhead))) {
			continue
		}
		if r.Kind == api.RivalPredictive {
			predictive = true
			if g.PredictedCapacity != nil {
				r.Detail += fmt.Sprintf(", and wants %d now", *g.PredictedCapacity)
			}
		}
		c.Rivals = append(c.Rivals, r.Rival)
	}
	if g.PredictedCapacity != nil && !predictive && !t.policies.complete {
		c.Rivals = append(c.Rivals, api.Rival{Kind: api.RivalPredictive,
			Detail: fmt.Sprintf("a predictive policy forecasts %d; whether it also scales has not been read yet", *g.PredictedCapacity)})
	}
	if s := t.known[name]; s != nil {
		if s.refresh != "" {
			c.Rivals = append(c.Rivals, api.Rival{Kind: api.RivalRefresh, Detail: s.refresh})
		}
		if lacks(*c) {
			c.LaunchError = s.launchError
		}
	}
}

// lacks reports whether a group has fewer instances than it is meant to have.
func lacks(c api.Capacity) bool { return c.InService+c.Pending < c.Desired }

// readPolicies reads one page of the scaling policies of the account and region.
func (t *Target) readPolicies(ctx context.Context, token *string) (map[string][]rival, *string, error) {
	out, err := t.client.DescribePolicies(ctx, &autoscaling.DescribePoliciesInput{MaxRecords: aws.Int32(maxNames), NextToken: token}, once)
	if err != nil {
		return nil, nil, fmt.Errorf("describe policies: %w", err)
	}
	found := map[string][]rival{}
	for _, p := range out.ScalingPolicies {
		if r, ok := policyRival(p); ok {
			group := aws.ToString(p.AutoScalingGroupName)
			found[group] = append(found[group], r)
		}
	}
	return found, out.NextToken, nil
}

// policyRival returns what a policy is to us; ok is false for one that changes
// nothing.
func policyRival(p types.ScalingPolicy) (_ rival, ok bool) {
	r := rival{name: aws.ToString(p.PolicyName), needs: processAlarms}
	r.Kind = api.RivalTracking
	switch kind := aws.ToString(p.PolicyType); kind {
	case "PredictiveScaling":
		r.Kind, r.needs = api.RivalPredictive, ""
		if c := p.PredictiveScalingConfiguration; c == nil || c.Mode != types.PredictiveScalingModeForecastAndScale {
			return r, false // the default is to forecast only
		}
		r.Detail = fmt.Sprintf("predictive policy %q scales by its own forecast", r.name)
	case "TargetTrackingScaling":
		r.Detail = fmt.Sprintf("target tracking policy %q", r.name)
		if c := p.TargetTrackingConfiguration; c != nil {
			metric := "a metric of its own"
			if m := c.PredefinedMetricSpecification; m != nil {
				metric = string(m.PredefinedMetricType)
			}
			r.Detail += fmt.Sprintf(" holds %s at %g", metric, aws.ToFloat64(c.TargetValue))
			if aws.ToBool(c.DisableScaleIn) {
				r.Detail += ", never removing any"
			}
		}
	default:
		r.Detail = fmt.Sprintf("policy %q (%s) follows its alarms", r.name, kind)
	}
	return r, p.Enabled == nil || *p.Enabled
}

// readScheduled reads one page of the scheduled actions of the account and region.
func (t *Target) readScheduled(ctx context.Context, token *string) (map[string][]rival, *string, error) {
	out, err := t.client.DescribeScheduledActions(ctx, &autoscaling.DescribeScheduledActionsInput{MaxRecords: aws.Int32(maxNames), NextToken: token}, once)
	if err != nil {
		return nil, nil, fmt.Errorf("describe scheduled actions: %w", err)
	}
	found := map[string][]rival{}
	for _, a := range out.ScheduledUpdateGroupActions {
		r := rival{name: aws.ToString(a.ScheduledActionName), needs: processScheduled, due: aws.ToTime(a.StartTime).UTC()}
		var sets []string
		for _, f := range []struct {
			name  string
			value *int32
		}{{"minimum", a.MinSize}, {"maximum", a.MaxSize}, {"desired capacity", a.DesiredCapacity}} {
			if f.value != nil {
				sets = append(sets, fmt.Sprintf("%s %d", f.name, *f.value))
			}
		}
		if r.due.IsZero() || len(sets) == 0 {
			continue // it changes nothing
		}
		r.Rival = api.Rival{Kind: api.RivalSchedule, Detail: fmt.Sprintf("scheduled action %q sets %s at %s", r.name, strings.Join(sets, ", "), r.due.Format(time.RFC3339))}
		if cron := aws.ToString(a.Recurrence); cron != "" {
			r.Detail += " (" + cron + ")"
		}
		group := aws.ToString(a.AutoScalingGroupName)
		found[group] = append(found[group], r)
	}
	return found, out.NextToken, nil
}

// underWay are the states in which a refresh replaces instances, or is about to.
var underWay = []types.InstanceRefreshStatus{
	types.InstanceRefreshStatusPending, types.InstanceRefreshStatusInProgress, types.InstanceRefreshStatusCancelling,
	types.InstanceRefreshStatusRollbackInProgress, types.InstanceRefreshStatusBaking,
}

// readRefresh returns what an instance refresh of a group is doing; "": there is
// none. The newest comes first, and only one can be under way.
func (t *Target) readRefresh(ctx context.Context, group string) (string, error) {
	out, err := t.client.DescribeInstanceRefreshes(ctx, &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: &group, MaxRecords: aws.Int32(1)}, once)
	if err != nil {
		return "", fmt.Errorf("describe instance refreshes of %q: %w", group, err)
	}
	for _, r := range out.InstanceRefreshes {
		if slices.Contains(underWay, r.Status) {
			return fmt.Sprintf("instance refresh %s is %s: %d %% done, %d instances to go", aws.ToString(r.InstanceRefreshId), r.Status,
				aws.ToInt32(r.PercentageComplete), aws.ToInt32(r.InstancesToUpdate)), nil
		}
	}
	return "", nil
}
