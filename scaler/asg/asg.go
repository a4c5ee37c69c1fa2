package asg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/smithy-go/middleware"
	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler"
)

const (
	// maxNames is the most names, and records, that a describe call takes.
	maxNames = 100
	// maxPages bounds the pages of a describe call: a provider whose tokens never
	// end must not hold a tick.
	maxPages = 100
	// parallel describe calls. All calls of an account and region share one
	// throttle, so more would only be refused.
	parallel = 4
	// patience is how often a batch of groups is asked for while the provider
	// throttles, each time with all of the SDK's attempts.
	patience = 5
)

// Target scales the Auto Scaling Groups of one account and region.
type Target struct {
	client   *autoscaling.Client
	throttle *Throttle
	budget   int // calls of a look at the rivals, and of a reading of launches

	mu        sync.Mutex // guards everything below; never held over a call
	known     map[string]*sighting
	looking   bool      // a look is under way
	looked    time.Time // when the last look began, by the provider's clock
	looks     int       // that have begun
	covered   int       // groups known to the last look
	policies  sweep
	scheduled sweep
	starts    starts
}

var (
	_ scaler.Target   = (*Target)(nil)
	_ scaler.Launches = (*Target)(nil)
)

// Capacities implements scaler.Target. Names are asked for in batches; a batch
// that fails costs no other its answer, and one that is throttled is asked for
// again until ctx ends. Now and then it also looks at the rivals of the groups
// (package comment), for at most a third of the time that ctx leaves.
func (t *Target) Capacities(ctx context.Context, groups []string) (map[string]api.Capacity, error) {
	seen := make(map[string]types.AutoScalingGroup, len(groups))
	var now time.Time // by the provider's clock
	var mu sync.Mutex // guards seen, now and faults
	var faults []error
	var calls errgroup.Group
	calls.SetLimit(parallel)
	for batch := range slices.Chunk(groups, maxNames) {
		calls.Go(func() error {
			got, at, err := t.describePatiently(ctx, batch)
			mu.Lock()
			defer mu.Unlock()
			if at.After(now) {
				now = at
			}
			for _, g := range got {
				seen[aws.ToString(g.AutoScalingGroupName)] = g
			}
			if err != nil {
				faults = append(faults, err)
			}
			return nil
		})
	}
	_ = calls.Wait() // faults are collected
	if len(faults) == 0 {
		for _, name := range groups {
			if _, ok := seen[name]; !ok {
				faults = append(faults, fmt.Errorf("asg %q: %w", name, scaler.ErrUnknownGroup))
			}
		}
	}
	found := make(map[string]api.Capacity, len(seen))
	for name, g := range seen {
		found[name] = capacity(g)
	}
	t.look(ctx, now, found)
	for name, g := range seen {
		c := found[name]
		t.annotate(&c, g, now)
		found[name] = c
	}
	return found, errors.Join(faults...)
}

// describePatiently is describe, again and again while the provider throttles and
// ctx lasts: others share the allowance, and their burst passes.
func (t *Target) describePatiently(ctx context.Context, names []string) (groups []types.AutoScalingGroup, at time.Time, err error) {
	for range patience {
		groups, at, err = t.describe(ctx, names)
		if !throttled(err) || ctx.Err() != nil {
			break
		}
	}
	return groups, at, err
}

// describe returns the groups of one batch, as far as they were read, and the time
// of the answer by the provider's clock.
func (t *Target) describe(ctx context.Context, names []string) ([]types.AutoScalingGroup, time.Time, error) {
	in := &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: names, MaxRecords: aws.Int32(maxNames)}
	var groups []types.AutoScalingGroup
	var at time.Time
	for range maxPages {
		out, err := t.client.DescribeAutoScalingGroups(ctx, in)
		if err != nil {
			return groups, at, fmt.Errorf("describe auto scaling groups: %w", err)
		}
		at = serverTime(out.ResultMetadata)
		groups = append(groups, out.AutoScalingGroups...)
		if aws.ToString(out.NextToken) == "" {
			return groups, at, nil
		}
		in.NextToken = out.NextToken
	}
	return groups, at, fmt.Errorf("describe auto scaling groups: no end after %d pages", maxPages)
}

// serverTime returns the time of an answer by the provider's clock, with which the
// times of its activities and scheduled actions are compared.
func serverTime(answer middleware.Metadata) time.Time {
	if at, ok := awsmiddleware.GetServerTime(answer); ok {
		return at.UTC()
	}
	return time.Now().UTC()
}

// warmed begins the lifecycle states of the instances of a warm pool.
const warmed = "Warmed:"

// capacity counts in units of the desired capacity: an instance of a group with
// weights counts for its weight. What stands by, is detached or terminates is in
// no count. The warm pool has its own size and is, as far as it is listed among
// the instances at all, in no other count.
func capacity(g types.AutoScalingGroup) api.Capacity {
	c := api.Capacity{
		Desired: int(aws.ToInt32(g.DesiredCapacity)), Min: int(aws.ToInt32(g.MinSize)), Max: int(aws.ToInt32(g.MaxSize)),
	}
	listed := 0
	for _, i := range g.Instances {
		weight := 1
		if w, err := strconv.Atoi(aws.ToString(i.WeightedCapacity)); err == nil && w > 0 {
			weight = w
		}
		switch state := string(i.LifecycleState); {
		case i.LifecycleState == types.LifecycleStateInService:
			c.InService += weight
			if aws.ToBool(i.ProtectedFromScaleIn) {
				c.Protected += weight
			}
		case strings.HasPrefix(state, string(types.LifecycleStatePending)):
			c.Pending += weight
		case strings.HasPrefix(state, warmed) && !strings.HasPrefix(state, string(types.LifecycleStateWarmedTerminating)) && i.LifecycleState != types.LifecycleStateWarmedTerminated:
			listed++
		}
	}
	c.Warm = max(listed, int(aws.ToInt32(g.WarmPoolSize)))
	return c
}
