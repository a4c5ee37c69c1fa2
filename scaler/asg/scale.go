package asg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/forescale/forescale/scaler"
)

// Scale implements scaler.Target. Cooldowns of the group itself are not
// honoured, because a stuck instance would block every change under them.
//
// When the effect of any attempt is open, the group is read: if it has the number
// that was asked for, the answer was lost, and the change was accepted. If it has
// not, or cannot be read, the effect stays open, whatever a later attempt was told.
func (t *Target) Scale(ctx context.Context, group string, desired int) error {
	if desired < 0 || desired > 1<<31-1 {
		return fmt.Errorf("asg %q: desired capacity %d: %w", group, desired, scaler.ErrBounds)
	}
	tries := &attempts{}
	callCtx, cancel := reserve(context.WithValue(ctx, attemptsKey{}, tries))
	_, err := t.client.SetDesiredCapacity(callCtx, &autoscaling.SetDesiredCapacityInput{
		AutoScalingGroupName: aws.String(group), DesiredCapacity: aws.Int32(int32(desired)), HonorCooldown: aws.Bool(false),
	})
	cancel()
	if err == nil {
		return nil
	}
	why := refusal(err)
	if tries.open {
		if got, _, readErr := t.describe(ctx, []string{group}); readErr == nil && len(got) == 1 && int(aws.ToInt32(got[0].DesiredCapacity)) == desired {
			return nil
		}
		why = nil
	}
	if why != nil {
		return fmt.Errorf("asg %q: set desired capacity to %d: %w: %w", group, desired, why, err)
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

// refusal returns the sentinel of an error with which the provider declined a
// change, nil when it may have accepted it.
func refusal(err error) error {
	if errors.Is(err, errPaced) {
		return scaler.ErrBusy
	}
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		return nil // no answer
	}
	message := answer.ErrorMessage()
	switch answer.ErrorCode() {
	case "ValidationError":
		switch {
		case strings.Contains(message, "above max value"), strings.Contains(message, "below min value"):
			return scaler.ErrBounds
		case strings.Contains(message, "not found"):
			return scaler.ErrUnknownGroup
		}
		return scaler.ErrRefused
	case "ScalingActivityInProgress", "ResourceContention":
		return scaler.ErrBusy
	}
	if throttled(err) {
		return scaler.ErrBusy
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.HTTPStatusCode()/100 == 4 {
		return scaler.ErrRefused // credentials, permissions, …
	}
	return nil
}
