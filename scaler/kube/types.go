package kube

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/forescale/forescale/scaler"
)

// types knows the version and the kind of resources that are not Kubernetes' own,
// from the API server's discovery documents. What was found is kept until an
// object of the type is not found.
type types struct {
	client *client
	log    *slog.Logger

	mu    sync.Mutex
	known map[Resource]Resource // guarded by mu; by and without Namespace and Name
}

func typeOf(r Resource) Resource {
	return Resource{Plural: r.Plural, Group: r.Group, Version: r.Version}
}

// resolve returns r with its Version, and its Kind as far as it may be known.
func (t *types) resolve(ctx context.Context, r Resource) (Resource, error) {
	if r.Version != "" && r.Kind != "" {
		return r, nil
	}
	key := typeOf(r)
	t.mu.Lock()
	found, ok := t.known[key]
	t.mu.Unlock()
	if !ok {
		var err error
		if found, err = t.discover(ctx, key); err != nil {
			return r, fmt.Errorf("%s.%s: %w", r.Plural, r.Group, err)
		}
		t.mu.Lock()
		t.known[key] = found
		t.mu.Unlock()
	}
	r.Version, r.Kind = found.Version, found.Kind
	return r, nil
}

// forget makes the next resolve of r's type ask again: it may have moved to
// another version.
func (t *types) forget(r Resource) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key := range t.known {
		if key.Plural == r.Plural && key.Group == r.Group {
			delete(t.known, key)
		}
	}
}

// discover asks the API server. Discovery is open to everybody who is signed in,
// unless the cluster's owner has closed it: a type whose version is configured
// then goes without a kind.
func (t *types) discover(ctx context.Context, r Resource) (Resource, error) {
	if r.Version == "" {
		var group struct {
			Kind      string `json:"kind"`
			Preferred struct {
				Version string `json:"version"`
			} `json:"preferredVersion"`
		}
		switch err := t.client.get(ctx, "/apis/"+r.Group, nil, &group); {
		case code(err) == http.StatusNotFound:
			return r, fmt.Errorf("%w: the cluster has no such API group: %w", scaler.ErrUnknownGroup, err)
		case code(err) == http.StatusForbidden:
			return r, fmt.Errorf("name the version, because the API server may not be asked for it: %w", err)
		case err != nil:
			return r, err
		case group.Kind != "APIGroup" || !version.MatchString(group.Preferred.Version):
			return r, odd("an API group of kind %q and preferred version %q", group.Kind, group.Preferred.Version)
		}
		r.Version = group.Preferred.Version
	}
	var list struct {
		Kind      string `json:"kind"`
		Resources []struct {
			Name       string `json:"name"`
			Namespaced bool   `json:"namespaced"`
			Kind       string `json:"kind"`
		} `json:"resources"`
	}
	switch err := t.client.get(ctx, r.api(), nil, &list); {
	case code(err) == http.StatusForbidden:
		t.log.Warn("discovery is forbidden: an autoscaler of any kind counts as a rival", "resource", r.Plural+"."+r.Group, "err", err)
		return r, nil
	case code(err) == http.StatusNotFound:
		return r, fmt.Errorf("%w: the group has no version %s: %w", scaler.ErrUnknownGroup, r.Version, err)
	case err != nil:
		return r, err
	case list.Kind != "APIResourceList":
		return r, odd("a %q where an APIResourceList belongs", list.Kind)
	}
	scalable, exists := false, false
	for _, x := range list.Resources {
		switch name, sub, _ := strings.Cut(x.Name, "/"); {
		case name != r.Plural || !x.Namespaced:
		case sub == "":
			exists, r.Kind = true, x.Kind
		case sub == "scale":
			scalable = true
		}
	}
	switch {
	case !exists:
		return r, fmt.Errorf("%w: version %s has no such namespaced resource", scaler.ErrUnknownGroup, r.Version)
	case !scalable:
		return r, fmt.Errorf("%w: it has no scale subresource in version %s; another one can be named, as in NAMESPACE/%s.%s/VERSION/NAME",
			scaler.ErrUnknownGroup, r.Version, r.Plural, r.Group)
	}
	return r, nil
}
