package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler"
)

// parallel bounds the calls of one Capacities. API servers share their time out
// fairly between clients (API Priority and Fairness); more would only queue there.
const parallel = 16

// patience bounds the calls for one group, and those for the autoscalers of one
// namespace: what hangs must not use up the time of the others.
const patience = 5 * time.Second

// Target scales the workloads of one cluster.
type Target struct {
	client *client
	max    int // the largest number of replicas
	log    *slog.Logger
	types  *types
	pods   *permission
	rivals *rivals
}

var _ scaler.Target = (*Target)(nil)

func newTarget(c *client, most int, log *slog.Logger) *Target {
	return &Target{
		client: c, max: most, log: log,
		types: &types{client: c, log: log, known: map[Resource]Resource{}},
		pods: &permission{log: log, now: time.Now, denied: map[string]time.Time{},
			lacking: "pods may not be listed: all replicas count as in service, ready or not"},
		rivals: newRivals(c, log, time.Now),
	}
}

// Capacities implements scaler.Target. Groups are read one by one, several at a
// time; one that fails costs no other its answer.
func (t *Target) Capacities(ctx context.Context, groups []string) (map[string]api.Capacity, error) {
	found := make(map[string]api.Capacity, len(groups))
	var f faults
	resources := map[string]Resource{} // by group
	spaces := map[string]bool{}
	for _, group := range groups {
		r, err := ParseName(group)
		if err != nil {
			f.add(fmt.Errorf("kube %w: %w", err, scaler.ErrUnknownGroup))
			continue
		}
		resources[group], spaces[r.Namespace] = r, true
	}
	var lists, calls errgroup.Group
	lists.SetLimit(parallel)
	calls.SetLimit(parallel)
	for space := range spaces {
		lists.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			if err := t.rivals.refresh(ctx, space); err != nil {
				f.add(fmt.Errorf("kube: autoscalers of namespace %s: %w", space, err))
			}
			return nil
		})
	}
	var mu sync.Mutex                 // guards found and resolved
	resolved := map[string]Resource{} // by group
	for group, r := range resources {
		calls.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			r, c, err := t.capacity(ctx, r)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				f.add(fmt.Errorf("kube %q: %w", group, err))
				return nil
			}
			found[group], resolved[group] = c, r
			return nil
		})
	}
	_, _ = calls.Wait(), lists.Wait() // faults are collected
	for group, c := range found {
		c.Rivals = t.rivals.of(resolved[group])
		found[group] = c
	}
	return found, f.err()
}

// faults collects errors of many groups. Most have the same cause when there are
// many, so only the first are kept in full: they go into the audit log.
type faults struct {
	mu   sync.Mutex
	kept []error // guarded by mu
	more int     // guarded by mu
}

const maxFaults = 10

func (f *faults) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.kept) == maxFaults {
		f.more++
		return
	}
	f.kept = append(f.kept, err)
}

func (f *faults) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.more > 0 {
		return errors.Join(append(f.kept, fmt.Errorf("kube: and %d more like these", f.more))...)
	}
	return errors.Join(f.kept...)
}

// capacity reads one group, all but its rivals, and returns it with its type
// resolved.
func (t *Target) capacity(ctx context.Context, r Resource) (Resource, api.Capacity, error) {
	r, err := t.types.resolve(ctx, r)
	if err != nil {
		return r, api.Capacity{}, classify(err)
	}
	s, err := t.readScale(ctx, r)
	if err != nil {
		return r, api.Capacity{}, classify(err)
	}
	c := api.Capacity{Desired: int(s.Spec.Replicas), Max: t.max}
	if s.Status != nil && s.Status.Selector != "" && t.pods.may(r.Namespace) {
		switch err := t.countPods(ctx, r.Namespace, s.Status.Selector, &c); {
		case err == nil:
			return r, c, nil
		case code(err) == http.StatusForbidden:
			t.pods.deny(r.Namespace, err)
		default:
			return r, api.Capacity{}, fmt.Errorf("pods: %w", err)
		}
	}
	return r, c, reported(s, &c)
}

// reported fills in what the Scale itself says of the pods.
func reported(s *scaleObject, c *api.Capacity) error {
	switch st := s.Status; {
	case st == nil || st.Replicas == nil:
		return odd("a Scale whose status has no replicas")
	case *st.Replicas < 0 || *st.Replicas > limitMaxReplicas:
		return odd("a Scale of %d observed replicas", *st.Replicas)
	case *st.Replicas == 0 && st.Selector == "" && s.Spec.Replicas > 0:
		// A custom resource without a status reads like this too.
		return fmt.Errorf("its status says 0 replicas of %d and has no selector: whether there are none, or its controller has not said yet, is unknown", s.Spec.Replicas)
	default:
		c.InService = int(*st.Replicas)
		c.Pending = max(0, c.Desired-c.InService)
		return nil
	}
}

// permission remembers, by namespace, that an optional permission is missing, so
// that not every tick asks in vain, and says so once in a while.
type permission struct {
	log     *slog.Logger
	lacking string // what follows from the lack
	now     func() time.Time

	mu     sync.Mutex
	denied map[string]time.Time // guarded by mu: when, by namespace
}

// askAgain is after what time a permission that was missing is tried again.
const askAgain = 15 * time.Minute

func (p *permission) may(namespace string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, denied := p.denied[namespace]
	return !denied || p.now().Sub(at) >= askAgain || p.now().Before(at)
}

func (p *permission) deny(namespace string, err error) {
	p.mu.Lock()
	_, before := p.denied[namespace]
	p.denied[namespace] = p.now()
	p.mu.Unlock()
	if !before {
		p.log.Info(p.lacking, "namespace", namespace, "err", err)
	}
}
