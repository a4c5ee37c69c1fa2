package audit

import (
	"fmt"

	"github.com/forescale/forescale/api"
)

// Changed returns what a decision changed of a group, its size or its safety
// state, and why; ok is false when it changed neither.
func Changed(d api.Decision) (what, why string, ok bool) {
	moved := d.Capacity.Known() && d.Desired != d.Capacity.Desired
	switch {
	case moved:
		what = Result(d)
		if r := decisive(d); r != nil {
			why = r.Rule + ": " + r.Detail
		}
		if m := d.Moved; m != nil {
			why += fmt.Sprintf("; %s -> %s: %s", m.From, m.To, m.Why)
		}
	case d.Moved != nil:
		what, why = fmt.Sprintf("%s -> %s", d.Moved.From, d.Moved.To), d.Moved.Why
	}
	return clean(what), clean(why), moved || d.Moved != nil
}
