package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler/plan"
)

// Difference is one value that a replayed decision has and its record has not, or
// the other way round.
type Difference struct {
	Group string `json:"group"` // api.AllGroups for what concerns the whole tick
	// Field is the path within api.Decision, for example desired or reasons[1].detail.
	Field string `json:"field"`
	// Recorded and Replayed are the values as JSON; empty: there is none.
	Recorded string `json:"recorded"`
	Replayed string `json:"replayed"`
}

// String returns the difference as one sentence.
func (d Difference) String() string {
	value := func(s string) string {
		if s == "" {
			return "nothing"
		}
		return s
	}
	return fmt.Sprintf("%s: %s: recorded is %s, replayed %s", d.Group, d.Field, value(d.Recorded), value(d.Replayed))
}

// Unreplayable says why a decision could not be reached again.
type Unreplayable struct {
	Group string
	Err   error
}

// Error implements error.
func (u *Unreplayable) Error() string { return fmt.Sprintf("group %s: %v", u.Group, u.Err) }

// Unwrap returns the reason.
func (u *Unreplayable) Unwrap() error { return u.Err }

// Replay reaches every decision of a record anew, from the inputs that the record
// has of it, and returns where the results differ, in the order of the record. Two
// values are the same when their JSON is, byte for byte, which for numbers means
// bit for bit. What is compared is the whole of api.Decision but for the time of
// the outcome and what came of carrying it out, which no decision can know.
//
// The error joins one *Unreplayable for each decision that could not be reached
// again, for example because its inputs were not yet recorded then; the others
// are compared all the same. The brake is replayed where the record says that it was
// pulled: what its limit was is known only then.
func Replay(rec api.TickRecord) ([]Difference, error) {
	ds := make([]api.Decision, len(rec.Decisions))
	var faults []error
	failed := map[int]bool{}
	for i, d := range rec.Decisions {
		again, err := decideAgain(rec, d)
		if err != nil {
			faults = append(faults, &Unreplayable{d.Group, err})
			failed[i] = true
			again = unbraked(d) // the brake counts it all the same
		}
		ds[i] = again
	}
	var diffs []Difference
	if rec.Brake != nil {
		found, err := differences(api.AllGroups, rec.Brake, plan.ApplyBrake(rec.Brake.Limit, rec.Tick, rec.Brake.Release, ds))
		for i := range found {
			found[i].Field = join("brake", found[i].Field)
		}
		diffs, faults = append(diffs, found...), append(faults, err)
	}
	for i, d := range rec.Decisions {
		if failed[i] {
			continue
		}
		found, err := differences(d.Group, before(d, ds[i]), before(ds[i], d))
		diffs, faults = append(diffs, found...), append(faults, err)
	}
	return diffs, errors.Join(faults...)
}

// decideAgain returns the decision that plan reaches from a record's inputs.
func decideAgain(rec api.TickRecord, d api.Decision) (api.Decision, error) {
	switch {
	case len(d.Before) == 0:
		return d, errors.New("the record has not the state before the decision")
	case d.Config < 0 || d.Config >= len(rec.Configs):
		return d, fmt.Errorf("the record has no configuration %d", d.Config)
	case !d.Tick.Equal(rec.Tick):
		return d, fmt.Errorf("it is of %s, the record of %s", d.Tick.UTC().Format(time.RFC3339), rec.Tick.UTC().Format(time.RFC3339))
	}
	config := rec.Configs[d.Config]
	if err := plausible(config); err != nil {
		return d, fmt.Errorf("configuration: %w", err)
	}
	var state plan.State
	if err := json.Unmarshal(d.Before, &state); err != nil {
		return d, fmt.Errorf("state before: %w", err)
	}
	return plan.Again(config, d)
}

// unbraked returns a recorded decision as it was before the brake.
func unbraked(d api.Decision) api.Decision {
	if last := len(d.Reasons) - 1; last >= 0 && d.Reasons[last].Rule == plan.RuleBrake {
		d.Desired, d.Reasons = d.Reasons[last].From, d.Reasons[:last:last]
	}
	return d
}

// plausible returns why no decision can be made with a configuration that no
// validation has seen: a record is a file, and plan relies on what it is given.
func plausible(config json.RawMessage) error {
	var g plan.Group
	if err := json.Unmarshal(config, &g); err != nil {
		return err
	}
	const most = 24 * time.Hour
	if g.Step < time.Minute || g.Step > most || min(g.Lead, g.Delay) < 0 || max(g.Lead, g.Delay) > most {
		return fmt.Errorf("a step of %s with a lead time of %s and a delay of %s cannot be", g.Step, g.Lead, g.Delay)
	}
	return nil
}

// before returns a decision as it stood before it was carried out, as far as its
// outcome is concerned: none when there was nothing to carry out, dry-run, or
// empty for an intent. other is what it is compared with.
func before(d, other api.Decision) api.Decision {
	d.Outcome.At = time.Time{}
	switch d.Outcome.Status {
	case api.OutcomeAccepted, api.OutcomeFailed, api.OutcomeSkipped:
		if other.Outcome.Status == "" { // an intent became this
			d.Outcome = api.Outcome{}
		}
	}
	return d
}

// differences compares two values of the same type by their JSON.
func differences(group string, recorded, replayed any) ([]Difference, error) {
	a, err := tree(recorded)
	b, errB := tree(replayed)
	if err := errors.Join(err, errB); err != nil {
		return nil, &Unreplayable{group, err}
	}
	var diffs []Difference
	walk("", a, b, func(path string, a, b any) {
		diffs = append(diffs, Difference{Group: group, Field: path, Recorded: literal(a), Replayed: literal(b)})
	})
	return diffs, nil
}

// tree returns the JSON of a value as maps, slices and literals. Numbers stay as
// they are written.
func tree(v any) (any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var t any
	return t, dec.Decode(&t)
}

// walk reports the smallest parts in which two trees differ. Absent and null are
// the same.
func walk(path string, a, b any, report func(path string, a, b any)) {
	ma, aIsMap := a.(map[string]any)
	mb, bIsMap := b.(map[string]any)
	la, aIsList := a.([]any)
	lb, bIsList := b.([]any)
	switch {
	case aIsMap && bIsMap:
		keys := maps.Clone(ma)
		maps.Copy(keys, mb)
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			walk(join(path, key), ma[key], mb[key], report)
		}
	case aIsList && bIsList:
		for i := range max(len(la), len(lb)) {
			var x, y any
			if i < len(la) {
				x = la[i]
			}
			if i < len(lb) {
				y = lb[i]
			}
			walk(fmt.Sprintf("%s[%d]", path, i), x, y, report)
		}
	case aIsMap || bIsMap || aIsList || bIsList || a != b:
		report(path, a, b)
	}
}

func join(path, key string) string {
	if path == "" || key == "" {
		return path + key
	}
	return path + "." + key
}

// literal returns a part of a tree as JSON again, "" for one that is not there.
func literal(v any) string {
	if v == nil {
		return ""
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(raw)
}
