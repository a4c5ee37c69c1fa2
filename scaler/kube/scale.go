package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/forescale/forescale/scaler"
)

// scaleObject is a Scale (autoscaling/v1).
type scaleObject struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Metadata   objectMeta   `json:"metadata"`
	Spec       *scaleSpec   `json:"spec"`
	Status     *scaleStatus `json:"status,omitempty"`
}

type objectMeta struct {
	Name            string `json:"name"`
	Namespace       string `json:"namespace"`
	UID             string `json:"uid,omitempty"`
	ResourceVersion string `json:"resourceVersion,omitempty"`
}

type scaleSpec struct {
	// Replicas is left out by the API's own encoder when it is zero: a spec without
	// it has none. That is the one place where nothing means zero, and a Scale
	// without a spec is none at all. A custom resource that has no number in it is
	// answered with an error instead.
	Replicas int64 `json:"replicas"`
}

type scaleStatus struct {
	Replicas *int64 `json:"replicas"` // always there
	Selector string `json:"selector"` // of the pods, as in a query; empty: unknown
}

const scaleVersion, scaleKind = "autoscaling/v1", "Scale"

// check returns why an answer is not the Scale of r that it should be.
func (s *scaleObject) check(r Resource) error {
	switch {
	case s.Kind != scaleKind || s.APIVersion != scaleVersion:
		return odd("it is a %q of %q, not a %s of %s", s.Kind, s.APIVersion, scaleKind, scaleVersion)
	case s.Metadata.Name != r.Name || s.Metadata.Namespace != r.Namespace:
		return odd("it is the Scale of %s/%s", s.Metadata.Namespace, s.Metadata.Name)
	case s.Metadata.ResourceVersion == "":
		return odd("a Scale without a resourceVersion")
	case s.Spec == nil:
		return odd("a Scale without a spec")
	case s.Spec.Replicas < 0 || s.Spec.Replicas > limitMaxReplicas:
		return odd("a Scale of %d replicas", s.Spec.Replicas)
	}
	return nil
}

// readScale returns the Scale of r.
func (t *Target) readScale(ctx context.Context, r Resource) (*scaleObject, error) {
	var s scaleObject
	if err := t.client.get(ctx, r.scalePath(), nil, &s); err != nil {
		if code(err) == http.StatusNotFound {
			t.types.forget(r)
		}
		return nil, err
	}
	return &s, s.check(r)
}

// Scale implements scaler.Target. It reads, and writes under the resourceVersion
// that it read, until the API server has taken a side or ctx ends:
//
//	         other number: busy       4xx: refused, for its reason
//	          ▲                        ▲
//	┌──► read ┴─► same as before ─► write ┬─► 2xx: accepted
//	│     └─► as asked for: accepted      │
//	└──────── 409, 429, 5xx, no answer ◄──┘
//
// A write that ended without an answer can still arrive. It can no longer count
// once the object has another resourceVersion, but until then no refusal is
// certain, so none is claimed.
func (t *Target) Scale(ctx context.Context, group string, desired int) error {
	fail := func(err error) error { return fmt.Errorf("kube %q: set replicas to %d: %w", group, desired, err) }
	r, err := ParseName(group)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", scaler.ErrUnknownGroup, err))
	}
	if desired < 0 || desired > t.max {
		return fail(fmt.Errorf("%w: 0 to %d", scaler.ErrBounds, t.max))
	}
	if r, err = t.types.resolve(ctx, r); err != nil {
		return fail(classify(err))
	}
	if err := t.write(ctx, r, int64(desired)); err != nil {
		return fail(err)
	}
	return nil
}

// write makes the change of Scale, and returns nil when it was accepted.
func (t *Target) write(ctx context.Context, r Resource, desired int64) error {
	var before *scaleObject // as read last
	var open string         // the resourceVersion of a write without an answer
	var fault error         // why the last write was not accepted
	verdict := func(err error) error {
		if open != "" {
			return fmt.Errorf("whether it took effect is unknown: %s", err) // no refusal, whatever err is
		}
		return classify(err)
	}
	for n, pause := 0, firstPause; ; n, pause = n+1, 2*pause {
		now, err := t.readScale(ctx, r)
		switch {
		case err != nil:
			return verdict(errors.Join(fault, err))
		case before == nil:
		case now.Spec.Replicas == desired:
			return nil // the answer was lost, or somebody else wants the same
		case now.Spec.Replicas != before.Spec.Replicas:
			return fmt.Errorf("%w: somebody else has changed it from %d to %d just now", scaler.ErrBusy, before.Spec.Replicas, now.Spec.Replicas)
		}
		if now.Metadata.ResourceVersion != open {
			open = ""
		}
		if n == attempts {
			return verdict(fault)
		}
		before = now
		if fault = t.put(ctx, r, now, desired); fault == nil {
			return nil
		}
		if unanswered(fault) {
			open = now.Metadata.ResourceVersion
		}
		if !again(fault) || !t.client.sleep(ctx, wait(fault, pause)) {
			if open == "" {
				return verdict(fault)
			}
			n = attempts - 1 // one more look, no more attempt
		}
	}
}

// put writes a Scale with another number of replicas. It leaves a third of the
// time for reading what came of it.
func (t *Target) put(ctx context.Context, r Resource, s *scaleObject, desired int64) error {
	ctx, cancel := reserve(ctx)
	defer cancel()
	var got scaleObject
	err := t.client.do(ctx, http.MethodPut, r.scalePath(), nil, &scaleObject{
		APIVersion: scaleVersion, Kind: scaleKind, Spec: &scaleSpec{Replicas: desired},
		Metadata: objectMeta{Name: r.Name, Namespace: r.Namespace, UID: s.Metadata.UID, ResourceVersion: s.Metadata.ResourceVersion},
	}, &got)
	if err == nil {
		err = got.check(r)
	}
	if err == nil && got.Spec.Replicas != desired {
		err = fmt.Errorf("%w: it was made %d instead, as an admission webhook may", scaler.ErrRefused, got.Spec.Replicas)
	}
	return err
}

func reserve(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)*2/3)
}

// unanswered reports whether a write may have been, or may yet be, carried out
// although it ended in err.
func unanswered(err error) bool {
	switch c := code(err); {
	case errors.Is(err, scaler.ErrRefused), errors.Is(err, errCredential):
		return false
	case c == 0:
		return true
	default: // a 429 is sent in place of any work
		return c < 400 || c == http.StatusRequestTimeout || c >= 500
	}
}

// again reports whether the write is worth another attempt after err.
func again(err error) bool {
	return !errors.Is(err, scaler.ErrRefused) && (code(err) == http.StatusConflict || unanswered(err) || passing(err))
}

// classify adds the sentinel of an answer with which the API server declined.
// What may have been carried out gets none.
func classify(err error) error {
	s := status(err)
	var why error
	switch {
	case s == nil || errors.Is(err, scaler.ErrRefused) || unanswered(err):
		return err
	case s.Code == http.StatusNotFound:
		why = scaler.ErrUnknownGroup
	case s.Code == http.StatusConflict, s.Code == http.StatusTooManyRequests:
		why = scaler.ErrBusy
	case s.Code == http.StatusUnprocessableEntity && strings.HasSuffix(s.Field, "replicas"):
		why = scaler.ErrBounds
	default: // permissions, admission, …
		why = scaler.ErrRefused
	}
	return fmt.Errorf("%w: %w", why, err)
}
