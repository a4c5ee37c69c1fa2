package scaler

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/forescale/forescale/models"
)

// planned is what Deps.Flags may offer besides: which flags the calendar has, and
// its hash; calendar.Calendar and calendar.Live do. Other sources of flags are
// taken to know every flag.
type planned interface {
	Flags() []string
	Hash() string
}

// ErrFlagGone means that a model reads a flag of the business calendar that the
// calendar does not have. For the model it would be 0 for ever, whatever is
// planned.
var ErrFlagGone = errors.New("put the flag back, with the value 0 if nothing is planned, or train a model without it (-known)")

// plans is what a tick knows of the calendar.
type plans struct {
	looked bool
	known  []string // sorted; what the calendar has
	hash   string
	all    bool // every flag counts as known
}

// calendar looks at the calendar, once a tick.
func (t *tick) calendar() *plans {
	if p := &t.plans; !p.looked {
		p.looked = true
		switch c, ok := t.deps.Flags.(planned); {
		case ok:
			p.known, p.hash = slices.Sorted(slices.Values(c.Flags())), c.Hash()
		case t.deps.Flags != nil:
			p.all = true
		}
	}
	return &t.plans
}

// flagsKnown returns an ErrFlagGone that names the model and the first of its flags
// that the calendar does not have. That a calendar has changed otherwise is logged,
// once for each model and change: events come and go.
//
// A scaler without a calendar reads the flags that the lake holds, as the training
// of a model did whose manifest names no calendar.
func (t *tick) flagsKnown(m models.Manifest) error {
	p := t.calendar()
	if p.all || t.deps.Flags == nil && m.CalendarHash == "" {
		return nil
	}
	for _, flag := range m.Spec.Future {
		if _, known := slices.BinarySearch(p.known, flag); known {
			continue
		}
		lacks := "the business calendar does not have"
		if t.deps.Flags == nil {
			lacks = "no business calendar is configured to have"
		}
		return fmt.Errorf("model %s version %d knows a flag %q, which %s; %w", m.Name, m.Version, flag, lacks, ErrFlagGone)
	}
	if v := (version{m.Name, m.Version}); m.CalendarHash != "" && p.hash != m.CalendarHash && t.changed[v] != p.hash {
		t.changed[v] = p.hash
		t.deps.Log.Warn("the business calendar is not the one that the model was trained with; its flags are all there",
			"model", m.Name, "version", m.Version, "trained_with", m.CalendarHash, "now", p.hash)
	}
	return nil
}

// CheckFlags returns an ErrFlagGone for each group whose model reads a flag that the
// calendar does not have, before anything is decided. Groups without a model, or
// whose model cannot be read, are passed over: their ticks say so.
func (s *Scaler) CheckFlags(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &tick{Scaler: s}
	t.refresh(ctx, t.predicted())
	var faults []error
	for _, group := range t.predicted() {
		m, known := t.manifests[group]
		if !known {
			continue
		}
		if err := t.flagsKnown(m); err != nil {
			if len(faults) == maxFaults {
				return errors.Join(append(faults, errors.New("and more groups"))...)
			}
			faults = append(faults, fmt.Errorf("group %s: %w", group, err))
		}
	}
	return errors.Join(faults...)
}
