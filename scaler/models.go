package scaler

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/scaler/plan"
)

// version names one version of a model.
type version struct {
	model  string
	number int
}

// predicted returns the names of the groups that want a forecast.
func (t *tick) predicted() []string {
	var names []string
	for _, g := range t.groups {
		if shadow := t.shadows[g.Name]; g.Signal != plan.SignalObserved || shadow != nil && shadow.Signal != plan.SignalObserved {
			names = append(names, g.Name)
		}
	}
	return names
}

// manifestTicks is for how many ticks a manifest is believed without reading it
// again. A replaced model shows earlier: its server refuses the old windows.
const manifestTicks = 12

// outdated returns the groups whose manifest is to be read at this tick.
func (t *tick) outdated() []string {
	names := t.predicted()
	if t.age++; t.age > manifestTicks || len(t.manifests) == 0 {
		t.age = 0
		return names
	}
	return slices.DeleteFunc(names, func(name string) bool { _, known := t.manifests[name]; return known })
}

// refresh learns which model serves each of the groups. Where that fails, what
// was known before is kept, and used as long as the server accepts it; where
// nothing was known, the fault is returned by group.
func (t *tick) refresh(ctx context.Context, groups []string) map[string]error {
	faults := map[string]error{}
	if len(groups) == 0 {
		return faults
	}
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Deadlines.Specs)
	defer cancel()
	var served []string
	named := map[string][]string{} // in the configuration: groups by model
	for _, name := range groups {
		if model := t.cfg.Groups[t.byName[name]].Model; model != "" {
			named[model] = append(named[model], name)
		} else {
			served = append(served, name)
		}
	}
	found, failed := t.lookUp(ctx, served, named)
	kept := 0
	var first error
	for _, name := range groups {
		m, err := found[name], failed[name]
		if err == nil {
			err = t.sound(m)
		}
		if err == nil {
			t.manifests[name] = m
		} else if _, known := t.manifests[name]; !known {
			faults[name] = err
		} else if kept++; first == nil {
			first = fmt.Errorf("group %s: %w", name, err)
		}
	}
	t.forget()
	if kept > 0 {
		t.deps.Log.Warn("model registry unreadable, the last known models are used", "groups", kept, "err", first)
	}
	return faults
}

// bulkSpecs is what Specs may offer besides: the models of many groups from one
// reading; models.Registry does.
type bulkSpecs interface {
	ForGroups(ctx context.Context, groups []string, known models.Known) (found map[string]models.Manifest, failed map[string]error)
}

// lookUp returns the manifests of groups that are served by what the registry
// says, and of those whose model is named. Each group is in one of the results.
func (t *tick) lookUp(ctx context.Context, served []string, named map[string][]string) (found map[string]models.Manifest, failed map[string]error) {
	found, failed = map[string]models.Manifest{}, map[string]error{}
	specs := t.deps.Specs
	if bulk, ok := specs.(bulkSpecs); ok && len(served) > 0 {
		found, failed = bulk.ForGroups(ctx, served, func(name string, number int) (models.Manifest, bool) {
			m, ok := t.read[version{name, number}]
			return m, ok
		})
		served = nil
	}
	enter := func(group string, m models.Manifest, err error) {
		if err != nil {
			failed[group] = err
		} else {
			found[group] = m
		}
	}
	unset := errors.New("no model registry is configured")
	for _, name := range served {
		if specs == nil {
			enter(name, models.Manifest{}, unset)
			continue
		}
		m, err := specs.ForGroup(ctx, name)
		enter(name, m, err)
	}
	for model, names := range named {
		m, err := models.Manifest{}, unset
		if specs != nil {
			m, err = specs.Champion(ctx, model)
		}
		for _, name := range names {
			enter(name, m, err)
		}
	}
	return found, failed
}

// sound returns why a manifest cannot be worked with. A version is looked at once.
func (t *tick) sound(m models.Manifest) error {
	v := version{m.Name, m.Version}
	if _, known := t.read[v]; known {
		return nil
	}
	if err := m.Spec.Validate(); err != nil {
		return err
	}
	t.read[v] = m
	return nil
}

// forget drops the manifests that serve no group any more.
func (t *tick) forget() {
	used := map[version]bool{}
	for _, m := range t.manifests {
		used[version{m.Name, m.Version}] = true
	}
	for v := range t.read {
		if !used[v] {
			delete(t.read, v)
			delete(t.changed, v)
		}
	}
}

// usable returns why a model's forecasts cannot be acted upon for a group, nil when
// they can.
func (t *tick) usable(group string, m models.Manifest) error {
	switch load := t.load(group); {
	case m.Spec.Target != load:
		return fmt.Errorf("model %s version %d forecasts %s, not %s", m.Name, m.Version, m.Spec.Target, load)
	case m.Spec.Step() != t.step:
		return fmt.Errorf("model %s version %d has a step of %s, not %s", m.Name, m.Version, m.Spec.Step(), t.step)
	}
	return t.flagsKnown(m)
}
