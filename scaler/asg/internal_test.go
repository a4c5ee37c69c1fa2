package asg

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/smithy-go"

	"github.com/forescale/forescale/api"
)

var errRate = &smithy.GenericAPIError{Code: "Throttling", Message: "Rate exceeded"}

func TestTheThrottleGivesWayAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := NewThrottle(16)
		for range 5 { // under way at the same time, refused together
			th.learn(errRate)
		}
		if th.Pace() != 8 || th.Refusals() != 5 {
			t.Errorf("after one refusal: pace %g, %d refusals", th.Pace(), th.Refusals())
		}
		for range 20 {
			time.Sleep(calm)
			th.learn(errRate)
		}
		if th.Pace() != 0.25 {
			t.Errorf("pace %g, want the slowest", th.Pace())
		}
		th.learn(errors.New("another fault"))
		if th.Pace() != 0.25 {
			t.Errorf("pace %g after a fault that has nothing to do with it", th.Pace())
		}
		for range 25 {
			th.learn(nil)
		}
		if math.Abs(th.Pace()-8.25) > 1e-9 {
			t.Errorf("pace %g, want half of it back after 25 calls", th.Pace())
		}
		for range 50 {
			th.learn(nil)
		}
		if th.Pace() != 16 {
			t.Errorf("pace %g, want no more than the full one", th.Pace())
		}
	})
}

func TestTheThrottleHoldsItsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th, began := NewThrottle(10), time.Now()
		for range 30 { // a burst of ten, and then ten a second
			if err := th.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 1900*time.Millisecond || took > 2100*time.Millisecond {
			t.Errorf("30 calls in %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := th.wait(ctx); !errors.Is(err, errPaced) || ctx.Err() != nil {
			t.Errorf("a call that would come too late: %v, %v", err, ctx.Err())
		}
	})
}

// The warm pool is reported by its size; an instance of it that is listed all the
// same is in no other count.
func TestLifecycleStatesAreCounted(t *testing.T) {
	g := types.AutoScalingGroup{DesiredCapacity: aws.Int32(3), MinSize: aws.Int32(1), MaxSize: aws.Int32(9)}
	for _, s := range types.LifecycleState("").Values() {
		g.Instances = append(g.Instances, types.Instance{LifecycleState: s, ProtectedFromScaleIn: aws.Bool(true)})
	}
	want := api.Capacity{
		InService: 1, Protected: 1, Desired: 3, Min: 1, Max: 9,
		Pending: 3, // Pending, Pending:Wait, Pending:Proceed
		Warm:    7, // Warmed:Pending, :Wait, :Proceed, :Retained, Warmed:Stopped, :Running, :Hibernated
	}
	if got := capacity(g); got.InService != want.InService || got.Pending != want.Pending || got.Protected != want.Protected || got.Warm != want.Warm {
		t.Errorf("got %+v, want %+v", got, want)
	}
	g.WarmPoolSize = aws.Int32(12)
	if got := capacity(g); got.Warm != 12 {
		t.Errorf("warm %d, want the size of the pool", got.Warm)
	}
}

// What a page shows counts at once, what is gone is forgotten at the end of a pass,
// and a pass whose token is refused begins again.
func TestASweepGoesOnWhereItStopped(t *testing.T) {
	page := func(group, name, detail string) map[string][]rival {
		return map[string][]rival{group: {{name: name, Rival: api.Rival{Detail: detail}}}}
	}
	details := func(s *sweep, group string) (out string) {
		for _, r := range s.of(group) {
			out += r.Detail
		}
		return out
	}
	var s sweep
	if s.turn(page("a", "p", "1"), aws.String("more")) || details(&s, "a") != "1" || s.complete {
		t.Errorf("first page: %q", details(&s, "a"))
	}
	if !s.turn(page("b", "q", "2"), nil) || details(&s, "a") != "1" || details(&s, "b") != "2" || !s.complete || s.token != nil {
		t.Errorf("first pass: %q %q", details(&s, "a"), details(&s, "b"))
	}
	s.turn(page("b", "q", "3"), aws.String("more"))
	if details(&s, "a") != "1" || details(&s, "b") != "3" {
		t.Errorf("during the second pass: %q %q", details(&s, "a"), details(&s, "b"))
	}
	s.restart()
	if details(&s, "b") != "2" || s.token != nil {
		t.Errorf("given up: %q", details(&s, "b"))
	}
	for range maxSweepPages {
		s.turn(page("b", "q", "4"), aws.String("again"))
	}
	if s.token != nil || len(s.next) != 0 || details(&s, "b") != "2" {
		t.Errorf("after pages without end: %d groups, %q", len(s.next), details(&s, "b"))
	}
	s.turn(page("b", "q", "3"), nil)
	if details(&s, "a") != "" || details(&s, "b") != "3" {
		t.Errorf("second pass: %q %q", details(&s, "a"), details(&s, "b"))
	}
}

func TestFailuresAreSortedByTheirWords(t *testing.T) {
	for message, want := range map[string]string{
		"":                                   "the provider gives no reason",
		"Invalid IAM  Instance\nProfile":     "Invalid IAM Instance Profile",
		"InsufficientInstanceCapacity: none": "lack of capacity: InsufficientInstanceCapacity: none",
		"There is no Spot capacity available that matches your request.":     "lack of capacity: There is no Spot capacity available that matches your request.",
		"Max spot instance count exceeded: MaxSpotInstanceCountExceeded":     "lack of quota: Max spot instance count exceeded: MaxSpotInstanceCountExceeded",
		"You have requested more vCPU capacity than your current vCPU limit": "lack of quota: You have requested more vCPU capacity than your current vCPU limit",
	} {
		if got := reason(message); got != want {
			t.Errorf("%q: %q, want %q", message, got, want)
		}
	}
	long := make([]byte, 0, 1000)
	for range 333 {
		long = append(long, "€"...)
	}
	if got := reason(string(long)); len(got) > maxReason || len(got)%3 != 0 {
		t.Errorf("%d bytes of a long reason", len(got))
	}
}
