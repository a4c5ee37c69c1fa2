package collector

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

func TestReadingsBecomeSamples(t *testing.T) {
	t.Run("count, mean, minimum, maximum and 95th percentile over the sensors of a group", func(t *testing.T) {
		f := newFloor(t)
		for i := range 100 { // 1 to 100, over four sensors, in some order
			f.mustSend(temp(fmt.Sprint("s", i%4), 0, i, float64((i*37)%100+1)))
		}
		f.mustTick(1)
		f.expect(rows(0, 100, 50.5, 1, 100, 95)...)
	})
	t.Run("a metric that is a sum has the sum too", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(reading("web", "a", api.MetricRequests, at(0), 3), reading("web", "b", api.MetricRequests, at(0), 4))
		f.mustTick(1)
		for _, s := range f.lake() {
			if s.Stat == api.StatSum && s.Value == 7 {
				return
			}
		}
		t.Errorf("no sum of 7 in %v", f.lake())
	})
	t.Run("one reading is its own mean and percentile", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(temp("a", 0, 0, -3.5))
		f.mustTick(1)
		f.expect(rows(0, 1, -3.5, -3.5, -3.5, -3.5)...)
	})
	t.Run("a slot without readings has no row", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(temp("a", 0, 0, 1), temp("a", 0, 1, 1))
		f.mustTick(1)
		f.mustTick(2)
		f.mustSend(temp("a", 2, 0, 2))
		f.mustTick(3)
		f.expect(append(rows(0, 2, 1, 1, 1, 1), rows(2, 1, 2, 2, 2, 2)...)...)
	})
	t.Run("a slot is stored when it has ended, not before", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(temp("a", 0, 0, 1))
		f.clock = at(0).Add(4 * time.Minute)
		if err := f.c.Once(t.Context(), f.clock); err != nil {
			t.Fatal(err)
		}
		f.expect()
	})
	t.Run("values whose sum no float64 holds have no mean", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(temp("a", 0, 0, math.MaxFloat64), temp("a", 0, 1, math.MaxFloat64))
		f.mustTick(1)
		if n := len(f.lake()); n != 4 {
			t.Errorf("%d rows: %v", n, f.lake())
		}
	})
	t.Run("flags stand beside them", func(t *testing.T) {
		f := newFloor(t)
		f.kill()
		f.cal = fixedFlags{"is_sale_active": func(time.Time) float64 { return 1 }}
		f.start()
		f.mustSend(temp("a", 0, 0, 1))
		f.mustTick(1)
		f.expect(append(rows(0, 1, 1, 1, 1, 1), flag("hall", 0, 1))...)
	})
}

func TestReadingsThatAreNotAsTheyShouldBe(t *testing.T) {
	t.Run("a duplicate counts once, in any batch and over a restart, whatever its value", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(temp("a", 0, 0, 1), temp("a", 0, 0, 1))
		f.mustSend(temp("a", 0, 0, 99))
		f.kill()
		f.start()
		f.mustSend(temp("a", 0, 0, 1), temp("b", 0, 0, 2))
		f.mustTick(1)
		f.mustTick(2)
		f.mustSend(temp("a", 0, 0, 1)) // its slot is stored already
		f.mustTick(3)
		f.expect(rows(0, 2, 1.5, 1, 2, 2)...)
		if n := f.irregular(dropDuplicate); n != 2 {
			t.Errorf("%d duplicates counted since the restart", n)
		}
	})
	t.Run("out of order, they come to the same", func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 1))
		var all []Reading
		for i := range 300 {
			all = append(all, temp(fmt.Sprint("s", i%7), i%3, i%300, rng.NormFloat64()))
		}
		var first []api.Sample
		for range 5 {
			f := newFloor(t)
			f.clock = at(3)
			rng.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
			for i := 0; i < len(all); i += 50 {
				f.mustSend(all[i : i+50]...)
			}
			f.mustTick(3)
			if first == nil {
				first = f.lake()
			}
			f.expect(first...)
		}
		if len(first) != 15 {
			t.Errorf("%d rows", len(first))
		}
	})
	t.Run("late ones revise the stored slot, as long as it is kept", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(temp("a", 0, 0, 1))
		f.mustTick(1)
		for i := 2; i < 10; i++ {
			f.mustTick(i)
		}
		f.mustSend(temp("b", 0, 10, 3)) // 45 minutes late, far behind the look-back
		f.mustTick(10)
		f.expect(rows(0, 2, 2, 1, 3, 3)...)
		if n := f.irregular(noteLate); n != 1 {
			t.Errorf("%d late readings counted", n)
		}
		f.clock = at(13)
		f.mustSend(temp("c", 0, 20, 100))
		f.mustTick(13)
		f.expect(rows(0, 2, 2, 1, 3, 3)...)
		if n := f.irregular(dropTooLate); n != 1 {
			t.Errorf("%d readings counted as too late", n)
		}
	})
	t.Run("two sensors whose clocks differ by minutes are told by their own time", func(t *testing.T) {
		f := newFloor(t)
		for i := range 6 {
			f.clock = at(i).Add(time.Minute)
			right, fast, slow := f.clock, f.clock.Add(4*time.Minute+30*time.Second), f.clock.Add(-7*time.Minute)
			f.mustSend(reading("hall", "right", "temperature", right, 20),
				reading("hall", "fast", "temperature", fast, 30), reading("hall", "slow", "temperature", slow, 10))
			f.clock = at(i + 1)
			f.mustTick(i + 1)
		}
		for i := 7; i < 10; i++ {
			f.mustTick(i)
		}
		var want []api.Sample
		for slot := -2; slot <= 6; slot++ {
			var in []float64
			if slot <= 3 {
				in = append(in, 10)
			}
			if slot >= 0 && slot <= 5 {
				in = append(in, 20)
			}
			if slot >= 1 {
				in = append(in, 30)
			}
			sum := 0.0
			for _, v := range in {
				sum += v
			}
			want = append(want, rows(slot, float64(len(in)), sum/float64(len(in)), in[0], in[len(in)-1], in[len(in)-1])...)
		}
		f.expect(want...)
	})
	t.Run("from the future beyond the bound, without a number, a name or a place, they are dropped and acknowledged", func(t *testing.T) {
		f := newFloor(t)
		long := strings.Repeat("x", 256)
		f.mustSend(temp("a", 0, 0, 1),
			temp("a", 2, 1, 5), // 10 minutes ahead
			temp("a", 0, 1, math.NaN()), temp("a", 0, 2, math.Inf(1)),
			reading("", "s", "m", at(0), 1), reading("g", "", "m", at(0), 1), reading("g", "s", "", at(0), 1),
			reading(long, "s", "m", at(0), 1), reading("g", long, "m", at(0), 1), reading("g", "s", long, at(0), 1),
			reading("g\xff", "s", "m", at(0), 1), reading("g", "s", "\x1b[2J", at(0), 1),
			reading("web", "a", "is_sale_active", at(0), 1), // the calendar's to say
			reading("g", "s", "m", time.Time{}, 1), reading("g", "s", "m", time.Unix(1<<60, 0), 1))
		f.mustTick(1)
		f.expect(rows(0, 1, 1, 1, 1, 1)...)
		for reason, n := range map[string]int{dropFuture: 2, dropNonFinite: 2, dropInvalid: 9, dropFlag: 1} {
			if got := f.irregular(reason); got != n {
				t.Errorf("%s: %d counted, want %d", reason, got, n)
			}
		}
	})
	t.Run("when the disk has damaged them, the log says so", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(temp("a", 0, 0, 1))
		f.kill()
		segments, err := filepath.Glob(filepath.Join(f.dir, "readings", "*.log"))
		if err != nil || len(segments) != 1 {
			t.Fatal(segments, err)
		}
		if err := os.WriteFile(segments[0], bytes.Repeat([]byte{0xff}, 100), 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		f.log = slog.New(slog.NewTextHandler(&log, nil))
		f.start()
		f.mustTick(1)
		if !strings.Contains(log.String(), "the spool of readings is damaged") {
			t.Error(log.String())
		}
	})
	t.Run("a counter that was reset takes nothing off a sum", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(reading("web", "a", api.MetricRequests, at(0), 5), reading("web", "a", api.MetricRequests, at(0).Add(time.Second), -4000))
		f.mustTick(1)
		for _, s := range f.lake() {
			if s.Value < 0 {
				t.Errorf("%v is in the lake", s)
			}
		}
		if n := f.irregular(dropNegative); n != 1 {
			t.Errorf("%d counted", n)
		}
	})
	t.Run("retained ones count by their own time, once", func(t *testing.T) {
		f := newFloor(t)
		old, fresh := temp("a", -100, 0, 1), temp("a", 0, 0, 2)
		old.Retained, fresh.Retained = true, true
		f.mustSend(old, fresh, fresh)
		f.mustTick(1)
		f.expect(rows(0, 1, 2, 2, 2, 2)...)
		if f.irregular(noteRetained) != 1 || f.irregular(dropTooLate) != 1 || f.irregular(dropDuplicate) != 1 {
			t.Errorf("%v", f.c.Stats().Sources["sensors"].Irregular)
		}
	})
	t.Run("more names and readings than are allowed are dropped, and the known ones go on", func(t *testing.T) {
		f := newFloor(t)
		f.kill()
		f.cfg.Stream.MaxGroups, f.cfg.Stream.MaxSensors, f.cfg.Stream.MaxMetrics, f.cfg.Stream.MaxReadings = 2, 2, 2, 6
		f.start()
		send := func(group, sensor, metric string, second int) {
			f.mustSend(reading(group, sensor, metric, at(0).Add(time.Duration(second)*time.Second), 1))
		}
		send("g1", "s1", "m1", 0)
		send("g1", "s2", "m2", 0)
		send("g1", "s3", "m1", 0) // a third sensor
		send("g1", "s1", "m3", 0) // a third metric
		send("g2", "s1", "m1", 0)
		send("g3", "s1", "m1", 0) // a third group
		send("g1", "s1", "m1", 1)
		send("g2", "s1", "m1", 1)
		send("g2", "s1", "m1", 2)
		send("g2", "s1", "m1", 3) // a seventh reading
		for _, reason := range []string{dropGroups, dropSensors, dropMetrics, dropReadings} {
			if n := f.irregular(reason); n != 1 {
				t.Errorf("%s: %d counted, want 1", reason, n)
			}
		}
		f.mustTick(1)
		f.clock = at(14) // the names are free again when their slots are let go
		f.mustTick(14)
		send2 := reading("g3", "s9", "m9", at(13), 1)
		f.mustSend(send2)
		if n := f.irregular(dropGroups); n != 1 {
			t.Errorf("a name is refused although there is room")
		}
	})
}
