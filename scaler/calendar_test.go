package scaler

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

// plannedFlags is a business calendar of the given flags, none of which holds.
type plannedFlags struct {
	flags []string
	hash  string
}

func (p plannedFlags) Flag(string, time.Time) float64 { return 0 }
func (p plannedFlags) Flags() []string                { return p.flags }
func (p plannedFlags) Hash() string                   { return p.hash }

func TestAFlagThatTheCalendarHasNoMoreIsAnErrorOfItsModel(t *testing.T) {
	w := newWorld(t)
	var log strings.Builder
	s := w.scaler()
	s.deps.Log = slog.New(slog.NewTextHandler(&log, nil))
	w.alter(func() { w.spec.Future, w.calendarHash = []string{"is_holiday", "is_sale"}, "one" })
	for i, tt := range []struct {
		name  string
		plans plannedFlags
		gone  string // the flag
		warns int
	}{
		{"the calendar of the training", plannedFlags{[]string{"is_sale", "is_holiday"}, "one"}, "", 0},
		{"a calendar with more in it", plannedFlags{[]string{"is_sale", "is_holiday", "is_more"}, "two"}, "", 1},
		{"the same, which is warned of once", plannedFlags{[]string{"is_sale", "is_holiday", "is_more"}, "two"}, "", 1},
		{"a calendar without the sale", plannedFlags{[]string{"is_holiday"}, "three"}, "is_sale", 1},
		{"a calendar of nothing", plannedFlags{nil, "four"}, "is_holiday", 1},
		{"the sale is put back", plannedFlags{[]string{"is_sale", "is_holiday"}, "one"}, "", 1},
	} {
		s.deps.Flags = tt.plans
		rec, err := w.once(s, t0.Add(time.Duration(i)*step))
		if err != nil {
			t.Fatal(err)
		}
		d := decisionOf(rec, "same")
		if tt.gone == "" && d.Basis != api.BasisPredictive {
			t.Errorf("%s: basis %s\n%s", tt.name, d.Basis, reasons(d))
		}
		if told := reasons(d); tt.gone != "" && (d.Basis != api.BasisReactive || !strings.Contains(told, `"`+tt.gone+`"`) || !strings.Contains(told, "model "+d.Model+" version 1")) {
			t.Errorf("%s: basis %s, model %s\n%s", tt.name, d.Basis, d.Model, told)
		}
		if n := strings.Count(log.String(), "not the one that the model was trained with"); n != tt.warns {
			t.Errorf("%s: %d warnings\n%s", tt.name, n, log.String())
		}
		if err := s.CheckFlags(t.Context()); (err != nil) != (tt.gone != "") || err != nil && (!errors.Is(err, ErrFlagGone) || !strings.Contains(err.Error(), "group same: model ")) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	s.deps.Flags = nil
	if err := s.CheckFlags(t.Context()); !errors.Is(err, ErrFlagGone) || !strings.Contains(err.Error(), "no business calendar is configured") {
		t.Errorf("without a calendar: %v", err)
	}
	s.deps.Flags = sale{} // which does not say what it has
	if err := s.CheckFlags(t.Context()); err != nil {
		t.Error(err)
	}
}

// A model that was trained on the lake's own flags is served by them.
func TestAModelWithoutACalendarNeedsNone(t *testing.T) {
	w := newWorld(t)
	s := w.scaler()
	w.alter(func() { w.spec.Future = []string{"is_sale"} })
	rec, err := w.once(s, t0)
	if err != nil || decisionOf(rec, "same").Basis != api.BasisPredictive {
		t.Errorf("%v\n%s", err, reasons(decisionOf(rec, "same")))
	}
}
