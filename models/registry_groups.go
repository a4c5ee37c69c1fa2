package models

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/internal/blob"
)

// readers is how many models are looked up at once.
const readers = 16

// Known returns a manifest that its owner has read before, if it has: the manifest
// of a version never changes.
type Known func(name string, version int) (Manifest, bool)

// ForGroups answers what ForGroup does for each of the groups, from one reading of
// the registry: one listing, the pointer of each model, and the manifests that are
// not known yet. Every group is in found or, with its error, in failed. known may
// be nil.
//
// Manifests of one version share their memory.
func (r *Registry) ForGroups(ctx context.Context, groups []string, known Known) (found map[string]Manifest, failed map[string]error) {
	found, failed = map[string]Manifest{}, map[string]error{}
	names, err := r.Names(ctx)
	if err != nil {
		for _, group := range groups {
			failed[group] = err
		}
		return found, failed
	}
	champions := make([]Manifest, len(names))
	faults := make([]error, len(names))
	var reads errgroup.Group
	reads.SetLimit(readers)
	for i, name := range names {
		reads.Go(func() error {
			champions[i], faults[i] = r.champion(ctx, name, known)
			return nil // one that cannot be read does not hide the others
		})
	}
	_ = reads.Wait() // the goroutines return nil; their errors are in faults
	serves, all := map[string]int{}, -1
	for i := len(names) - 1; i >= 0; i-- { // the first by name wins
		for _, group := range champions[i].Groups {
			serves[group] = i
		}
		if slices.Contains(champions[i].Groups, AnyGroup) {
			all = i
		}
	}
	for i, name := range names { // the model of the group's own name comes before them
		if slices.Contains(champions[i].Groups, name) || slices.Contains(champions[i].Groups, AnyGroup) {
			serves[name] = i
		}
	}
	unreadable := errors.Join(faults...)
	for _, group := range groups {
		i, ok := serves[group]
		if !ok {
			i = all
		}
		if i >= 0 {
			found[group] = champions[i]
			continue
		}
		failed[group] = errors.Join(unreadable, fmt.Errorf("group %q: %w", group, ErrNoModel))
	}
	return found, failed
}

// champion is Champion, save for what is known.
func (r *Registry) champion(ctx context.Context, name string, known Known) (Manifest, error) {
	if known != nil {
		pointer, _, err := r.pointer(ctx, name)
		if err == nil && pointer.Version > 0 {
			if m, ok := known(name, pointer.Version); ok {
				return m, nil
			}
			return r.Manifest(ctx, name, pointer.Version)
		}
		if err != nil && !errors.Is(err, blob.ErrNotFound) {
			return Manifest{}, err
		}
	}
	return r.Champion(ctx, name)
}
