package scaler

import (
	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler/audit"
)

// replay reaches every decision of a record again from what the record says.
func (w *world) replay(what string, rec api.TickRecord) {
	w.t.Helper()
	differences, err := audit.Replay(rec)
	if err != nil {
		w.t.Errorf("%s: the record of %s cannot be replayed: %v", what, stamp(rec.Tick), err)
	}
	for _, d := range differences {
		w.t.Errorf("%s: the record of %s: %s", what, stamp(rec.Tick), d)
	}
}
