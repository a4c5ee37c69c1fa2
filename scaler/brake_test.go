package scaler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

// fleetOf adds groups to the world that follow its group down, and returns the
// change of configuration that makes them known.
func (w *world) fleetOf(n int, demand float64) func(*Config) {
	for i := range n {
		w.groups[fmt.Sprintf("g%03d", i)] = &group{desired: 6, max: 20, demand: demand}
	}
	return func(c *Config) {
		for i := range n {
			g := c.Groups[1]
			g.Name = fmt.Sprintf("g%03d", i)
			c.Groups = append(c.Groups, g)
		}
	}
}

func TestTheBrakeHoldsAFleetThatEmptiesAtOnce(t *testing.T) {
	for _, c := range []struct {
		name   string
		limit  float64
		demand float64 // of the many: 1.2 is for fewer than their six instances
		pulled bool
	}{
		{"all wish to scale in", 0.2, 1.2, true},
		{"one in sixteen does", 0.2, 3, false},
		{"any share is allowed", 0, 1.2, false},
		{"nearly any share is", 0.99, 1.2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			many := w.fleetOf(12, c.demand)
			rec := w.mustOnce(t0, many, func(cfg *Config) { cfg.Brake = c.limit })
			if (rec.Brake != nil) != c.pulled {
				t.Fatalf("brake %+v", rec.Brake)
			}
			w.replay(c.name, rec)
			if c.pulled && (rec.Brake.Groups != 13 || w.desired("down") != 6 || w.desired("g003") != 6) {
				t.Errorf("brake %+v, down %d", rec.Brake, w.desired("down"))
			}
			if !c.pulled && w.desired("down") != 5 {
				t.Errorf("down %d", w.desired("down"))
			}
			if w.desired("up") != 5 {
				t.Error("the brake held a scale-out")
			}
			if d := decisionOf(rec, "down"); c.pulled && (d.Outcome.Status != api.OutcomeNone || d.Outcome.At.IsZero() || !strings.Contains(reasons(d), "brake: ")) {
				t.Errorf("%+v\n%s", d.Outcome, reasons(d))
			}
		})
	}
}

// What the brake has held is held after a crash as well.
func TestTheBrakeOutlivesItsScaler(t *testing.T) {
	w := newWorld(t)
	many := w.fleetOf(12, 1.2)
	w.bad = &saboteur{op: "scale up", nth: 1, mode: diesBefore, seen: map[string]int{}}
	_, _ = w.once(w.scaler(many), t0)
	w.bad = nil
	rec := w.mustOnce(t0.Add(1), many)
	if rec.Brake == nil || w.desired("g001") != 6 || w.desired("up") != 5 {
		t.Errorf("brake %+v, g001 %d, up %d", rec.Brake, w.desired("g001"), w.desired("up"))
	}
	w.replay("resumed", rec)
}

// What forecasts confirm gets through in the end, over a restart as well, and the
// records of it replay.
func TestTheBrakeLetsACommonEveningThroughAfterAWhile(t *testing.T) {
	w := newWorld(t)
	many := w.fleetOf(12, 1.2)
	let := 0
	for i := range 24 {
		tick := t0.Add(time.Duration(i) * step)
		w.set(tick)
		rec := w.mustOnce(tick, many, func(c *Config) { c.BrakeHold = 15 * time.Minute }) // a fresh process each time
		w.replay(stamp(tick), rec)
		if i < 3 && (rec.Brake == nil || rec.Brake.Let != 0 || w.desired("g003") != 6) {
			t.Fatalf("tick %d: brake %+v, g003 %d", i, rec.Brake, w.desired("g003"))
		}
		if rec.Brake != nil {
			if !rec.Brake.Release.Equal(t0.Add(15 * time.Minute)) {
				t.Fatalf("tick %d: released at %s", i, rec.Brake.Release)
			}
			let += rec.Brake.Let
		}
	}
	if let == 0 || w.desired("g003") == 6 {
		t.Errorf("%d were let through, g003 has %d", let, w.desired("g003"))
	}
}
