package asg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/api"
)

const (
	// maxActivities is the most activities on a page.
	maxActivities = 100
	// launchPages bounds the pages of one group's activities, the newest first.
	launchPages = 3
	// keepLaunches is how many launches of a group are kept, the newest: enough for
	// a 95th percentile, and 30 MB for 10,000 groups.
	keepLaunches = 50
	// failureMemory is how old a failed launch may be to explain why a group lacks
	// instances now. The provider tries again more often than that.
	failureMemory = 6 * time.Hour
	// maxReason bounds the text of a failure, in bytes.
	maxReason = 400
)

// The beginning of a launch activity's description, and what distinguishes the
// starts that have to do with a warm pool. None of it is in the provider's
// reference; it is what the service writes.
const (
	launchPrefix = "Launching a new EC2 instance"
	intoPool     = "into warm pool"
	fromPool     = "from warm pool"
)

// starts is what is remembered of launches.
type starts struct {
	by   map[string][]api.Launch // the newest first
	read map[string]int          // the reading that last asked for a group's
	n    int                     // readings so far
}

// Launches implements scaler.Launches, out of the scaling activities that the
// provider keeps for six weeks: a launch took from StartTime to EndTime, which is
// when the instance was in service, with every lifecycle hook behind it but without
// what the application itself does after that. Launches that somebody cancelled, that
// are under way, or that only filled a warm pool are left out. At most 50 of a group
// are returned, the newest, in order of time.
//
// One call makes at most LookCalls calls of the provider, for the groups in turn,
// and repeats for the others what it found before. A group is thus read again at
// least every ceil(groups/LookCalls) calls, unless the provider throttles, which
// ends the reading. The error says which groups could not be read.
func (t *Target) Launches(ctx context.Context, groups []string, since time.Time) (map[string][]api.Launch, error) {
	order, n := t.turnOf(groups)
	p := &purse{left: t.budget, throttle: t.throttle, refusals: t.throttle.Refusals()}
	faults := make([]error, len(order))
	var calls errgroup.Group
	slots := make(chan struct{}, parallel)
	for i, name := range order {
		slots <- struct{}{}
		// Paid for here, so that the turn is kept to, and only when a slot is free: by
		// then the provider may have throttled the others.
		if ctx.Err() != nil || !p.spend() {
			break
		}
		calls.Go(func() error {
			defer func() { <-slots }()
			found, err := t.readLaunches(ctx, p, name, since)
			if err != nil {
				faults[i] = fmt.Errorf("launches of %q: %w", name, err)
				return nil
			}
			t.mu.Lock()
			defer t.mu.Unlock()
			t.starts.by[name], t.starts.read[name] = found, n
			return nil
		})
	}
	_ = calls.Wait() // faults are collected
	out := map[string][]api.Launch{}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range groups {
		for _, l := range slices.Backward(t.starts.by[name]) {
			if !l.At.Before(since) {
				out[name] = append(out[name], l)
			}
		}
	}
	return out, errors.Join(faults...)
}

// turnOf returns the groups in the order in which they are read, the longest
// unread first, and the number of this reading.
func (t *Target) turnOf(groups []string) ([]string, int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.starts.by == nil {
		t.starts = starts{by: map[string][]api.Launch{}, read: map[string]int{}}
	}
	t.starts.n++
	order := slices.Clone(groups)
	slices.SortFunc(order, func(a, b string) int {
		return cmp.Or(cmp.Compare(t.starts.read[a], t.starts.read[b]), cmp.Compare(a, b))
	})
	return slices.Compact(order), t.starts.n
}

// readLaunches returns the launches of a group since a time, the newest first. Its
// first page is paid for.
func (t *Target) readLaunches(ctx context.Context, p *purse, group string, since time.Time) ([]api.Launch, error) {
	var found []api.Launch
	var token *string
	for range launchPages {
		out, err := t.activities(ctx, group, since, token)
		if err != nil {
			return nil, err
		}
		for _, a := range out.Activities {
			if l, ok := launched(a); ok {
				found = append(found, l)
			}
		}
		if token = out.NextToken; aws.ToString(token) == "" || len(found) >= keepLaunches || !p.spend() {
			break
		}
	}
	slices.SortStableFunc(found, func(a, b api.Launch) int { return b.At.Compare(a.At) })
	return slices.Clone(found[:min(len(found), keepLaunches)]), nil
}

// activities reads a page of a group's scaling activities since a time.
func (t *Target) activities(ctx context.Context, group string, since time.Time, token *string) (*autoscaling.DescribeScalingActivitiesOutput, error) {
	in := &autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: &group, MaxRecords: aws.Int32(maxActivities), NextToken: token}
	if !since.IsZero() {
		in.Filters = []types.Filter{{Name: aws.String("StartTimeLowerBound"), Values: []string{since.UTC().Format(time.RFC3339)}}}
	}
	out, err := t.client.DescribeScalingActivities(ctx, in, once)
	if err != nil {
		return nil, fmt.Errorf("describe scaling activities: %w", err)
	}
	return out, nil
}

// launched returns what a scaling activity says of a launch; ok is false when it
// says nothing, or nothing yet.
func launched(a types.Activity) (_ api.Launch, ok bool) {
	what := aws.ToString(a.Description)
	if !strings.HasPrefix(what, launchPrefix) || strings.Contains(what, intoPool) {
		return api.Launch{}, false
	}
	l := api.Launch{At: aws.ToTime(a.StartTime).UTC(), Warm: strings.Contains(what, fromPool)}
	switch a.StatusCode {
	case types.ScalingActivityStatusCodeSuccessful:
		l.Took = aws.ToTime(a.EndTime).Sub(aws.ToTime(a.StartTime))
		return l, a.EndTime != nil && l.Took >= 0
	case types.ScalingActivityStatusCodeFailed:
		l.Failed = reason(aws.ToString(a.StatusMessage))
		return l, true
	}
	return l, false
}

// readFailure returns why the newest launch of a group failed; "": it did not, or
// that is long ago. Only the newest activities are read.
func (t *Target) readFailure(ctx context.Context, group string, now time.Time) (string, error) {
	out, err := t.activities(ctx, group, now.Add(-failureMemory), nil)
	if err != nil {
		return "", err
	}
	var newest api.Launch
	for _, a := range out.Activities {
		// Of two at the same moment the successful one counts: something does start.
		if l, ok := launched(a); ok && (l.At.After(newest.At) || l.At.Equal(newest.At) && l.Failed == "") {
			newest = l
		}
	}
	return newest.Failed, nil
}

// reason returns the provider's words for a failed launch, led by what they come
// down to where that is known.
func reason(message string) string {
	message = strings.Join(strings.Fields(message), " ")
	if message == "" {
		message = "the provider gives no reason"
	}
	message = strings.ToValidUTF8(message[:min(len(message), maxReason)], "")
	for _, c := range []struct {
		kind  string
		words []string
	}{
		{"quota", []string{"LimitExceeded", "limit exceeded", "vCPU limit", "quota", "MaxSpotInstanceCountExceeded"}},
		{"capacity", []string{"InsufficientInstanceCapacity", "sufficient capacity", "no Spot capacity", "UnfulfillableCapacity"}},
	} {
		if slices.ContainsFunc(c.words, func(w string) bool { return strings.Contains(strings.ToLower(message), strings.ToLower(w)) }) {
			return "lack of " + c.kind + ": " + message
		}
	}
	return message
}
