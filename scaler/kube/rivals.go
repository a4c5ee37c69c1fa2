package kube

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/forescale/forescale/api"
)

// autoscaler is the part of a HorizontalPodAutoscaler (autoscaling/v1, which every
// cluster serves) that is used here.
type autoscaler struct {
	Metadata struct {
		Name   string `json:"name"`
		Owners []struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"ownerReferences"`
	} `json:"metadata"`
	Spec struct {
		Target struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Name       string `json:"name"`
		} `json:"scaleTargetRef"`
		Min *int `json:"minReplicas"` // nil: 1, says the API
		Max int  `json:"maxReplicas"`
	} `json:"spec"`
}

// scales reports whether the autoscaler's target is r. The version does not count:
// all versions of a group show the same objects.
func (a *autoscaler) scales(r Resource) bool {
	ref := a.Spec.Target
	group, _, grouped := strings.Cut(ref.APIVersion, "/")
	if !grouped {
		group = "" // v1: the core group
	}
	// Autoscalers of old leave the version of their target out.
	return ref.Name == r.Name && (group == r.Group || ref.APIVersion == "") && (ref.Kind == r.Kind || r.Kind == "")
}

func (a *autoscaler) rival(namespace string) api.Rival {
	least := 1
	if a.Spec.Min != nil {
		least = *a.Spec.Min
	}
	detail := fmt.Sprintf("HorizontalPodAutoscaler %s/%s keeps it at %d to %d replicas", namespace, a.Metadata.Name, least, a.Spec.Max)
	for _, o := range a.Metadata.Owners {
		detail += fmt.Sprintf(", on behalf of %s %s", o.Kind, o.Name) // a ScaledObject of KEDA, for example
	}
	return api.Rival{Kind: api.RivalAutoscaler, Detail: detail}
}

// rivals keeps the autoscalers of each namespace.
type rivals struct {
	client     *client
	now        func() time.Time
	permission *permission

	mu   sync.Mutex
	seen map[string]autoscalers // guarded by mu; by namespace
}

type autoscalers struct {
	at    time.Time
	items []autoscaler
}

// fresh is for how long a list of autoscalers is believed. A group is read again
// just before it is changed, and a large fleet's autoscalers are not to be listed
// for each of its groups.
const fresh = time.Minute

func newRivals(c *client, log *slog.Logger, now func() time.Time) *rivals {
	return &rivals{client: c, now: now, seen: map[string]autoscalers{}, permission: &permission{log: log, now: now, denied: map[string]time.Time{},
		lacking: "horizontalpodautoscalers may not be listed: a competing autoscaler goes unnoticed"}}
}

// refresh lists the autoscalers of a namespace, unless that was tried just now.
// After an error those that were seen last still count.
func (v *rivals) refresh(ctx context.Context, namespace string) error {
	now := v.now()
	v.mu.Lock()
	last, ok := v.seen[namespace]
	v.mu.Unlock()
	if age := now.Sub(last.at); ok && age >= 0 && age < fresh || !v.permission.may(namespace) {
		return nil
	}
	var items []autoscaler
	err := list(ctx, v.client, "/apis/autoscaling/v1/namespaces/"+namespace+"/horizontalpodautoscalers", nil, func(a *autoscaler) {
		items = append(items, *a)
	})
	if code(err) == http.StatusForbidden {
		v.permission.deny(namespace, err)
		err = nil
	}
	if err != nil {
		items = last.items
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seen[namespace] = autoscalers{at: now, items: items}
	return err
}

// of returns the rivals of r, as last seen.
func (v *rivals) of(r Resource) []api.Rival {
	v.mu.Lock()
	defer v.mu.Unlock()
	var found []api.Rival
	items := v.seen[r.Namespace].items
	for i := range items {
		if items[i].scales(r) {
			found = append(found, items[i].rival(r.Namespace))
		}
	}
	return found
}
