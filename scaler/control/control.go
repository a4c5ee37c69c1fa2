package control

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/forescale/forescale/api"
)

// The bounds of an order.
const (
	// MaxLength is how long an order may last. One that is needed for longer is
	// given again by somebody who has thought of it again.
	MaxLength = 30 * 24 * time.Hour
	// MinReason and MaxReason bound the reason, in characters.
	MinReason = 3
	MaxReason = 500
)

// Validate returns all faults of an order at once. It is judged as of c.At, the
// moment at which it is given.
func Validate(c api.Control) error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !known(c.Kind) {
		bad("kind %q is neither %s nor %s", c.Kind, api.ControlFreeze, api.ControlPause)
	}
	if err := checkName("group", c.Group); err != nil {
		faults = append(faults, err)
	}
	if err := checkName("name of who gives it", c.By); err != nil {
		faults = append(faults, err)
	}
	switch n := utf8.RuneCountInString(strings.TrimSpace(c.Reason)); {
	case n < MinReason || n > MaxReason:
		bad("reason is %d characters long, must be %d to %d: it is what others read at night", n, MinReason, MaxReason)
	case !printable(c.Reason):
		bad("reason holds line breaks, control characters or invalid UTF-8")
	}
	switch length := c.Until.Sub(c.At); {
	case c.At.IsZero():
		bad("the moment at which it is given is not set")
	case length <= 0:
		bad("it would end at %s, which is past", c.Until.UTC().Format(time.RFC3339))
	case length > MaxLength:
		bad("it would last until %s, more than %d days", c.Until.UTC().Format(time.RFC3339), MaxLength/(24*time.Hour))
	}
	return errors.Join(faults...)
}

func known(k api.ControlKind) bool { return k == api.ControlFreeze || k == api.ControlPause }

func checkName(what, name string) error {
	switch {
	case strings.TrimSpace(name) == "" || len(name) > api.MaxNameLen:
		return fmt.Errorf("%s must be 1 to %d bytes long and not blank", what, api.MaxNameLen)
	case !printable(name):
		return fmt.Errorf("%s %q holds control characters or invalid UTF-8", what, name)
	}
	return nil
}

// printable reports whether a text can be shown on one line of a terminal
// without moving its cursor.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Expired reports whether an order has ended at a moment. Its end is exclusive.
func Expired(c api.Control, at time.Time) bool { return !at.Before(c.Until) }

// InForce returns the order that a group is under at a moment, nil when there is
// none. Of several, a pause comes before a freeze, because it forbids more; then
// the group's own before that for all groups; then the one that ends later.
//
// When an order was given is not asked: a tick is the end of a slot, and is
// decided some time after it, perhaps under an order of that meantime.
func InForce(cs []api.Control, group string, at time.Time) *api.Control {
	var best *api.Control
	for _, c := range cs {
		if c.Group != group && c.Group != api.AllGroups || Expired(c, at) {
			continue
		}
		if best == nil || rank(c, *best) < 0 {
			best = &c
		}
	}
	return best
}

// rank is negative when a comes before b; both are about the same group.
func rank(a, b api.Control) int {
	switch {
	case a.Kind != b.Kind && a.Kind == api.ControlPause, a.Kind == b.Kind && a.Group != b.Group && b.Group == api.AllGroups:
		return -1
	case a.Kind != b.Kind, a.Group != b.Group:
		return 1
	}
	return b.Until.Compare(a.Until)
}

// sorted puts orders in order of group and kind.
func sorted(cs []api.Control) []api.Control {
	slices.SortFunc(cs, func(a, b api.Control) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(string(a.Kind), string(b.Kind)))
	})
	return cs
}
