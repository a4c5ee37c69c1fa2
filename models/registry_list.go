package models

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/forescale/forescale/internal/blob"
)

// Entry is one name of the registry.
type Entry struct {
	Name     string
	Versions []int // those that may serve, ascending; never empty
	Champion int   // the version that serves; 0 when champion.json cannot be read
	Err      error // why Champion is 0
	// Foreign marks a model that did not come from Put: it has no champion.json
	// and no manifest. Its versions are those with a model file, the highest
	// serves, and Get returns it with a manifest that has no Spec.
	Foreign bool
}

// List returns all models with a version that may serve, sorted by name. One
// whose champion.json is damaged does not hide the others.
func (r *Registry) List(ctx context.Context) ([]Entry, error) {
	all, err := r.scanPrefix(ctx, "")
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for name, c := range all {
		if len(c.visible()) == 0 {
			continue
		}
		e := Entry{Name: name, Versions: c.visible(), Foreign: c.foreign()}
		pointer, _, err := r.pointer(ctx, name)
		switch {
		case err == nil || errors.Is(err, blob.ErrNotFound):
			e.Champion = c.serving(pointer.Version)
		case errors.Is(err, ErrNoModel):
			e.Err = err
		default: // the store
			return nil, err
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// contents is what a listing shows of one name.
type contents struct {
	models    []int // versions with a model file, ascending
	manifests []int // versions with a manifest, ascending
	champion  bool
	newest    int   // the highest version with a model file
	size      int64 // of that file, in bytes
	// What tells apart the contents that champion.json and orders.json have had; "":
	// there is no such object.
	pointer, orders string
}

func (c contents) foreign() bool { return !c.champion && len(c.manifests) == 0 && len(c.models) > 0 }

// visible returns the versions that may serve, ascending.
func (c contents) visible() []int {
	if c.foreign() {
		return c.models
	}
	return c.manifests
}

// serving returns the version that serves, 0 for none; pointed is what
// champion.json says, if there is one.
func (c contents) serving(pointed int) int {
	visible := c.visible()
	switch {
	case pointed > 0:
		return pointed
	case c.champion && len(visible) > 0:
		return visible[0]
	}
	return highest(visible)
}

func (r *Registry) scan(ctx context.Context, name string) (contents, error) {
	all, err := r.scanPrefix(ctx, blob.Escape(name)+"/")
	return all[name], err
}

// scanPrefix lists the registry under a prefix, by name. Keys that are none of
// ours are passed over.
func (r *Registry) scanPrefix(ctx context.Context, prefix string) (map[string]contents, error) {
	found := map[string]contents{}
	for info, err := range r.store.List(ctx, prefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list the model registry: %w", err)
		}
		parts := strings.Split(info.Key, "/")
		name, err := blob.Unescape(parts[0])
		if err != nil || blob.Escape(name) != parts[0] || checkName(name) != nil || len(parts) < 2 || len(parts) > 3 {
			continue // also a directory that no name leads back to
		}
		c := found[name]
		if len(parts) == 2 {
			switch parts[1] {
			case championFile:
				c.champion, c.pointer = true, info.Version
			case ordersFile:
				c.orders = info.Version
			default:
				continue
			}
			found[name] = c
			continue
		}
		version, err := strconv.Atoi(parts[1])
		if err != nil || version < 1 || strconv.Itoa(version) != parts[1] {
			continue
		}
		switch parts[2] {
		case modelFile:
			if version > c.newest {
				c.newest, c.size = version, info.Size
			}
			c.models = append(c.models, version)
		case manifestFile:
			c.manifests = append(c.manifests, version)
		default:
			continue
		}
		found[name] = c
	}
	for name, c := range found { // keys are in byte order, versions are not: 10 comes before 9
		slices.Sort(c.models)
		slices.Sort(c.manifests)
		found[name] = c
	}
	return found, nil
}

// Names returns the names of all models with a version that may serve, sorted.
func (r *Registry) Names(ctx context.Context) ([]string, error) {
	all, err := r.scanPrefix(ctx, "")
	if err != nil {
		return nil, err
	}
	var names []string
	for name, c := range all {
		if len(c.visible()) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Versions returns the versions of a model that may serve, ascending; none for a
// name that does not exist.
func (r *Registry) Versions(ctx context.Context, name string) ([]int, error) {
	c, err := r.scan(ctx, name)
	return c.visible(), err
}
