package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/api"
)

// Group returns what was decided on one group at the given ticks, in their order; a
// tick without a record, or whose record does not know the group, is passed over. Of
// a record only that decision is decoded, so that a fleet of thousands costs little
// more than its bytes. A record that cannot be read is left out and named in the
// error, beside which all others are returned.
func (j *Journal) Group(ctx context.Context, group string, ticks []time.Time) ([]api.Decision, error) {
	found := make([]*api.Decision, len(ticks))
	var mu sync.Mutex
	var faults []error // guarded by mu
	var g errgroup.Group
	g.SetLimit(readers)
	for i, tick := range ticks {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			d, err := j.decision(ctx, group, tick)
			if err != nil {
				mu.Lock()
				faults = append(faults, err)
				mu.Unlock()
			}
			found[i] = d
			return nil // the others shall still be read
		})
	}
	_ = g.Wait() // the goroutines return nil; their faults are in faults
	if ctx.Err() != nil {
		return nil, fmt.Errorf("audit: %w", context.Cause(ctx))
	}
	var decisions []api.Decision
	for _, d := range found {
		if d != nil {
			decisions = append(decisions, *d)
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return decisions, errors.Join(faults...)
}

// decision returns the decision on a group in the record of a tick, nil when there
// is none.
func (j *Journal) decision(ctx context.Context, group string, tick time.Time) (*api.Decision, error) {
	key := j.Key(tick)
	o, err := j.store.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("audit %s: %w", key, err)
	}
	data, err := Unpack(o.Data)
	if err != nil {
		return nil, fmt.Errorf("audit %s: %w", key, err)
	}
	d, at, err := decisionOn(group, data)
	if err != nil {
		return nil, fmt.Errorf("audit %s: %w", key, err)
	}
	if j.Key(at) != key {
		return nil, fmt.Errorf("audit %s: the object is the record of %s", key, at.UTC().Format(time.RFC3339))
	}
	return d, nil
}

// decisionOn returns the decision on a group out of the JSON of a record, nil when
// there is none, and the record's tick. Of a field that is there twice, which no
// version writes, either may count.
func decisionOn(group string, record []byte) (*api.Decision, time.Time, error) {
	var rec struct {
		Tick      time.Time         `json:"tick"`
		Decisions []json.RawMessage `json:"decisions"`
	}
	if err := json.Unmarshal(record, &rec); err != nil {
		return nil, time.Time{}, err
	}
	name, err := json.Marshal(group)
	if err != nil {
		return nil, time.Time{}, err
	}
	first := []byte(`{"group":"`) // as every version has written a decision
	for _, raw := range rec.Decisions {
		if rest, usual := bytes.CutPrefix(raw, first); usual && !bytes.HasPrefix(rest, name[1:]) {
			if end := bytes.IndexAny(rest, `"\`); end >= 0 && rest[end] == '"' { // another one, and not the same in another spelling
				continue
			}
		}
		var head struct {
			Group string `json:"group"`
		}
		if err := json.Unmarshal(raw, &head); err != nil {
			return nil, time.Time{}, err
		}
		if head.Group != group {
			continue
		}
		d := new(api.Decision)
		if err := json.Unmarshal(raw, d); err != nil {
			return nil, time.Time{}, err
		}
		return d, rec.Tick, nil
	}
	return nil, rec.Tick, nil
}
