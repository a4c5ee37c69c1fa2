package asg

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	"golang.org/x/time/rate"
)

const (
	// DefaultCallsPerSecond is the pace of a Throttle that is not configured. The
	// provider does not publish its own limits; this reads 10,000 groups in five
	// seconds, and gives way when it is too much.
	DefaultCallsPerSecond = 20
	// slowest is the least share of its full pace that a Throttle falls to.
	slowest = 1.0 / 64
	// recovery is the share of the full pace that each accepted call gives back.
	recovery = 1.0 / 50
	// calm is how long after slowing down the next refusal slows it down again:
	// calls under way at the same time are refused together, for one reason.
	calm = time.Second
)

// errPaced says that a call was not sent, because it could not have been before
// its deadline.
var errPaced = errors.New("held back, so as not to exceed the pace of calls")

// Throttle paces the calls to Auto Scaling in one account and region, where the
// provider has one allowance for all calls of everybody. It lets calls pass at its
// full pace, with bursts of one second's worth, until the provider refuses one with
// "Rate exceeded". Then others are at work too: the pace is halved, and recovers
// with the calls that are accepted (additive increase, multiplicative decrease, as
// congestion control does). It is safe for concurrent use.
type Throttle struct {
	full    rate.Limit
	limiter *rate.Limiter

	mu       sync.Mutex
	slowed   time.Time // guarded by mu: when the pace was last halved
	refusals int       // guarded by mu: calls that the provider throttled
}

// NewThrottle returns a throttle with a full pace; 0: DefaultCallsPerSecond.
func NewThrottle(callsPerSecond float64) *Throttle {
	if callsPerSecond <= 0 {
		callsPerSecond = DefaultCallsPerSecond
	}
	full := rate.Limit(callsPerSecond)
	return &Throttle{full: full, limiter: rate.NewLimiter(full, max(1, int(callsPerSecond)))}
}

// Pace returns the calls per second that it lets pass at present.
func (t *Throttle) Pace() float64 { return float64(t.limiter.Limit()) }

// Refusals returns how many calls the provider has throttled so far.
func (t *Throttle) Refusals() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refusals
}

// wait blocks until the next call may be sent. The error wraps errPaced when that
// would be too late for ctx, and nothing is spent.
func (t *Throttle) wait(ctx context.Context) error {
	if err := t.limiter.Wait(ctx); err != nil {
		return fmt.Errorf("%w: %w", errPaced, err)
	}
	return nil
}

// learn takes in how a call ended.
func (t *Throttle) learn(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case throttled(err):
		t.refusals++
		if now := time.Now(); t.slowed.IsZero() || now.Sub(t.slowed) >= calm {
			t.slowed = now
			t.limiter.SetLimit(max(t.full*slowest, t.limiter.Limit()/2))
		}
	case err == nil:
		t.limiter.SetLimit(min(t.full, t.limiter.Limit()+t.full*recovery))
	}
}

// throttled reports whether the provider refused a call because of its rate.
func throttled(err error) bool {
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		return false
	}
	_, yes := retry.DefaultThrottleErrorCodes[answer.ErrorCode()]
	return yes
}

// attempts is what became of the attempts of one call.
type attempts struct {
	open bool // one of them may have had its effect, though its answer is no acceptance
}

type attemptsKey struct{}

// attach puts the throttle behind the SDK's retries and credentials, so that it
// sees every attempt that is sent and not only every call, and enters each into the
// attempts that the context carries.
func (t *Throttle) attach(stack *middleware.Stack) error {
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("Pace", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
		middleware.FinalizeOutput, middleware.Metadata, error,
	) {
		if err := t.wait(ctx); err != nil {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, err
		}
		out, metadata, err := next.HandleFinalize(ctx, in)
		t.learn(err)
		if a, ok := ctx.Value(attemptsKey{}).(*attempts); ok && err != nil && refusal(err) == nil {
			a.open = true
		}
		return out, metadata, err
	}), "Signing", middleware.Before)
}
