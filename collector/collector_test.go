package collector

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

// ramp returns one sample a slot of [from, to) whose value tells its slot.
func ramp(group string, from, to int) []api.Sample {
	var out []api.Sample
	for i := from; i < to; i++ {
		out = append(out, cpu(group, i, float64(1000+i)))
	}
	return out
}

func TestOnce(t *testing.T) {
	t.Run("stores the look-back and nothing older", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -10, 10)...)
		w.mustTick(0)
		w.expect(ramp("web", -3, 0)...)
	})
	t.Run("writes each sample once although it is fetched three times", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -10, 20)...)
		w.mustTick(0)
		w.store.scans = 0
		for i := 1; i < 10; i++ {
			w.mustTick(i)
		}
		w.expect(ramp("web", -3, 9)...)
		if got := w.c.Stats().Stored; got != 12 {
			t.Errorf("%d rows written, want 12", got)
		}
		if w.store.scans > 0 {
			t.Errorf("the lake was read %d times in nine steady ticks", w.store.scans)
		}
	})
	t.Run("acts on the newest slot that ended before a crooked moment", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -10, 10)...)
		w.clock = at(0).Add(4*time.Minute + 59*time.Second)
		if err := w.c.Once(t.Context(), w.clock); err != nil {
			t.Fatal(err)
		}
		w.expect(ramp("web", -3, 0)...)
	})
	t.Run("repeated for the same tick changes nothing", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -10, 10)...)
		w.mustTick(0)
		w.restart()
		w.mustTick(0)
		w.expect(ramp("web", -3, 0)...)
		if got := w.c.Stats().Stored; got != 0 {
			t.Errorf("the second process wrote %d rows", got)
		}
	})
	t.Run("leaves a gap a gap", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(cpu("web", 0, 1), cpu("web", 3, 4))
		for i := 1; i < 8; i++ {
			w.mustTick(i)
		}
		w.expect(cpu("web", 0, 1), cpu("web", 3, 4))
	})
	t.Run("takes a point that comes two ticks late", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -5, 5)...)
		w.source.offers = append(w.source.offers, offer{cpu("api", 0, 7), at(3)})
		for i := range 5 {
			w.mustTick(i)
		}
		w.expect(append(ramp("web", -3, 4), cpu("api", 0, 7))...)
		if got := w.c.Stats().Late; got != 1 {
			t.Errorf("%d late rows counted, want 1", got)
		}
	})
	t.Run("stores the later value when the provider revises a point, and its change of mind", func(t *testing.T) {
		w := newWorld(t)
		for i, v := range []float64{1, 2, 1} {
			w.source.offers = nil
			w.source.offer(cpu("web", 0, v))
			w.clock = at(1).Add(time.Duration(i) * time.Second)
			if err := w.c.Once(t.Context(), at(1)); err != nil {
				t.Fatal(err)
			}
			w.expect(cpu("web", 0, v))
		}
		if got := w.c.Stats().Revised; got != 2 {
			t.Errorf("%d revisions counted, want 2", got)
		}
	})
	t.Run("keeps a newer revision newer when the clock is set back", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(cpu("web", 0, 1))
		w.mustTick(1)
		w.source.offers = nil
		w.source.offer(cpu("web", 0, 2))
		w.source.now = func() time.Time { return at(5) }
		w.clock = at(-100)
		if err := w.c.Once(t.Context(), at(1)); err != nil {
			t.Fatal(err)
		}
		w.expect(cpu("web", 0, 2))
	})
	t.Run("takes a group whose name is a path for a name", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(cpu("../../x", 0, 1), cpu("a/b%00#c", 0, 2))
		w.mustTick(1)
		w.expect(cpu("../../x", 0, 1), cpu("a/b%00#c", 0, 2))
	})
	t.Run("drops and counts what no lake may hold", func(t *testing.T) {
		w := newWorld(t)
		w.source.raw = []api.Sample{
			cpu("web", 0, 1), cpu("web", 0, 2), // the first of two stays
			cpu("nan", 0, math.NaN()), cpu("inf", 0, math.Inf(-1)),
			cpu("old", -50, 1), cpu("future", 1, 1), // not asked for
			{Metric: "m", Stat: api.StatAvg, Time: at(0), Value: 1},          // no group
			{Group: "g", Metric: "m", Stat: "median", Time: at(0), Value: 1}, // no such statistic
			{Group: "g", Metric: "m", Stat: api.StatSum, Time: at(0).Add(90 * time.Second).In(time.FixedZone("x", 3600)), Value: 5},
		}
		w.mustTick(1)
		w.expect(cpu("web", 0, 1), api.Sample{Group: "g", Metric: "m", Stat: api.StatSum, Time: at(0), Value: 5})
		s := w.c.Stats()
		irregular := s.Sources["fake"].Irregular
		for reason, want := range map[string]int{dropNonFinite: 2, dropOutOfRange: 2, dropInvalid: 2, noteUnaligned: 1} {
			if irregular[reason] != want {
				t.Errorf("%s: counted %d, want %d", reason, irregular[reason], want)
			}
		}
		if s.Duplicates != 1 {
			t.Errorf("counted %d duplicates, want 1", s.Duplicates)
		}
	})
	t.Run("stores the other series when one is forbidden, and says which", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", 0, 1)...)
		w.source.offer(ramp("secret", 0, 1)...)
		w.source.broken = map[Series]error{{"secret", api.MetricCPU, api.StatAvg}: errors.New("Forbidden")}
		err := w.tick(1)
		if err == nil || !strings.Contains(err.Error(), "secret/cpu_utilization: Forbidden") {
			t.Errorf("got %v", err)
		}
		w.expect(ramp("web", 0, 1)...)
	})
}

type fixedFlags map[string]func(time.Time) float64

func (f fixedFlags) Flags() []string {
	var names []string
	for n := range f {
		names = append(names, n)
	}
	return names
}
func (f fixedFlags) Flag(name string, t time.Time) float64 { return f[name](t) }

func flag(group string, slot int, v float64) api.Sample {
	return api.Sample{Group: group, Metric: "is_sale_active", Stat: api.StatAvg, Time: at(slot), Value: v}
}

func TestFlags(t *testing.T) {
	sale := fixedFlags{"is_sale_active": func(t time.Time) float64 {
		if t.Before(at(1)) {
			return 0
		}
		return 1
	}}
	t.Run("are stored beside each measured slot of each group", func(t *testing.T) {
		w := newWorld(t)
		w.cal = sale
		w.restart()
		w.source.offer(cpu("web", 0, 1), cpu("web", 1, 2), cpu("api", 1, 3))
		w.mustTick(2)
		w.expect(cpu("web", 0, 1), cpu("web", 1, 2), cpu("api", 1, 3), flag("web", 0, 0), flag("web", 1, 1), flag("api", 1, 1))
		if name := api.SeriesName("is_sale_active", api.StatAvg); name != "is_sale_active" {
			t.Errorf("the series of the flag is called %s", name)
		}
	})
	t.Run("do not make a silent group look alive", func(t *testing.T) {
		w := newWorld(t)
		w.cal = sale
		w.restart()
		w.mustTick(3)
		w.expect()
	})
	t.Run("yield to a source that measures the flag", func(t *testing.T) {
		w := newWorld(t)
		w.cal = sale
		w.restart()
		w.source.offer(cpu("web", 1, 2), flag("web", 1, 0.5))
		w.mustTick(2)
		w.expect(cpu("web", 1, 2), flag("web", 1, 0.5))
	})
	t.Run("follow the calendar when it is corrected", func(t *testing.T) {
		w := newWorld(t)
		w.cal = sale
		w.restart()
		w.source.offer(cpu("web", 1, 2))
		w.mustTick(2)
		w.cal = fixedFlags{"is_sale_active": func(time.Time) float64 { return 0 }}
		w.restart()
		w.clock = w.clock.Add(time.Second)
		w.mustTick(3)
		w.expect(cpu("web", 1, 2), flag("web", 1, 0))
	})
}
