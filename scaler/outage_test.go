package scaler

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forescale/forescale/api"
)

// After a lost answer the provider stays away for a tick: the change is entered
// when it is back.
func TestALostAnswerIsRememberedUntilTheProviderIsBack(t *testing.T) {
	w := newWorld(t)
	w.bad = &saboteur{op: "scale up", nth: 1, mode: losesReply, seen: map[string]int{}}
	w.mustOnce(t0)
	w.bad = &saboteur{op: "capacities up,down,same,dry", nth: 1, mode: failsOnce, seen: map[string]int{}}
	if d := decisionOf(w.mustOnce(t0.Add(step)), "up"); d.Basis != api.BasisHold || d.Outcome.Status != api.OutcomeNone {
		t.Fatalf("%+v", d)
	}
	w.cooldown = 3 * step
	rec := w.mustOnce(t0.Add(2 * step))
	if w.desired("up") != 5 || len(rec.Errors) != 1 || !strings.Contains(rec.Errors[0], "was carried out") {
		t.Errorf("desired %d, errors %v", w.desired("up"), rec.Errors)
	}
	w.check("lost answer, then no provider")
}

// A provider that answers nothing more costs one tick, and not one deadline for
// every group.
func TestAProviderThatHangsDoesNotHoldUpTheNextTick(t *testing.T) {
	for _, resumed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			many := func(c *Config) {
				for i := range 100 {
					g := c.Groups[0]
					g.Name = fmt.Sprintf("g%03d", i)
					c.Groups = append(c.Groups, g)
				}
				c.Settle = time.Minute
			}
			for _, g := range w.scaler(many).groups[4:] {
				w.groups[g.Name] = &group{desired: 4, max: 20, demand: 3.6}
			}
			at := time.Now().UTC().Truncate(step).Add(step)
			time.Sleep(time.Until(at))
			s := w.scaler(many)
			if resumed {
				w.bad = &saboteur{op: "scale up", nth: 1, mode: diesBefore, seen: map[string]int{}}
				_, _ = w.scaler(many).Once(t.Context(), at)
				w.bad = nil
			}
			s.deps.Now = time.Now
			s.deps.Target = &hanging{world: w}
			rec, err := s.Once(t.Context(), at)
			if took := time.Since(at); err != nil || took > step+time.Minute {
				t.Errorf("resumed %v: the tick took %s: %v", resumed, took, err)
			}
			if n := len(rec.Decisions); n != 104 {
				t.Errorf("%d decisions", n)
			}
			for _, d := range rec.Decisions {
				if d.Outcome.Status == "" || d.Outcome.Status == api.OutcomeAccepted {
					t.Errorf("%s: %+v", d.Group, d.Outcome)
				}
			}
		})
	}
}

// hanging answers when it is asked for all groups, and never for a single one.
type hanging struct{ *world }

func (h *hanging) Capacities(ctx context.Context, groups []string) (map[string]api.Capacity, error) {
	if len(groups) == 1 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return h.world.Capacities(ctx, groups)
}

func TestAnInterruptedTickUnderAnotherConfiguration(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"the group is in dry-run mode now", func(c *Config) { c.Groups[0].Mode = api.ModeDryRun }, "no longer in live mode"},
		{"the group is gone", func(c *Config) { c.Groups = c.Groups[1:] }, "no longer configured"},
		{"the maximum is lower now", func(c *Config) { c.Groups[0].Max = 4 }, "bounds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.bad = &saboteur{op: "scale up", nth: 1, mode: diesBefore, seen: map[string]int{}}
			_, _ = w.once(w.scaler(), t0)
			w.bad = nil
			rec := w.mustOnce(t0.Add(time.Minute), c.change)
			if d := decisionOf(rec, "up"); d.Outcome.Status != api.OutcomeSkipped || !strings.Contains(d.Outcome.Detail, c.want) {
				t.Errorf("outcome %+v", d.Outcome)
			}
			if w.desired("up") != 4 {
				t.Errorf("the group was changed to %d", w.desired("up"))
			}
		})
	}
}
