package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

// Key is where the orders are.
const Key = "scaler/controls.json"

const (
	format = 1
	// keep is for how long an expired order stays in the object. The clock of who
	// writes may be ahead of the scaler's, and must not end the orders of others.
	keep = 24 * time.Hour
	// attempts bounds how often a write is tried against others; at least one of
	// them succeeds each time.
	attempts = 100
	// maxSize bounds what is read and written, in bytes: two orders for each of
	// 10,000 groups, with long reasons.
	maxSize = 32 << 20
)

// Store reads and moves the orders. It holds no state of its own and is safe for
// concurrent use, by any number of processes.
type Store struct{ store blob.Store }

// New returns the orders in a store.
func New(store blob.Store) *Store { return &Store{store: store} }

// content is the object.
type content struct {
	Format   int           `json:"format"`
	Controls []api.Control `json:"controls"`
}

// List returns all orders, recently expired ones too, sorted by group and kind.
// None were given when there is no object. On an error nobody knows whether there
// are orders, and nothing may be done that one of them could forbid.
func (s *Store) List(ctx context.Context) ([]api.Control, error) {
	cs, _, err := s.read(ctx)
	return cs, err
}

// Put gives an order, in place of the group's former one of the same kind. c.At is
// the present moment; an order that expired a day before it, or earlier, is dropped
// with this occasion. The error lists every fault of c.
func (s *Store) Put(ctx context.Context, c api.Control) error {
	if err := Validate(c); err != nil {
		return fmt.Errorf("order: %w", err)
	}
	c.Reason, c.Until, c.At = strings.TrimSpace(c.Reason), c.Until.UTC(), c.At.UTC()
	return s.swap(ctx, func(cs []api.Control) ([]api.Control, bool) {
		cs = slices.DeleteFunc(cs, func(o api.Control) bool {
			return o.Kind == c.Kind && o.Group == c.Group || Expired(o, c.At.Add(-keep))
		})
		return append(cs, c), true
	})
}

// Withdraw takes an order back and reports whether there was one. The group's
// name is taken literally: withdrawing an order for all groups leaves those for
// single groups, and the other way round.
func (s *Store) Withdraw(ctx context.Context, kind api.ControlKind, group string) (bool, error) {
	found := false
	err := s.swap(ctx, func(cs []api.Control) ([]api.Control, bool) {
		n := len(cs)
		cs = slices.DeleteFunc(cs, func(o api.Control) bool { return o.Kind == kind && o.Group == group })
		found = len(cs) < n
		return cs, found
	})
	return found && err == nil, err
}

// swap replaces the orders by what change makes of them, if it says so, and
// begins again when somebody else was quicker.
func (s *Store) swap(ctx context.Context, change func([]api.Control) ([]api.Control, bool)) error {
	for range attempts {
		cs, etag, err := s.read(ctx)
		if err != nil {
			return err
		}
		cs, changed := change(cs)
		if !changed {
			return nil
		}
		data, err := json.MarshalIndent(content{Format: format, Controls: sorted(cs)}, "", "  ")
		if err != nil {
			return fmt.Errorf("orders: %w", err)
		}
		if len(data) >= maxSize { // what nobody would read again
			return fmt.Errorf("orders: there are too many, in %d bytes; withdraw some, or give one for all groups", len(data))
		}
		cond := blob.IfAbsent()
		if etag != "" {
			cond = blob.IfMatch(etag)
		}
		if _, err = s.store.Put(ctx, Key, append(data, '\n'), cond); err == nil {
			return nil
		}
		if !errors.Is(err, blob.ErrConflict) {
			return fmt.Errorf("orders: %w", err)
		}
	}
	return fmt.Errorf("orders: %s was changed by others each of %d times; try again", Key, attempts)
}

// read returns the orders and the object's ETag, "" when there is none.
func (s *Store) read(ctx context.Context) ([]api.Control, string, error) {
	o, err := s.store.Get(ctx, Key)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("orders: %w", err)
	}
	cs, err := decode(o.Data)
	if err != nil {
		return nil, "", fmt.Errorf("orders: the object %s cannot be read: %w. Nothing was changed. "+
			"Mend it, or move it away, which withdraws every order, and give those again that are needed", Key, err)
	}
	return sorted(cs), o.ETag, nil
}

// decode reads the object strictly: what this version does not know, it must not
// drop when it writes.
func decode(data []byte) ([]api.Control, error) {
	if len(data) > maxSize {
		return nil, fmt.Errorf("it is larger than %d bytes", maxSize)
	}
	// The format is looked at first: a later one may have any other fields.
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, err
	}
	if head.Format != format {
		return nil, fmt.Errorf("it has format %d, and this version reads %d; use the version that wrote it", head.Format, format)
	}
	var c content
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the orders")
	}
	type key struct {
		kind  api.ControlKind
		group string
	}
	seen := map[key]bool{}
	for i, o := range c.Controls {
		if err := Validate(o); err != nil {
			return nil, fmt.Errorf("controls[%d]: %w", i, err)
		}
		k := key{o.Kind, o.Group}
		if seen[k] {
			return nil, fmt.Errorf("controls[%d]: a second %s of %q", i, o.Kind, o.Group)
		}
		seen[k] = true
	}
	return c.Controls, nil
}
