package asg

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/api"
)

const (
	// DefaultLookCalls is the budget of a look, in calls.
	DefaultLookCalls = 100
	// lookEvery is the least time between two looks, by the provider's clock: less
	// than any tick, more than the single readings before each change take.
	lookEvery = 45 * time.Second
	// lookTime bounds a look, besides a third of what the caller's deadline leaves.
	lookTime = 10 * time.Second
	// maxSweepPages bounds a pass over a list of the account, against a provider
	// whose tokens never end.
	maxSweepPages = 10_000
)

// sighting is what is remembered of a group between looks.
type sighting struct {
	read        int    // the look that last read its refresh; 0: none
	desired     int    // desired capacity at the last look
	refresh     string // the instance refresh under way; "": none
	launchError string // why its newest launch failed, when it last lacked instances; "": it did not
}

// sweep reads a list of the whole account page by page, over several looks if need
// be. What a page shows counts at once; what is gone is forgotten when a pass is
// complete.
type sweep struct {
	token    *string
	pages    int                // of the pass under way
	last     map[string][]rival // of the last complete pass, by group
	next     map[string][]rival // of the one under way
	complete bool               // there has been one
}

// of returns what is known of a group; the slice is the caller's.
func (s *sweep) of(group string) []rival {
	out := slices.Clone(s.next[group])
	for _, r := range s.last[group] {
		if !slices.ContainsFunc(out, func(o rival) bool { return o.name == r.name }) {
			out = append(out, r)
		}
	}
	return out
}

// turn enters a page and reports whether the pass is complete.
func (s *sweep) turn(page map[string][]rival, token *string) bool {
	if s.next == nil {
		s.next = map[string][]rival{}
	}
	for group, rs := range page {
		s.next[group] = append(s.next[group], rs...)
	}
	s.pages++
	if s.token = token; aws.ToString(token) != "" {
		if s.pages >= maxSweepPages {
			s.restart()
		}
		return false
	}
	s.last, s.complete = s.next, true
	s.restart()
	return true
}

// restart begins a new pass: the one under way is complete, its token may have
// expired, or its pages do not end.
func (s *sweep) restart() { s.next, s.token, s.pages = nil, nil, 0 }

// look spends one budget of calls on the rivals of the groups, if it is time to.
// Nothing that fails in it matters to the caller: the next look goes on.
func (t *Target) look(ctx context.Context, now time.Time, groups map[string]api.Capacity) {
	suspects, all, due := t.begin(now, groups)
	if !due {
		return
	}
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.looking = false
	}()
	limit := lookTime
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)/3)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	p := &purse{left: t.budget, throttle: t.throttle, refusals: t.throttle.Refusals()}
	share := max(1, t.budget/4)
	t.pass(ctx, p.part(share), &t.policies, t.readPolicies)
	t.pass(ctx, p.part(share), &t.scheduled, t.readScheduled)
	t.visit(ctx, p.part(share), suspects, groups, now)
	t.visit(ctx, p, all, nil, now)
}

// begin enters the groups and decides whether a look is due, and at whom: suspects
// are those that seem to be changed by somebody else or lack instances, all are all
// groups ever read, and both lists begin with who was not looked at for the longest.
func (t *Target) begin(now time.Time, groups map[string]api.Capacity) (suspects, all []string, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name := range groups {
		if t.known[name] == nil {
			t.known[name] = &sighting{desired: -1}
		}
	}
	// A reading of one group just before it is changed is no time to look around,
	// except that the first full reading after it must not be kept from doing so.
	early := now.Sub(t.looked) < lookEvery && !now.Before(t.looked)
	if t.looking || len(groups) == 0 || early && len(t.known) <= t.covered {
		return nil, nil, false
	}
	t.looking, t.looked, t.covered = true, now, len(t.known)
	t.looks++
	for name, s := range t.known {
		c, here := groups[name]
		all = append(all, name)
		if s.refresh != "" || here && (lacks(c) || c.Pending > 0 && c.Desired == s.desired) {
			suspects = append(suspects, name)
		}
		if here {
			s.desired = c.Desired
		}
		if here && !lacks(c) {
			s.launchError = ""
		}
	}
	byAge := func(a, b string) int {
		return cmp.Or(cmp.Compare(t.known[a].read, t.known[b].read), cmp.Compare(a, b))
	}
	slices.SortFunc(suspects, byAge)
	slices.SortFunc(all, byAge)
	return suspects, all, true
}

// pass goes on with a sweep until it is complete or the calls are spent.
func (t *Target) pass(ctx context.Context, p *purse, s *sweep, read func(context.Context, *string) (map[string][]rival, *string, error)) {
	for ctx.Err() == nil && p.spend() {
		t.mu.Lock()
		token := s.token
		t.mu.Unlock()
		page, next, err := read(ctx, token)
		t.mu.Lock()
		if err != nil {
			if token != nil && !throttled(err) && ctx.Err() == nil {
				s.restart()
			}
			t.mu.Unlock()
			return
		}
		done := s.turn(page, next)
		t.mu.Unlock()
		if done {
			return
		}
	}
}

// visit reads the refreshes of groups in the given order until the calls are
// spent, except of those that this look has read already. Where their sizes are
// given, it also reads why launches fail in those that lack instances.
func (t *Target) visit(ctx context.Context, p *purse, names []string, groups map[string]api.Capacity, now time.Time) {
	t.mu.Lock()
	look := t.looks
	t.mu.Unlock()
	var calls errgroup.Group
	calls.SetLimit(parallel)
	for _, name := range names {
		t.mu.Lock()
		read := t.known[name].read == look
		t.mu.Unlock()
		if read {
			continue
		}
		if ctx.Err() != nil || p.empty() {
			break
		}
		calls.Go(func() error {
			if !p.spend() { // now, not before waiting for the others
				return nil
			}
			if refresh, err := t.readRefresh(ctx, name); err == nil {
				t.mu.Lock()
				t.known[name].refresh, t.known[name].read = refresh, look
				t.mu.Unlock()
			}
			if c, here := groups[name]; !here || !lacks(c) || !p.spend() {
				return nil
			}
			if why, err := t.readFailure(ctx, name, now); err == nil {
				t.mu.Lock()
				t.known[name].launchError = why
				t.mu.Unlock()
			}
			return nil
		})
	}
	_ = calls.Wait() // the next look goes on
}

// once makes a call without the SDK's retries: what may wait for the next look
// must not press a provider that throttles.
func once(o *autoscaling.Options) { o.RetryMaxAttempts = 1 }

// purse is what is left of a look's calls. It is empty once the provider has
// throttled anybody.
type purse struct {
	throttle *Throttle
	refusals int // at the beginning of the look
	parent   *purse

	mu   sync.Mutex
	left int
}

// part returns a purse with at most n of the calls.
func (p *purse) part(n int) *purse {
	return &purse{parent: p, left: n}
}

// empty reports whether there is nothing left to spend.
func (p *purse) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left <= 0
}

// spend takes a call and reports whether there was one.
func (p *purse) spend() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left <= 0 {
		return false
	}
	if p.parent != nil {
		if !p.parent.spend() {
			p.left = 0
			return false
		}
	} else if p.throttle.Refusals() > p.refusals {
		p.left = 0
		return false
	}
	p.left--
	return true
}
