package collector

import (
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
)

// The further reasons for which a reading is not taken as it came; see also those
// of a sample.
const (
	dropDuplicate = "duplicate" // a reading of the same identity is there
	dropTooLate   = "too_late"  // its slot is no longer kept
	dropFuture    = "future"    // its clock is ahead by more than stream.skew
	dropNegative  = "negative"  // of a sum; a counter that was reset
	dropFlag      = "flag"      // what is planned is the calendar's to say
	dropGroups    = "too_many_groups"
	dropSensors   = "too_many_sensors"
	dropMetrics   = "too_many_metrics"
	dropReadings  = "too_many_readings"
	noteLate      = "late"     // taken, and its slot had been stored without it
	noteRetained  = "retained" // taken, though the broker had kept it
)

// inbox holds the readings of the slots that may still change, by cell: one metric
// of one group in one slot. Whatever is in it is on the spool of readings as well.
type inbox struct {
	limits StreamConfig
	step   time.Duration

	mu       sync.Mutex
	cells    map[cellKey]*cell
	groups   map[string]*groupNames // of the cells
	readings int                    // in all cells
	began    int64                  // slots before it may be in the lake with readings that this process never saw
	closed   int64                  // the newest slot whose readings were let go; nothing may come to it or before
}

// cellKey names a cell; slot is the Unix time of its start.
type cellKey struct {
	group, metric string
	slot          int64
}

// cell is the readings of one slot, without duplicates.
type cell struct {
	sensors  map[string][]instant // by sensor, ascending in time
	n        int                  // readings
	written  int                  // readings that the lake's row, or the spool's, is made of; 0: none is
	verified bool                 // written is known to be right
}

// instant is one reading of a sensor: 16 bytes, because there may be millions.
type instant struct {
	at    int64 // Unix nanoseconds
	value float64
}

// groupNames counts, by name, the cells that a group's sensors and metrics are in,
// and the readings of each sensor.
type groupNames struct{ sensors, metrics, readings map[string]int }

// One sensor may have one in sensorShare of MaxReadings, and leastShare in any case:
// a device gone wild must not silence the others.
const (
	sensorShare = 10
	leastShare  = 1000
)

func newInbox(limits StreamConfig, step time.Duration, now time.Time) *inbox {
	return &inbox{limits: limits, step: step, cells: map[cellKey]*cell{}, groups: map[string]*groupNames{},
		began: now.UTC().Truncate(step).Add(step).Unix(), closed: math.MinInt64}
}

func (b *inbox) keyOf(r Reading) cellKey {
	return cellKey{r.Group, r.Metric, r.Time.UTC().Truncate(b.step).Unix()}
}

// refuse returns the reason for which the reading cannot be taken at now, or "".
func (b *inbox) refuse(r Reading, now time.Time) string {
	sample := api.Sample{Group: r.Group, Metric: r.Metric, Stat: api.StatAvg, Time: r.Time}
	slot := r.Time.UTC().Truncate(b.step)
	switch {
	case math.IsNaN(r.Value) || math.IsInf(r.Value, 0):
		return dropNonFinite
	case sample.Validate() != nil || r.Sensor == "" || len(r.Sensor) > api.MaxNameLen:
		return dropInvalid
	case strings.HasPrefix(r.Metric, window.FlagPrefix):
		return dropFlag
	case r.Value < 0 && api.DefaultStat(r.Metric) == api.StatSum:
		return dropNegative
	case r.Time.After(now.Add(b.limits.Skew)):
		return dropFuture
	case !slot.Add(b.step + b.limits.Keep).After(now):
		return dropTooLate
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	key := b.keyOf(r)
	if key.slot <= b.closed {
		return dropTooLate
	}
	return b.full(key, r)
}

// full returns the bound that the reading would break, dropDuplicate when it is
// there, or "". The caller holds mu.
func (b *inbox) full(key cellKey, r Reading) string {
	if c := b.cells[key]; c != nil {
		if _, found := c.find(r); found {
			return dropDuplicate
		}
	}
	g := b.groups[r.Group]
	switch {
	case g == nil && len(b.groups) >= b.limits.MaxGroups:
		return dropGroups
	case g != nil && g.sensors[r.Sensor] == 0 && len(g.sensors) >= b.limits.MaxSensors:
		return dropSensors
	case g != nil && g.metrics[r.Metric] == 0 && len(g.metrics) >= b.limits.MaxMetrics:
		return dropMetrics
	case b.readings >= b.limits.MaxReadings, g != nil && g.readings[r.Sensor] >= max(leastShare, b.limits.MaxReadings/sensorShare):
		return dropReadings
	}
	return ""
}

// find returns where the reading is, or belongs, among those of its sensor.
func (c *cell) find(r Reading) (int, bool) {
	return slices.BinarySearchFunc(c.sensors[r.Sensor], r.Time.UnixNano(), func(i instant, at int64) int {
		switch {
		case i.at < at:
			return -1
		case i.at > at:
			return 1
		}
		return 0
	})
}

// add takes a reading that is on the spool, and returns why it does not, or
// noteLate, or "".
func (b *inbox) add(r Reading) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := b.keyOf(r)
	if why := b.full(key, r); why != "" {
		return why
	}
	g := b.groups[r.Group]
	if g == nil {
		g = &groupNames{map[string]int{}, map[string]int{}, map[string]int{}}
		b.groups[r.Group] = g
	}
	c := b.cells[key]
	if c == nil {
		c = &cell{sensors: map[string][]instant{}, verified: key.slot >= b.began}
		b.cells[key] = c
		g.metrics[r.Metric]++
	}
	i, _ := c.find(r)
	if c.sensors[r.Sensor] == nil {
		g.sensors[r.Sensor]++
	}
	c.sensors[r.Sensor] = slices.Insert(c.sensors[r.Sensor], i, instant{r.Time.UnixNano(), r.Value})
	c.n++
	b.readings++
	g.readings[r.Sensor]++
	if c.written > 0 {
		return noteLate
	}
	return ""
}

// dueCell is a cell whose samples are to be stored, as it was when it was asked for.
type dueCell struct {
	key      cellKey
	n        int
	verified bool
	samples  []api.Sample
}

// due returns the cells of slots that ended by tick and have readings that the
// lake does not know of. Call settle when they are stored.
func (b *inbox) due(tick time.Time) []dueCell {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []dueCell
	for key, c := range b.cells {
		if key.slot+int64(b.step/time.Second) <= tick.Unix() && c.n > c.written {
			list = append(list, dueCell{key, c.n, c.verified, c.samples(key)})
		}
	}
	return list
}

// verify notes that the lake has a row of this cell that is made of stored
// readings (0: none), and reports whether ours is made of more. A row that is made
// of as many or more is never replaced: after a loss of the spool ours may be the poorer one.
func (b *inbox) verify(d dueCell, stored int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.cells[d.key]; c != nil {
		c.verified, c.written = true, max(c.written, stored)
	}
	return d.n > stored
}

// settle notes that the cells are stored as they were.
func (b *inbox) settle(list []dueCell) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range list {
		if c := b.cells[d.key]; c != nil {
			c.written = max(c.written, d.n)
		}
	}
}

// Relief of the memory: while more than this share of MaxReadings is kept, slots go
// before their time, the oldest first, but none that ended less than leastKeep ago.
const (
	relief    = 4
	leastKeep = time.Hour
)

// relieve lets go of the oldest slots that are stored, while there is too much.
func (b *inbox) relieve(now time.Time) {
	much := b.limits.MaxReadings / relief
	if b.readings <= much {
		return
	}
	before := now.Add(-min(leastKeep, b.limits.Keep) - b.step).Unix()
	held := map[int64]bool{} // slots with a cell that is not stored; they stay, and so does what came after
	readings := map[int64]int{}
	for key, c := range b.cells {
		readings[key.slot] += c.n
		held[key.slot] = held[key.slot] || c.n > c.written
	}
	gone := int64(math.MinInt64)
	for left := b.readings; left > much; {
		slot := int64(math.MaxInt64)
		for s := range readings {
			slot = min(slot, s)
		}
		if slot > before || held[slot] {
			break
		}
		left -= readings[slot]
		gone = slot
		delete(readings, slot)
	}
	for key, c := range b.cells {
		if key.slot <= gone {
			b.drop(key, c)
		}
	}
	b.closed = max(b.closed, gone)
}

// prune lets go of the cells that are stored and whose time to be kept is over at
// now, or of which there are too many. It returns the start of the oldest slot that is left, which is also the
// oldest whose readings the spool must keep; ok is false when none is left.
func (b *inbox) prune(now time.Time) (oldest time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.relieve(now)
	first := int64(math.MaxInt64)
	for key, c := range b.cells {
		over := !time.Unix(key.slot, 0).Add(b.step + b.limits.Keep).After(now)
		if !over || c.n > c.written {
			first = min(first, key.slot)
			continue
		}
		b.closed = max(b.closed, key.slot)
		b.drop(key, c)
	}
	return time.Unix(first, 0).UTC(), first != math.MaxInt64
}

// drop takes the cell out. The caller holds mu.
func (b *inbox) drop(key cellKey, c *cell) {
	delete(b.cells, key)
	b.readings -= c.n
	g := b.groups[key.group]
	less := func(m map[string]int, name string) {
		if m[name]--; m[name] == 0 {
			delete(m, name)
		}
	}
	less(g.metrics, key.metric)
	for sensor, list := range c.sensors {
		less(g.sensors, sensor)
		if g.readings[sensor] -= len(list); g.readings[sensor] == 0 {
			delete(g.readings, sensor)
		}
	}
	if len(g.metrics) == 0 {
		delete(b.groups, key.group)
	}
}

// samplesOf returns the samples of the slot, of all cells.
func (b *inbox) samplesOf(slot time.Time) []api.Sample {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []api.Sample
	for key, c := range b.cells {
		if key.slot == slot.Unix() {
			list = append(list, c.samples(key)...)
		}
	}
	return list
}

// size returns the number of readings that are kept.
func (b *inbox) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.readings
}

// samples reduces the readings of all sensors x_1 <= ... <= x_n to
//
//	count = n
//	min   = x_1,  max = x_n
//	avg   = (x_1 + ... + x_n) / n
//	p95   = x_k,  k = ceil(0.95 n)        (the nearest rank: always one of the readings)
//	sum   = x_1 + ... + x_n               (of metrics whose default statistic it is)
//
// The sum is taken in ascending order, so that the order of arrival does not show
// in it. A sum past the range of a float64 is left out, and the mean with it.
func (c *cell) samples(key cellKey) []api.Sample {
	values := make([]float64, 0, c.n)
	for _, list := range c.sensors {
		for _, i := range list {
			values = append(values, i.value)
		}
	}
	slices.Sort(values)
	n := len(values)
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	lowest, highest := values[0], values[n-1]
	at := time.Unix(key.slot, 0).UTC()
	var out []api.Sample
	add := func(stat api.Stat, v float64) {
		if !math.IsInf(v, 0) && !math.IsNaN(v) {
			out = append(out, api.Sample{Group: key.group, Metric: key.metric, Stat: stat, Time: at, Value: v})
		}
	}
	add(api.StatCount, float64(n))
	if !math.IsInf(sum, 0) {
		add(api.StatAvg, min(max(sum/float64(n), lowest), highest)) // rounding must not carry it outside
	}
	add(api.StatMin, lowest)
	add(api.StatMax, highest)
	add(api.StatP95, values[(95*n+99)/100-1])
	if api.DefaultStat(key.metric) == api.StatSum {
		add(api.StatSum, sum)
	}
	return out
}
