// Package asg scales EC2 Auto Scaling Groups. It is a scaler.Target and decides
// nothing: it reads sizes, sets absolute desired capacities, and says truthfully
// whether that was accepted.
package asg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/obs"
	"github.com/forescale/forescale/scaler"
)

// Client is the part of the SDK's client that is used here.
type Client interface {
	DescribeAutoScalingGroups(context.Context, *autoscaling.DescribeAutoScalingGroupsInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeAutoScalingGroupsOutput, error)
	SetDesiredCapacity(context.Context, *autoscaling.SetDesiredCapacityInput, ...func(*autoscaling.Options)) (*autoscaling.SetDesiredCapacityOutput, error)
}

const (
	// maxNames is the most names, and records, that a describe call takes.
	maxNames = 100
	// maxPages bounds the pages of a describe call: a provider whose tokens never
	// end must not hold a tick.
	maxPages = 100
	// parallel describe calls. All calls of an account and region share one
	// throttle, so more would only be refused.
	parallel = 4
	// maxAttempts is how often the SDK tries a call that was throttled, met
	// ResourceContention or failed on the way; maxBackoff bounds the waits between.
	maxAttempts = 4
	maxBackoff  = time.Second
)

// Target scales the Auto Scaling Groups of one account and region.
type Target struct{ client Client }

var _ scaler.Target = (*Target)(nil)

// New returns a target over a client.
func New(client Client) *Target { return &Target{client: client} }

// Open returns a target with credentials from the SDK's default chain. The
// region and the endpoint may be empty: the SDK's own are used then. What the SDK
// has to say goes to log, at debug level.
func Open(ctx context.Context, region, endpoint string, log *slog.Logger) (*Target, error) {
	opts := []func(*awsconfig.LoadOptions) error{awsconfig.WithLogger(obs.AWS(log)), awsconfig.WithRetryer(func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = maxAttempts, maxBackoff })
	})}
	if region != "" {
		opts = append(opts, awsconfig.WithRegion(region))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("asg: %w", err)
	}
	if cfg.Region == "" {
		return nil, errors.New("asg: aws.region is not set, neither in the configuration nor in AWS_REGION")
	}
	client := autoscaling.NewFromConfig(cfg, func(o *autoscaling.Options) {
		if endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
	})
	return New(client), nil
}

// Capacities implements scaler.Target. Names are asked for in batches; a batch
// that fails costs no other its answer.
func (t *Target) Capacities(ctx context.Context, groups []string) (map[string]api.Capacity, error) {
	found := make(map[string]api.Capacity, len(groups))
	var mu sync.Mutex // guards found and faults
	var faults []error
	var calls errgroup.Group
	calls.SetLimit(parallel)
	for batch := range slices.Chunk(groups, maxNames) {
		calls.Go(func() error {
			got, err := t.describe(ctx, batch)
			mu.Lock()
			defer mu.Unlock()
			for _, g := range got {
				found[aws.ToString(g.AutoScalingGroupName)] = capacity(g)
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
			if _, ok := found[name]; !ok {
				faults = append(faults, fmt.Errorf("asg %q: %w", name, scaler.ErrUnknownGroup))
			}
		}
	}
	return found, errors.Join(faults...)
}

// describe returns the groups of one batch, as far as they were read.
func (t *Target) describe(ctx context.Context, names []string) ([]types.AutoScalingGroup, error) {
	in := &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: names, MaxRecords: aws.Int32(maxNames)}
	var groups []types.AutoScalingGroup
	for range maxPages {
		out, err := t.client.DescribeAutoScalingGroups(ctx, in)
		if err != nil {
			return groups, fmt.Errorf("describe auto scaling groups: %w", err)
		}
		groups = append(groups, out.AutoScalingGroups...)
		if aws.ToString(out.NextToken) == "" {
			return groups, nil
		}
		in.NextToken = out.NextToken
	}
	return groups, fmt.Errorf("describe auto scaling groups: no end after %d pages", maxPages)
}

// capacity counts in units of the desired capacity: an instance of a group with
// weights counts for its weight.
func capacity(g types.AutoScalingGroup) api.Capacity {
	c := api.Capacity{
		Desired: int(aws.ToInt32(g.DesiredCapacity)), Min: int(aws.ToInt32(g.MinSize)), Max: int(aws.ToInt32(g.MaxSize)),
	}
	for _, i := range g.Instances {
		weight := 1
		if w, err := strconv.Atoi(aws.ToString(i.WeightedCapacity)); err == nil && w > 0 {
			weight = w
		}
		switch state := string(i.LifecycleState); {
		case i.LifecycleState == types.LifecycleStateInService:
			c.InService += weight
		case strings.HasPrefix(state, string(types.LifecycleStatePending)):
			c.Pending += weight
		}
	}
	return c
}

// Scale implements scaler.Target. Cooldowns of the group itself are not
// honoured, because a stuck instance would block every change under them.
//
// When a call ends in an error that leaves its effect open, the group is read:
// if it has the number that was asked for, the answer was lost, and the change
// was accepted.
func (t *Target) Scale(ctx context.Context, group string, desired int) error {
	if desired < 0 || desired > 1<<31-1 {
		return fmt.Errorf("asg %q: desired capacity %d: %w", group, desired, scaler.ErrBounds)
	}
	callCtx, cancel := reserve(ctx)
	_, err := t.client.SetDesiredCapacity(callCtx, &autoscaling.SetDesiredCapacityInput{
		AutoScalingGroupName: aws.String(group), DesiredCapacity: aws.Int32(int32(desired)), HonorCooldown: aws.Bool(false),
	})
	cancel()
	if err == nil {
		return nil
	}
	refusal, final := classify(err)
	if !final {
		// Even a refusal may follow an attempt whose answer was lost.
		if got, readErr := t.describe(ctx, []string{group}); readErr == nil && len(got) == 1 && int(aws.ToInt32(got[0].DesiredCapacity)) == desired {
			return nil
		}
	}
	if refusal != nil {
		return fmt.Errorf("asg %q: set desired capacity to %d: %w: %w", group, desired, refusal, err)
	}
	return fmt.Errorf("asg %q: set desired capacity to %d: %w", group, desired, err)
}

// reserve returns a context that leaves the last third of the time for reading
// the group back.
func reserve(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)*2/3)
}

// classify returns the sentinel of an error with which the provider declined,
// nil when it may have accepted. It is final when no earlier attempt can have
// been accepted either: the request itself is at fault.
func classify(err error) (refusal error, final bool) {
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		return nil, false // no answer
	}
	message := answer.ErrorMessage()
	switch code := answer.ErrorCode(); code {
	case "ValidationError":
		switch {
		case strings.Contains(message, "above max value"), strings.Contains(message, "below min value"):
			return scaler.ErrBounds, true
		case strings.Contains(message, "not found"):
			return scaler.ErrUnknownGroup, true
		}
		return scaler.ErrRefused, true
	case "ScalingActivityInProgress", "ResourceContention":
		return scaler.ErrBusy, false
	default:
		if _, throttled := retry.DefaultThrottleErrorCodes[code]; throttled {
			return scaler.ErrBusy, false
		}
		var response *smithyhttp.ResponseError
		if errors.As(err, &response) && response.HTTPStatusCode()/100 == 4 {
			return scaler.ErrRefused, false // credentials, permissions, …
		}
		return nil, false
	}
}
