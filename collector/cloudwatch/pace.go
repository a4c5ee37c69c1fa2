package cloudwatch

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go/middleware"
	"golang.org/x/time/rate"
)

// What CloudWatch allows an account and region, by its published quotas: 50 calls
// of GetMetricData a second, and 180,000 points a second for ranges that begin in
// the last three hours, 396,000 for older ones.
const (
	quotaCalls   = 50
	recentRange  = 3 * time.Hour
	recentPoints = 150_000 // a second: the quota, less some for others
	olderPoints  = 330_000
)

// describePace is that of the calls that find groups, a second. Auto Scaling has
// one allowance for all who call it, and the scaler needs it more.
const describePace = 10

// pace is the token bucket of an account and region. It bounds the calls that are
// sent, tries included, and the points that they may bring; both with bursts of a
// second's worth. That CloudWatch may allow less at times is left to the SDK's
// adaptive retries. It is safe for concurrent use.
type pace struct {
	calls, points *rate.Limiter
	describes     *rate.Limiter
}

func newPace(callsPerSecond float64) *pace {
	return &pace{
		calls:     rate.NewLimiter(rate.Limit(callsPerSecond), max(1, int(callsPerSecond))),
		points:    rate.NewLimiter(recentPoints, recentPoints),
		describes: rate.NewLimiter(describePace, describePace),
	}
}

// waitPoints blocks until a call that may bring so many points can be made. old
// says that its range begins more than recentRange ago.
func (p *pace) waitPoints(ctx context.Context, points int, old bool) error {
	if old {
		points = points * recentPoints / olderPoints
	}
	return held(p.points.WaitN(ctx, min(points, recentPoints)))
}

// held explains an error of a limiter: waiting was in vain.
func held(err error) error {
	if err != nil {
		return fmt.Errorf("held back, so as not to exceed the pace of calls: %w", err)
	}
	return nil
}

// calls counts the attempts of all clients of a source. It is safe for concurrent
// use.
type calls struct{ made, throttled atomic.Int64 }

// throttles are the errors by which AWS says that there were too many calls.
var throttles = retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}

// attach returns what puts a limiter, and the deadline of an attempt unless 0,
// behind the SDK's retries, so that each attempt that is sent passes it and is
// counted.
func attach(limiter *rate.Limiter, timeout time.Duration, count *calls) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("Pace", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
			middleware.FinalizeOutput, middleware.Metadata, error,
		) {
			if err := held(limiter.Wait(ctx)); err != nil {
				return middleware.FinalizeOutput{}, middleware.Metadata{}, err
			}
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			count.made.Add(1)
			out, meta, err := next.HandleFinalize(ctx, in)
			if err != nil && throttles.IsErrorThrottle(err) == aws.TrueTernary {
				count.throttled.Add(1)
			}
			return out, meta, err
		}), "Signing", middleware.Before)
	}
}

// Paces holds the token buckets of accounts and regions. Sources that share it
// keep to one pace together.
type Paces struct {
	mu   sync.Mutex
	held map[[2]string]*pace // by account number ("": the default credentials' own) and region
}

// of returns the bucket of an account and region. Of several paces that are asked
// for, the slowest one counts.
func (p *Paces) of(number, region string, callsPerSecond float64) *pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil {
		p.held = map[[2]string]*pace{}
	}
	key := [2]string{number, region}
	switch have := p.held[key]; {
	case have == nil:
		p.held[key] = newPace(callsPerSecond)
	case rate.Limit(callsPerSecond) < have.calls.Limit():
		have.calls.SetLimit(rate.Limit(callsPerSecond))
		have.calls.SetBurst(max(1, int(callsPerSecond)))
	}
	return p.held[key]
}
