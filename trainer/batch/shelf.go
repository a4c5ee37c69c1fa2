package batch

import (
	"context"
	"fmt"
	"slices"
)

// Shelf hands out what is read for each group, and reads it for many groups at a
// time: one pass over a data lake serves a whole lot of groups. It is safe for
// concurrent use, and each group may be taken once.
//
// As long as groups are asked for in the order in which they were given, no more
// than one lot is on the shelf: the next one is read when somebody asks for it,
// and all before it are taken by then.
type Shelf[T any] struct {
	lots  [][]string
	lotOf map[string]int
	read  func(ctx context.Context, groups []string) (map[string]T, error)

	turn  chan struct{} // holds one token; whoever has it owns what follows
	items map[string]T
	did   []bool  // by lot: it was read
	fault []error // by lot: why it could not be
}

// NewShelf returns a shelf that reads the groups in the given lots.
func NewShelf[T any](lots [][]string, read func(ctx context.Context, groups []string) (map[string]T, error)) *Shelf[T] {
	s := &Shelf[T]{lots: lots, lotOf: map[string]int{}, read: read, turn: make(chan struct{}, 1),
		items: map[string]T{}, did: make([]bool, len(lots)), fault: make([]error, len(lots))}
	for i, lot := range lots {
		for _, group := range lot {
			s.lotOf[group] = i
		}
	}
	s.turn <- struct{}{}
	return s
}

// Take returns what was read for a group, and false where the data has nothing of
// it. A lot that could not be read is not tried again: each of its groups gets
// the error, unless it is that of ctx.
func (s *Shelf[T]) Take(ctx context.Context, group string) (item T, ok bool, err error) {
	lot, known := s.lotOf[group]
	if !known {
		return item, false, fmt.Errorf("group %q is in no lot", group)
	}
	select {
	case <-ctx.Done():
		return item, false, ctx.Err()
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	}
	if !s.did[lot] {
		read, err := s.read(ctx, s.lots[lot])
		if err != nil && ctx.Err() != nil {
			return item, false, err
		}
		s.did[lot], s.fault[lot] = true, err
		for name, item := range read {
			s.items[name] = item
		}
	}
	if err := s.fault[lot]; err != nil {
		return item, false, err
	}
	item, ok = s.items[group]
	delete(s.items, group) // it is its taker's now
	return item, ok, nil
}

// Lots cuts groups, which have sizes in bytes, into lots of at most limit bytes
// each, in their order. A group that is larger than that is a lot of its own.
func Lots(groups []string, size func(group string) int64, limit int64) (lots [][]string) {
	var used int64
	for _, group := range groups {
		n := size(group)
		if len(lots) == 0 || used+n > limit {
			lots, used = append(lots, nil), 0
		}
		used += n
		lots[len(lots)-1] = append(lots[len(lots)-1], group)
	}
	return slices.Clip(lots)
}
