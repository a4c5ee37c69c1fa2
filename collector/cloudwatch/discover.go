package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
)

// groupsAPI is the part of Auto Scaling's client that finds groups.
type groupsAPI interface {
	DescribeAutoScalingGroups(ctx context.Context, in *autoscaling.DescribeAutoScalingGroupsInput, opts ...func(*autoscaling.Options)) (*autoscaling.DescribeAutoScalingGroupsOutput, error)
}

// balancersAPI is the part of load balancing's client that tells to which load
// balancer a target group belongs.
type balancersAPI interface {
	DescribeTargetGroups(ctx context.Context, in *elasticloadbalancingv2.DescribeTargetGroupsInput, opts ...func(*elasticloadbalancingv2.Options)) (*elasticloadbalancingv2.DescribeTargetGroupsOutput, error)
}

const (
	groupsPage       = 100 // at most, of DescribeAutoScalingGroups
	targetGroupsPage = 400 // at most, of DescribeTargetGroups
	// maxFound bounds the groups, and the target groups, that one search may bring.
	maxFound = 50_000
)

// search looks for groups when that is due; s.mu is held. A place that cannot be
// searched keeps the groups that it had: they are read on, and a warning is logged.
// It is an error as long as it has not been searched at all, because then nobody
// knows what is missing.
func (s *Source) search(ctx context.Context) error {
	now := s.now()
	if len(s.config.Discover) == 0 || !s.searched.IsZero() && now.Sub(s.searched) < s.config.Refresh && !now.Before(s.searched) {
		return nil
	}
	var faults []error
	for _, p := range s.places {
		if len(p.searches) == 0 {
			continue
		}
		found, err := s.look(ctx, p)
		switch {
		case err == nil:
			p.leaving = gone(p.found, found)
			p.found = found
		case p.found == nil:
			faults = append(faults, fmt.Errorf("find groups of %s: %w", p, err))
		default:
			s.log.Warn("cannot look for groups; reading those that are known", "source", s.name, "place", p.String(), "groups", len(p.found), "err", err)
		}
	}
	s.compile()
	if err := errors.Join(faults...); err != nil {
		return err
	}
	s.searched = now
	return nil
}

// gone returns the groups that a search no longer finds. They are read until the
// next one: the last points of a deleted group come late, as all points do.
func gone(before, after []Group) []Group {
	there := map[string]bool{}
	for _, g := range after {
		there[g.AutoScalingGroup] = true
	}
	return slices.DeleteFunc(slices.Clone(before), func(g Group) bool { return there[g.AutoScalingGroup] })
}

// String names the place in messages.
func (p *place) String() string {
	if p.account == "" {
		return p.region
	}
	return "account " + p.account + ", " + p.region
}

// look returns the groups that the searches of a place find; not nil without error.
func (s *Source) look(ctx context.Context, p *place) ([]Group, error) {
	found := []Group{}
	var owners map[string][]string
	for _, d := range p.searches {
		if d.LoadBalancers && owners == nil {
			var err error
			if owners, err = p.loadBalancers(ctx); err != nil {
				return nil, err
			}
		}
		in := &autoscaling.DescribeAutoScalingGroupsInput{
			Filters: d.filters(), MaxRecords: aws.Int32(groupsPage), IncludeInstances: aws.Bool(false),
		}
		for {
			out, err := p.groups.DescribeAutoScalingGroups(ctx, in)
			if err != nil {
				return nil, fmt.Errorf("DescribeAutoScalingGroups: %w", err)
			}
			for _, g := range out.AutoScalingGroups {
				found = append(found, s.describe(d, g, owners))
			}
			if len(found) > maxFound {
				return nil, fmt.Errorf("more than %d groups: narrow discover down by tags", maxFound)
			}
			token := aws.ToString(out.NextToken)
			if token == "" || token == aws.ToString(in.NextToken) {
				break
			}
			in.NextToken = out.NextToken
		}
	}
	return found, nil
}

// filters returns the conditions on tags as Auto Scaling takes them.
func (d Discovery) filters() []types.Filter {
	var list []types.Filter
	for _, key := range slices.Sorted(maps.Keys(d.Tags)) {
		if value := d.Tags[key]; value != "*" {
			list = append(list, types.Filter{Name: aws.String("tag:" + key), Values: []string{value}})
		} else {
			list = append(list, types.Filter{Name: aws.String("tag-key"), Values: []string{key}})
		}
	}
	return list
}

// describe returns a found group as if it had been configured. owners are the
// load balancers of target groups.
func (s *Source) describe(d Discovery, g types.AutoScalingGroup, owners map[string][]string) Group {
	asg := aws.ToString(g.AutoScalingGroupName)
	out := Group{Name: asg, AutoScalingGroup: asg, Account: d.Account, Region: d.Region, Metrics: d.Metrics}
	if d.Name != "" {
		out.Name = strings.ReplaceAll(d.Name, braced(ofGroup), asg)
	}
	if !d.LoadBalancers || len(g.TargetGroupARNs) == 0 {
		return out
	}
	// Of several, one alone would be a part of the requests, and look like the whole.
	if arn := g.TargetGroupARNs[0]; len(g.TargetGroupARNs) == 1 && len(owners[arn]) == 1 {
		out.LoadBalancer, out.TargetGroup = dimensionOf(owners[arn][0]), dimensionOf(arn)
	} else if len(g.TargetGroupARNs) > 1 || len(owners[arn]) > 1 {
		s.log.Warn("a group has several target groups or load balancers; name it under groups with the one to read",
			"source", s.name, "group", out.Name, "target_groups", len(g.TargetGroupARNs))
	}
	return out
}

// loadBalancers returns the names of the load balancers of each target group.
func (p *place) loadBalancers(ctx context.Context) (map[string][]string, error) {
	owners := map[string][]string{}
	in := &elasticloadbalancingv2.DescribeTargetGroupsInput{PageSize: aws.Int32(targetGroupsPage)}
	for {
		out, err := p.balancers.DescribeTargetGroups(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("DescribeTargetGroups: %w", err)
		}
		for _, t := range out.TargetGroups {
			owners[aws.ToString(t.TargetGroupArn)] = t.LoadBalancerArns
		}
		if len(owners) > maxFound {
			return nil, fmt.Errorf("more than %d target groups: name the load balancers under groups", maxFound)
		}
		marker := aws.ToString(out.NextMarker)
		if marker == "" || marker == aws.ToString(in.Marker) {
			return owners, nil
		}
		in.Marker = out.NextMarker
	}
}

// dimensionOf returns what CloudWatch calls a load balancer or target group: the
// last part of its ARN, of a load balancer without the word that says what it is.
func dimensionOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	return strings.TrimPrefix(parts[len(parts)-1], "loadbalancer/")
}

// compile works out the queries of each place; s.mu is held, or nobody else knows
// of s. What the configuration names wins over what was found.
func (s *Source) compile() {
	seen := map[collector.Series]bool{}
	for _, p := range s.places {
		p.queries, _ = queries(p.named, s.definitions) // Validate has seen to the faults
		for _, q := range p.queries {
			seen[q.series] = true
		}
	}
	for _, p := range s.places {
		known := map[string]bool{}
		for _, g := range p.named {
			known[g.autoScalingGroup()] = true
		}
		lacking, clashing := 0, 0
		for _, g := range slices.Concat(p.found, p.leaving) {
			if known[g.AutoScalingGroup] {
				continue
			}
			known[g.AutoScalingGroup] = true
			if g.Name == "" || len(g.Name) > api.MaxNameLen {
				s.log.Warn("a group is left out: its name is empty or too long", "source", s.name, "group", g.AutoScalingGroup)
				continue
			}
			for _, name := range g.metrics() {
				q, err := s.definitions[name].query(name, g)
				switch {
				case err != nil:
					lacking++
				case seen[q.series]:
					clashing++
				default:
					seen[q.series] = true
					p.queries = append(p.queries, q)
				}
			}
		}
		if clashing > 0 {
			s.log.Warn("groups of one name in several places: only the first is read; give discover a name", "source", s.name, "place", p.String(), "series", clashing)
		}
		if lacking > 0 {
			s.log.Info("metrics are left out, because groups lack what they are measured at", "source", s.name, "place", p.String(), "series", lacking)
		}
	}
}
