package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/scaler/asg"
)

const (
	// groupsAsked is the most names that one DescribeAutoScalingGroups takes.
	groupsAsked = 100
	// groupsProbed is for how many groups of an account and region the permission to
	// set a size is looked for: one call each, of the allowance that all share.
	groupsProbed = 50
	// impossible is a size that no group can have, for its minimum is never negative:
	// AWS looks at the permission first, and then refuses the number.
	impossible = -1
)

// realm is an account, by its name in the configuration, and a region.
type realm struct{ account, region string }

// String names the realm in findings.
func (r realm) String() string {
	return cmp.Or(r.account, "our own account") + ", " + cmp.Or(r.region, "default region")
}

// realms returns the Auto Scaling Groups of the configuration by where they live.
func (d *doctor) realms() (order []realm, members map[realm][]scaler.Group) {
	members = map[realm][]scaler.Group{}
	for _, g := range d.scaling.Groups {
		if driver, _ := g.Route(); driver != "asg" {
			continue
		}
		r := realm{g.Account, cmp.Or(g.Region, d.common.AWS.Accounts[g.Account].Region, d.common.AWS.Region)}
		if members[r] == nil {
			order = append(order, r)
		}
		members[r] = append(members[r], g)
	}
	return order, members
}

// provider looks, in each account and region, who we are, what we may do, and what
// time it is there.
func (d *doctor) provider(ctx context.Context, s *section) {
	order, members := d.realms()
	for _, r := range order {
		account := d.common.AWS.Accounts[r.account]
		client, err := asg.NewClient(ctx, asg.Config{Region: r.region, Endpoint: d.common.AWS.AutoScalingEndpoint,
			Role: account.Role, ExternalID: account.ExternalID, STSEndpoint: d.common.AWS.STSEndpoint}, d.quiet)
		if err == nil {
			var held aws.Credentials
			if held, err = client.Options().Credentials.Retrieve(ctx); err == nil {
				s.ok("found", "%s: there are some, from %s", r, cmp.Or(held.Source, "the SDK's default chain"))
			}
		}
		if err != nil {
			do := "give this user credentials: a role of the machine or the pod, AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
			if account.Role != "" {
				do = "let our own credentials assume it (sts:AssumeRole on " + account.Role + "), and the role trust them, with the same external_id"
			}
			s.tell(levelError, "credentials", fmt.Sprintf("%s: %v", r, err), "Its groups can neither be seen nor scaled.", do)
			continue
		}
		visit{d, s, r, client}.permissions(ctx, members[r])
	}
}

// visit is a look around in one realm.
type visit struct {
	*doctor
	s      *section
	realm  realm
	client *autoscaling.Client
}

// permissions tries each call that the scaler makes, as a reader or in vain.
func (v visit) permissions(ctx context.Context, groups []scaler.Group) {
	if !v.describe(ctx, groups) {
		return
	}
	_, first := groups[0].Route()
	one := aws.Int32(1)
	for _, call := range []struct {
		action, without string
		do              func() error
	}{
		{"DescribePolicies", "scaling policies that work against us are not seen", func() error {
			_, err := v.client.DescribePolicies(ctx, &autoscaling.DescribePoliciesInput{MaxRecords: one})
			return err
		}},
		{"DescribeScheduledActions", "scheduled actions are not seen", func() error {
			_, err := v.client.DescribeScheduledActions(ctx, &autoscaling.DescribeScheduledActionsInput{MaxRecords: one})
			return err
		}},
		{"DescribeInstanceRefreshes", "an instance refresh is not seen", func() error {
			_, err := v.client.DescribeInstanceRefreshes(ctx, &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: &first, MaxRecords: one})
			return err
		}},
		{"DescribeScalingActivities", "why launches fail, and how long they take, is not known", func() error {
			_, err := v.client.DescribeScalingActivities(ctx, &autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: &first, MaxRecords: one})
			return err
		}},
	} {
		if err := call.do(); denied(err) {
			v.s.tell(levelWarning, "permission", fmt.Sprintf("%s: autoscaling:%s is refused: %v", v.realm, call.action, err),
				"The scaler works, but "+call.without+".", "allow autoscaling:"+call.action+" on all resources to the scaler's role")
		} else if err != nil && code(err) != "ValidationError" { // the first group may not exist, which is told elsewhere
			v.s.tell(levelWarning, "permission", fmt.Sprintf("%s: autoscaling:%s: %v", v.realm, call.action, err), "Whether it is permitted is not known.", "try again; if it goes on, ask AWS by its request id")
		}
	}
	v.setting(ctx, groups)
}

// describe reads the groups as the scaler does at each tick, and notes them for the
// examination of groups. It reports whether that is permitted.
func (v visit) describe(ctx context.Context, groups []scaler.Group) bool {
	timed := false
	for batch := range slices.Chunk(groups, groupsAsked) {
		ours := map[string]string{} // by the provider's name
		var names []string
		for _, g := range batch {
			_, name := g.Route()
			ours[name], names = g.Name, append(names, name)
		}
		pages := autoscaling.NewDescribeAutoScalingGroupsPaginator(v.client, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: names, MaxRecords: aws.Int32(groupsAsked)})
		for pages.HasMorePages() {
			out, err := pages.NextPage(ctx)
			if err != nil {
				v.refused(err)
				return false
			}
			if !timed {
				v.skew(v.s, "AWS ("+v.realm.String()+")", v.ahead(out.ResultMetadata), time.Second)
				timed = true
			}
			if v.seen == nil {
				v.seen = map[string]types.AutoScalingGroup{}
			}
			for _, g := range out.AutoScalingGroups {
				v.seen[ours[aws.ToString(g.AutoScalingGroupName)]] = g
			}
		}
	}
	return true
}

// ahead returns how far the provider's clock is ahead of ours, by the header Date of
// an answer; nil when it has none.
func (v visit) ahead(answer middleware.Metadata) *time.Duration {
	at, ok := awsmiddleware.GetServerTime(answer)
	if !ok {
		return nil
	}
	ahead := at.Sub(v.now())
	return &ahead
}

// refused tells why groups cannot be read.
func (v visit) refused(err error) {
	found, means := fmt.Sprintf("%s: %v", v.realm, err), "Its groups can neither be seen nor scaled."
	switch c := code(err); {
	case denied(err):
		v.s.tell(levelError, "permission", found, means, "allow autoscaling:DescribeAutoScalingGroups on all resources to the scaler's role")
	case slices.Contains([]string{"InvalidClientTokenId", "ExpiredToken", "ExpiredTokenException", "SignatureDoesNotMatch", "UnrecognizedClientException", "InvalidSignatureException"}, c):
		v.s.tell(levelError, "credentials", found, means, "the credentials are not valid here, or no longer: renew them; look at the clock too")
	default:
		v.s.tell(levelError, "reachable", found, means, "look at aws.region and the way out: a proxy, a security group, a VPC endpoint for autoscaling")
	}
}

// setting looks whether sizes could be set, by one that no group can have.
func (v visit) setting(ctx context.Context, groups []scaler.Group) {
	allowed := 0
	for i, g := range groups {
		if i == groupsProbed {
			v.s.tell(levelNote, "permission", fmt.Sprintf("%s: autoscaling:SetDesiredCapacity was tried for the first %d groups only", v.realm, groupsProbed), "")
			break
		}
		if _, there := v.seen[g.Name]; !there {
			continue
		}
		_, name := g.Route()
		_, err := v.client.SetDesiredCapacity(ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: &name, DesiredCapacity: aws.Int32(impossible), HonorCooldown: aws.Bool(false)})
		l := levelWarning // it would not do for going live
		if g.Mode == api.ModeLive {
			l = levelError
		}
		switch {
		case denied(err):
			v.s.group(l, "permission", g.Name, fmt.Sprintf("autoscaling:SetDesiredCapacity is refused: %v", err), "The scaler cannot change its size.",
				"allow autoscaling:SetDesiredCapacity on the group to the scaler's role; where that goes by a tag, tag the group")
		case code(err) == "ValidationError":
			allowed++
		default:
			v.s.group(levelWarning, "permission", g.Name, fmt.Sprintf("autoscaling:SetDesiredCapacity: %v", err), "Whether its size may be changed is not known.", "try again")
		}
	}
	if allowed > 0 {
		v.s.ok("permission", "%s: the sizes of %s may be read and set", v.realm, counted(allowed, "group"))
	}
}

// code returns the provider's code of an error; "" when it did not answer with one.
func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

// denied reports whether the provider says that we may not.
func denied(err error) bool {
	c := code(err)
	return strings.HasPrefix(c, "AccessDenied") || strings.HasPrefix(c, "Unauthorized") || c == "NotAuthorized"
}
