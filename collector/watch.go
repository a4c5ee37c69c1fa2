package collector

import (
	"math"
	"sync"
	"time"

	"github.com/forescale/forescale/api"
)

// watch looks at the series that come in, and finds gaps and changes of unit. It
// changes nothing: a real jump of the load looks like a change of unit, and only a
// person can tell. Series are looked at once, when their slot leaves the look-back
// and is as complete as it gets.
type watch struct {
	step   time.Duration
	slot   time.Time // looked at last
	series map[Series]*seen
}

// seen is what is remembered of a series.
type seen struct {
	slot    time.Time // of its newest value
	level   float64   // log10 of its usual magnitude; NaN: not known
	strange int       // values in a row that are far from it
}

const (
	// unitFactor is the change of magnitude that counts as one of the unit, as a
	// power of ten: percent for a fraction, seconds for milliseconds.
	unitFactor = 2
	// unitSlots is how many values in a row must agree that it changed.
	unitSlots = 3
	// unitPace is how much of the distance to a new value the usual magnitude moves.
	unitPace = 0.1
	// maxWatched bounds the series that are remembered.
	maxWatched = 200_000
)

func newWatch(step time.Duration) *watch { return &watch{step: step, series: map[Series]*seen{}} }

// finding is what watch found in one call.
type finding struct {
	gaps    int      // slots without a value between two values
	changed []Series // whose magnitude has changed for good
}

// look takes the samples of the one slot that has left the look-back. Slots are to
// come one after the other; after a pause gaps are not known, because the hole is
// filled by other ways.
func (w *watch) look(slot time.Time, samples []api.Sample) finding {
	var f finding
	paused := !w.slot.Equal(slot.Add(-w.step))
	if !slot.After(w.slot) {
		return f // a tick was repeated
	}
	w.slot = slot
	for _, s := range samples {
		if !s.Time.Equal(slot) {
			continue
		}
		key := SeriesOf(s)
		old := w.series[key]
		if old == nil {
			if len(w.series) >= maxWatched {
				continue
			}
			old = &seen{slot: slot.Add(-w.step), level: math.NaN()}
			w.series[key] = old
		}
		if missing := int(slot.Sub(old.slot)/w.step) - 1; !paused && missing > 0 {
			f.gaps += missing
		}
		old.slot = slot
		if old.moved(s.Value) {
			f.changed = append(f.changed, key)
		}
	}
	if paused {
		for _, old := range w.series { // whatever they miss so far is not for us to count
			old.slot = slot
		}
	}
	return f
}

// moved takes the next value and reports whether the magnitude has changed for
// good. A zero has none.
func (s *seen) moved(value float64) bool {
	if value == 0 {
		return false
	}
	level := math.Log10(math.Abs(value))
	switch {
	case math.IsNaN(s.level):
		s.level = level
	case math.Abs(level-s.level) < unitFactor:
		s.level += unitPace * (level - s.level)
		s.strange = 0
	default:
		if s.strange++; s.strange == unitSlots {
			s.level, s.strange = level, 0
			return true
		}
	}
	return false
}

// streamsName is the source that samples of readings are counted under: a cell may
// be made of readings of several streams.
const streamsName = "streams"

// observe counts the gaps and the changes of unit in the slot that begins the live
// range and will not be asked for again.
func (c *Collector) observe(outcomes []outcome, cells []dueCell, slot time.Time) {
	var samples []api.Sample
	for _, o := range outcomes {
		newest := time.Time{}
		for _, s := range o.samples {
			if s.Time.After(newest) {
				newest = s.Time
			}
		}
		c.meters.newest(o.source.Name(), newest, c.step)
		if o.whole {
			c.watch.slot = time.Time{} // a source that failed has no gaps yet
		}
		samples = append(samples, o.samples...)
	}
	if c.readings != nil {
		newest := time.Time{}
		for _, d := range cells {
			if at := time.Unix(d.key.slot, 0).UTC(); at.After(newest) {
				newest = at
			}
		}
		c.meters.newest(streamsName, newest, c.step)
		samples = append(samples, c.inbox.samplesOf(slot)...)
	}
	f := c.watch.look(slot, samples)
	c.meters.found(f.gaps, len(f.changed))
	for i, s := range f.changed {
		if i == shownSeries {
			c.log.Warn("more series have changed their magnitude", "more", len(f.changed)-i)
			break
		}
		c.log.Warn("a series has changed by a hundredfold or more and stays there; has its unit changed?",
			"group", s.Group, "metric", s.Metric, "stat", string(s.Stat), "slot", slot)
	}
}

// said remembers which irregularities of which stream were logged, so that a
// sensor that sends a thousand of them does not fill the log.
type said struct {
	mu   sync.Mutex
	list map[[2]string]bool
}

// first reports whether the reason is new since reset.
func (s *said) first(stream, reason string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := [2]string{stream, reason}
	if s.list[key] {
		return false
	}
	if s.list == nil {
		s.list = map[[2]string]bool{}
	}
	s.list[key] = true
	return true
}

func (s *said) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.list)
}
