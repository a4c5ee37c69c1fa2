package models

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/internal/blob"
)

// Change is a move of the champion: from which version to which, when, by whom and
// why. It is kept beside the manifest of the version that it made champion,
//
//	NAME/VERSION/champion-20260302T120500.000000000Z.json
//
// written before champion.json is moved and never changed. A change that lost its
// compare-and-swap leaves an object too, to which no history leads.
type Change struct {
	Version int       `json:"version"` // the champion from At on
	From    int       `json:"from"`    // the champion before, 0: there was none
	At      time.Time `json:"at"`
	// FromSince is since when From had been champion, which tells its changes apart.
	FromSince time.Time `json:"from_since,omitzero"`
	By        string    `json:"by,omitempty"`  // a person, or a program
	Why       string    `json:"why,omitempty"` // one sentence
	// RollBack is true when Version has been champion before and From disappointed.
	RollBack bool `json:"roll_back,omitempty"`
	// Evidence is what the decision rests on, for example the verdict of models/gate
	// and its input.
	Evidence json.RawMessage `json:"evidence,omitempty"`
}

// ErrNoFormer: there is no version to roll back to.
var ErrNoFormer = errors.New("no former champion to go back to")

const changePrefix, changeStamp = "champion-", "20060102T150405.000000000Z"

// Promote makes version the champion if the champion still is from, see Move.
func (r *Registry) Promote(ctx context.Context, name string, version, from int, at time.Time) error {
	return r.Move(ctx, name, Change{Version: version, From: from, At: at})
}

// Move makes c.Version the champion if the champion still is c.From, as Champion
// tells it, and keeps c as the record of it. ErrConflict: it is another one;
// ErrNoModel: no such version; ErrPinned: c.From is pinned. When c.Version is the champion already, nothing
// happens. The model file is read and checked first, for what is damaged must not
// be promoted. A foreign model has no champion to move.
func (r *Registry) Move(ctx context.Context, name string, c Change) error {
	m, _, err := r.Get(ctx, name, c.Version)
	if err != nil {
		return err
	}
	if m.Spec.Target == "" {
		return fmt.Errorf("model %q: it has no manifests; its highest version serves", name)
	}
	cond := blob.IfAbsent()
	pointer, etag, err := r.pointer(ctx, name)
	if err == nil {
		cond = blob.IfMatch(etag)
	} else if !errors.Is(err, blob.ErrNotFound) {
		return err
	}
	current := pointer.Version
	if current == 0 {
		found, err := r.scan(ctx, name)
		if err != nil {
			return err
		}
		current = found.serving(0)
	}
	switch {
	case pointer.Version == c.Version:
		return nil
	case current != c.From:
		return fmt.Errorf("model %q: champion is version %d, not %d: %w", name, current, c.From, ErrConflict)
	}
	if err := r.mayMove(ctx, name, current); err != nil {
		return err
	}
	c.At, c.FromSince = c.At.UTC(), pointer.Since
	if err := r.record(ctx, name, c); err != nil {
		return err
	}
	raw, err := json.Marshal(Champion{Version: c.Version, Since: c.At, Previous: c.From})
	if err != nil {
		return err
	}
	if _, err = r.store.Put(ctx, championKey(name), raw, cond); errors.Is(err, blob.ErrConflict) {
		return fmt.Errorf("model %q: %w", name, ErrConflict)
	}
	return err
}

// record writes the object of a change.
func (r *Registry) record(ctx context.Context, name string, c Change) error {
	if c.At.IsZero() {
		return fmt.Errorf("model %q: a change of the champion without its time", name)
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("model %q: evidence: %w", name, err)
	}
	if len(raw) > maxManifestSize { // what nobody would read again
		return fmt.Errorf("model %q: the evidence is %d bytes long, at most %d are read", name, len(raw), maxManifestSize)
	}
	_, err = r.store.Put(ctx, changeKey(name, c.Version, c.At), raw, blob.IfAbsent())
	if errors.Is(err, blob.ErrConflict) {
		return fmt.Errorf("model %q: version %d was promoted by another one at the same time: %w", name, c.Version, ErrConflict)
	}
	return err
}

func changeKey(name string, version int, at time.Time) string {
	return versionKey(name, version, changePrefix+at.UTC().Format(changeStamp)+".json")
}

// RollBack makes the champion's predecessor champion again, if the champion still
// is c.From, and returns the change as it was made. c.Version is ignored.
// ErrNoFormer: it has no predecessor, or came back by a roll-back itself, which
// would lead to and fro between two versions.
func (r *Registry) RollBack(ctx context.Context, name string, c Change) (Change, error) {
	pointer, _, err := r.pointer(ctx, name)
	switch {
	case errors.Is(err, blob.ErrNotFound):
		return Change{}, fmt.Errorf("model %q: %w", name, ErrNoModel)
	case err != nil:
		return Change{}, err
	case pointer.Version != c.From:
		return Change{}, fmt.Errorf("model %q: champion is version %d, not %d: %w", name, pointer.Version, c.From, ErrConflict)
	case pointer.Previous == 0:
		return Change{}, fmt.Errorf("model %q: version %d is the first: %w", name, pointer.Version, ErrNoFormer)
	}
	last, err := r.change(ctx, name, pointer.Version, pointer.Since)
	if err != nil && !errors.Is(err, blob.ErrNotFound) {
		return Change{}, err
	}
	if last.RollBack {
		return Change{}, fmt.Errorf("model %q: version %d came back by a roll-back from %d: %w", name, last.Version, last.From, ErrNoFormer)
	}
	c.Version, c.RollBack, c.FromSince = pointer.Previous, true, pointer.Since
	if err := r.Move(ctx, name, c); err != nil {
		return Change{}, err
	}
	c.At = c.At.UTC()
	return c, nil
}

// change reads the record of a change; the error wraps blob.ErrNotFound when there
// is none.
func (r *Registry) change(ctx context.Context, name string, version int, at time.Time) (Change, error) {
	key := changeKey(name, version, at)
	o, err := r.store.Get(ctx, key)
	if err != nil {
		return Change{}, err
	}
	var c Change
	if err := decode(o.Data, &c); err != nil {
		return Change{}, fmt.Errorf("%s: %w", key, err)
	}
	if c.Version != version || !c.At.Equal(at) {
		return Change{}, fmt.Errorf("%s: speaks of version %d at %s", key, c.Version, c.At.UTC().Format(time.RFC3339))
	}
	return c, nil
}

// History returns the changes of a name's champion, the newest first, back to the
// first version, whose change has From 0. It follows champion.json, so that a
// change that lost its compare-and-swap is not in it. Where a record is missing, for
// one that an older program made, By and Why are empty and what lies before it is
// looked for among the records of the version before. ErrNoModel: there is no such
// name, or it is foreign.
func (r *Registry) History(ctx context.Context, name string) ([]Change, error) {
	pointer, _, err := r.pointer(ctx, name)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, fmt.Errorf("model %q: %w", name, ErrNoModel)
	}
	if err != nil {
		return nil, err
	}
	var changes []Change
	type link struct {
		version int
		at      time.Time
	}
	seen := map[link]bool{}
	c := Change{Version: pointer.Version, From: pointer.Previous, At: pointer.Since}
	for c.Version > 0 {
		if c.At.IsZero() && len(changes) > 0 {
			if c.At, err = r.lastBefore(ctx, name, c.Version, changes[len(changes)-1].At); err != nil {
				return nil, err
			}
		}
		switch found, err := r.change(ctx, name, c.Version, c.At); {
		case err == nil:
			c = found
		case !errors.Is(err, blob.ErrNotFound):
			return nil, err
		}
		if seen[link{c.Version, c.At.UTC()}] { // nothing but tampering leads in a circle
			return changes, fmt.Errorf("model %q: the change to version %d of %s comes before itself", name, c.Version, c.At.UTC().Format(time.RFC3339))
		}
		seen[link{c.Version, c.At.UTC()}] = true
		changes = append(changes, c)
		if c.At.IsZero() {
			break // nothing more is known
		}
		c = Change{Version: c.From, At: c.FromSince}
	}
	return changes, nil
}

// lastBefore returns the time of the last recorded change to a version before a
// moment, zero when there is none.
func (r *Registry) lastBefore(ctx context.Context, name string, version int, before time.Time) (time.Time, error) {
	var times []time.Time
	prefix := versionKey(name, version, changePrefix)
	for info, err := range r.store.List(ctx, prefix, "") {
		if err != nil {
			return time.Time{}, fmt.Errorf("list the model registry: %w", err)
		}
		stamp := strings.TrimSuffix(strings.TrimPrefix(info.Key, prefix), ".json")
		if at, err := time.Parse(changeStamp, stamp); err == nil && at.Before(before) {
			times = append(times, at)
		}
	}
	if len(times) == 0 {
		return time.Time{}, nil
	}
	return slices.MaxFunc(times, time.Time.Compare), nil
}
