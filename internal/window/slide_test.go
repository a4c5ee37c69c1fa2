package window

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/models"
)

// count returns a grid whose demand in slot i is i, with the named slots missing.
func count(n int, absent ...int) *Grid {
	g := &Grid{Group: "web", Start: start, Step: 5 * time.Minute, Columns: map[string]api.Series{
		"demand": make(api.Series, n), "request_count": make(api.Series, n),
	}}
	for i := range n {
		g.Columns["demand"][i], g.Columns["request_count"][i] = float64(i), float64(100*i)
	}
	for _, i := range absent {
		g.Columns["demand"][i] = nan
	}
	return g
}

func plainSpec() models.Spec {
	return models.Spec{Target: "demand", StepSeconds: 300, Lookback: 6, Horizon: 2, Series: []string{"demand"}, MaxGap: 2}
}

func TestSlideRefusesGapsOfTheTarget(t *testing.T) {
	tests := []struct {
		name   string
		grid   *Grid
		newest int
		want   string // part of the error; empty: a window
	}{
		{"a whole lookback is a window", count(10), 7, ""},
		{"a gap of MaxGap slots is borne", count(10, 3, 4), 7, ""},
		{"two gaps of MaxGap slots are borne", count(12, 3, 4, 6, 7), 8, ""},
		{"a longer gap is not", count(10, 3, 4, 5), 7, "3 slots from 2026-05-01T22:15:00Z to 2026-05-01T22:30:00Z are missing, the model bears 2"},
		{"a gap that begins before the lookback counts from there", count(12, 2, 3, 4), 8, ""},
		{"the newest slot must be known", count(10, 7), 7, "the newest slot 2026-05-01T22:35:00Z is missing, and 1 in all up to it"},
		{"a gap up to the newest slot is told with its length", count(10, 6, 7), 7, "and 2 in all"},
		{"a lookback that begins up to MaxGap slots before the grid is borne", count(10), 3, ""},
		{"a lookback that begins earlier is not", count(10), 2, "3 slots from 2026-05-01T21:45:00Z"},
		{"nothing is known after the grid", count(10), 10, "newest slot"},
		{"nor far after it", count(10), 1000, "6 in all"},
		{"nor before it", count(10), -1, "newest slot"},
		{"an empty grid has nothing", &Grid{Group: "web", Start: start, Step: 5 * time.Minute}, 0, `series "demand": the newest slot`},
		{"nor has a group without samples", nil, 0, "no samples"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, err := Slide(plainSpec(), tt.grid, nil, tt.newest)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if len(w.Series["demand"]) != 6 || !w.End.Equal(tt.grid.Time(tt.newest+1)) || w.Group != "web" || w.StepSeconds != 300 {
					t.Errorf("got %+v", w)
				}
				return
			}
			if !errors.Is(err, ErrGap) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want ErrGap with %q", err, tt.want)
			}
		})
	}
}

func TestOtherSeriesMayMissMore(t *testing.T) {
	spec := plainSpec()
	spec.Series = append(spec.Series, "request_count")
	tests := []struct {
		name   string
		absent []int
		gap    bool
	}{
		{"a long gap inside is filled and masked", []int{2, 3, 4, 5}, false},
		{"the newest MaxGap slots may be missing", []int{6, 7}, false},
		{"more of the newest may not", []int{5, 6, 7}, true},
		{"a series with nothing in the lookback is a gap", []int{2, 3, 4, 5, 6, 7}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := count(10)
			for _, i := range tt.absent {
				g.Columns["request_count"][i] = nan
			}
			if _, err := Slide(spec, g, nil, 7); errors.Is(err, ErrGap) != tt.gap || err != nil && !tt.gap {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("a metric that the group never had is a gap, not a flag of 0", func(t *testing.T) {
		g := count(10)
		delete(g.Columns, "request_count")
		if _, err := Slide(spec, g, mapFlags{}, 7); !errors.Is(err, ErrGap) || !strings.Contains(err.Error(), "request_count") {
			t.Errorf("got %v", err)
		}
	})
}

func TestIndexesOfLagsAndFuture(t *testing.T) {
	spec := plainSpec()
	spec.Lags = []models.Lag{{Series: "demand", Offsets: []int{2, 7}}, {Series: "is_holiday", Offsets: []int{3}}}
	spec.Future = []string{"is_sale_active", "is_holiday"}
	g := count(20)
	g.Columns["is_sale_active"] = slices.Repeat(api.Series{0.25}, 20)
	g.Columns["is_sale_active"][9] = nan
	calendar := mapFlags{
		"is_holiday":     {7: 1, 8: 2, 9: 3, 10: 4, 11: 5, 12: 6},
		"is_sale_active": {9: 7, 10: 8, 11: 9, 12: 10},
	}
	for _, tt := range []struct {
		name   string
		newest int
		flags  Flags
		check  func(w api.Window) bool
	}{
		{"index k of a lag is the slot offset before newest+k", 10, calendar, func(w api.Window) bool {
			return same(w.Lags["demand"][2], api.Series{8, 9, 10}) && same(w.Lags["demand"][7], api.Series{3, 4, 5})
		}},
		{"a lag from before the grid is missing", 6, calendar, func(w api.Window) bool {
			return same(w.Lags["demand"][7], api.Series{nan, 0, 1})
		}},
		{"a lagged flag comes from the calendar where the grid has no column", 10, calendar, func(w api.Window) bool {
			return same(w.Lags["is_holiday"][3], api.Series{1, 2, 3})
		}},
		{"future index 0 is the newest slot, taken from the grid; the others from the calendar", 10, calendar, func(w api.Window) bool {
			return same(w.Future["is_sale_active"], api.Series{0.25, 9, 10}) && same(w.Future["is_holiday"], api.Series{4, 5, 6})
		}},
		{"where the grid's own flag is missing, the calendar answers for the past too", 9, calendar, func(w api.Window) bool {
			return same(w.Future["is_sale_active"], api.Series{7, 8, 9})
		}},
		{"without a calendar the grid's column is the calendar", 10, nil, func(w api.Window) bool {
			return same(w.Future["is_sale_active"], api.Series{0.25, 0.25, 0.25}) && same(w.Future["is_holiday"], api.Series{0, 0, 0})
		}},
		{"and holds past the grid's end", 19, nil, func(w api.Window) bool {
			return same(w.Future["is_sale_active"], api.Series{0.25, 0.25, 0.25})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, err := Slide(spec, g, tt.flags, tt.newest)
			if err != nil {
				t.Fatal(err)
			}
			if !tt.check(w) {
				t.Errorf("got lags %v, future %v", w.Lags, w.Future)
			}
		})
	}
}

func TestALaggedSeriesOutsideOfTheInputsNeedsOneKnownValue(t *testing.T) {
	spec := plainSpec()
	spec.Lags = []models.Lag{{Series: "request_count", Offsets: []int{8, 9}}}
	if _, err := Slide(spec, count(20), nil, 5); !errors.Is(err, ErrGap) || !strings.Contains(err.Error(), "request_count") {
		t.Errorf("no lagged value is known: got %v", err)
	}
	w, err := Slide(spec, count(20), nil, 6) // slots -2..0 and -3..-1: only slot 0
	if err != nil {
		t.Fatal(err)
	}
	_, context, err := encode(t, spec, w)
	if err != nil || !slices.Equal(context, []float32{0, 0, 0, 0, 0, 0}) {
		t.Errorf("got %v, %v", context, err)
	}
	if w, err = Slide(spec, count(20), nil, 7); err != nil {
		t.Fatal(err)
	}
	// Slots -1, 0, 1 and -2, -1, 0; what is missing takes slot 1, the nearest.
	_, context, err = encode(t, spec, w)
	if err != nil || !slices.Equal(context, []float32{100, 0, 100, 100, 100, 0}) {
		t.Errorf("got %v, %v", context, err)
	}
}

func TestAWindowSharesNoMemoryWithItsGrid(t *testing.T) {
	g := count(20)
	w, err := Slide(plainSpec(), g, nil, 10)
	if err != nil {
		t.Fatal(err)
	}
	w.Series["demand"][5] = -1
	if g.Columns["demand"][10] != 10 {
		t.Error("writing to the window changed the grid")
	}
}

func TestSpecAndGridMustFit(t *testing.T) {
	spec, g := plainSpec(), count(20)
	spec.StepSeconds = 60
	if _, err := Slide(spec, g, nil, 10); err == nil || errors.Is(err, ErrGap) {
		t.Errorf("a grid of another step: got %v", err)
	}
	if _, err := Latest(plainSpec(), g, nil, start.Add(52*time.Minute)); err == nil || errors.Is(err, ErrGap) {
		t.Errorf("an end between slots: got %v", err)
	}
	if _, err := Latest(plainSpec(), g, nil, start.Add(200*time.Minute)); !errors.Is(err, ErrGap) {
		t.Errorf("an end past the data: got %v", err)
	}
	if _, err := Latest(plainSpec(), nil, nil, start); !errors.Is(err, ErrGap) {
		t.Errorf("no grid: got %v", err)
	}
}

func TestTargetAt(t *testing.T) {
	spec, g := plainSpec(), count(10, 8)
	g.Censored = make([]bool, 10)
	g.Censored[9] = true
	requests := spec
	requests.Target = "request_count"
	for _, tt := range []struct {
		name      string
		spec      models.Spec
		newest, k int
		want      float64
		ok        bool
	}{
		{"the value k steps ahead", spec, 5, 2, 7, true},
		{"not a missing one", spec, 5, 3, 0, false},
		{"not a demand known only from below", spec, 5, 4, 0, false},
		{"but another target of a censored slot", requests, 5, 4, 900, true},
		{"not one past the grid", spec, 5, 5, 0, false},
		{"not one before it", spec, -5, 1, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if v, ok := TargetAt(tt.spec, g, tt.newest, tt.k); ok != tt.ok || ok && v != tt.want {
				t.Errorf("got %v, %v", v, ok)
			}
		})
	}
}
