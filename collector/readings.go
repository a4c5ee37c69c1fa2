package collector

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/dataset"
)

// recordReadings is how many readings share one record of the spool.
const recordReadings = 1000

// RunStreams receives from every stream until ctx ends. A stream that fails is
// logged and started again. Run does this beside its ticks; a caller of Once who
// wants streams as well runs it on its own.
func (c *Collector) RunStreams(ctx context.Context) {
	c.replay()
	var wg sync.WaitGroup
	for _, s := range c.streams {
		wg.Go(func() { c.runStream(ctx, s) })
	}
	wg.Wait()
}

// The pause before a stream that failed is started again, doubled each time.
const (
	firstPause = time.Second
	maxPause   = time.Minute
)

func (c *Collector) runStream(ctx context.Context, s Stream) {
	emit := func(ctx context.Context, readings []Reading) error { return c.emit(ctx, s.Name(), readings) }
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, maxPause) {
		err := s.Run(ctx, emit)
		if ctx.Err() != nil {
			return
		}
		c.meters.failed(s.Name(), 0, 1)
		c.log.Error("a stream ended; starting it again", "source", s.Name(), "pause", pause, "err", err)
		wait(ctx, pause)
	}
}

// emit is the Emit of one stream.
func (c *Collector) emit(ctx context.Context, stream string, readings []Reading) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	counts := map[string]int{}
	note := func(reason string, r Reading) {
		counts[reason]++
		if c.said.first(stream, reason) {
			c.log.Warn("irregular reading; others of its kind are counted until the next tick", "source", stream,
				"reason", reason, "group", r.Group, "sensor", r.Sensor, "metric", r.Metric, "time", r.Time, "value", r.Value)
		}
	}
	defer func() { c.meters.irregular(stream, counts) }()
	now := c.now()
	var kept []Reading
	for _, r := range readings {
		if why := c.inbox.refuse(r, now); why != "" {
			note(why, r)
			continue
		}
		kept = append(kept, r)
	}
	taken := 0
	for len(kept) > 0 {
		part := kept[:min(len(kept), recordReadings)]
		kept = kept[len(part):]
		n, err := c.take(part, note)
		taken += n
		if err != nil {
			c.meters.failed(stream, taken, 1)
			return fmt.Errorf("readings of %s: %w", stream, err)
		}
	}
	c.meters.succeeded(stream, taken, now)
	return nil
}

// take puts the readings on the spool and then into memory, and returns how many
// of them count. It excludes a sweep, which would find them in one place only;
// the lock is one for reading, so that appends of several streams share a sync.
func (c *Collector) take(readings []Reading, note func(string, Reading)) (taken int, err error) {
	c.sweeping.RLock()
	defer c.sweeping.RUnlock()
	seq, err := c.readings.Append(encodeReadings(readings))
	if err != nil {
		return 0, err
	}
	c.filed.add(seq, readings)
	for _, r := range readings {
		why := c.inbox.add(r)
		if why != "" {
			note(why, r)
		}
		if why != "" && why != noteLate {
			continue
		}
		taken++
		if r.Retained {
			note(noteRetained, r)
		}
	}
	return taken, nil
}

// replay takes the readings of the spool into memory, once. They count whatever
// their age: their slots may not have been stored yet.
func (c *Collector) replay() {
	if c.readings == nil {
		return
	}
	c.replayed.Do(func() {
		n, lost, broken := 0, 0, 0
		for record, err := range c.readings.All() {
			if err != nil {
				c.log.Error("a part of the readings' spool cannot be read", "err", err)
				broken++
				continue
			}
			readings, err := decodeReadings(record.Payload)
			if err != nil {
				c.log.Error("a record of the readings' spool makes no sense and is left out", "seq", record.Seq, "err", err)
				broken++
				continue
			}
			c.filed.add(record.Seq, readings)
			for _, r := range readings {
				switch c.inbox.add(r) {
				case "", noteLate:
					n++
				case dropDuplicate:
				default: // a bound was lowered
					lost++
				}
			}
		}
		if s := c.readings.Stats(); s.Damaged > 0 {
			c.log.Error("the spool of readings is damaged; what sensors sent is lost", "damaged", s.Damaged, "records", s.Lost)
		}
		if n+lost+broken > 0 {
			c.log.Info("readings of before the start are back", "readings", n, "over_bounds", lost, "damaged_records", broken)
		}
	})
}

// ripe returns the cells that are due at tick and whose rows may be written. Those
// of slots before the start are compared with what the lake has: it may be made of
// readings that this process never saw. While the lake cannot be asked, they wait;
// and so do slots of which the lake is still to get something from the spool of ticks,
// because that has older times of ingestion and could not overrule a poorer row.
func (c *Collector) ripe(ctx context.Context, tick time.Time, away bool) ([]dueCell, error) {
	if c.readings == nil {
		return nil, nil
	}
	var ready, doubtful []dueCell
	first, last := c.spooled()
	for _, d := range c.inbox.due(tick) {
		slot := time.Unix(d.key.slot, 0).UTC()
		switch {
		case d.verified:
			ready = append(ready, d)
			continue
		case !slot.Before(first) && !slot.After(last):
			continue
		}
		doubtful = append(doubtful, d)
	}
	if len(doubtful) == 0 || away {
		return ready, nil
	}
	doubtful, q := compared(doubtful, c.step)
	ctx, cancel := context.WithTimeout(ctx, c.cfg.StoreTimeout)
	defer cancel()
	rows, err := c.lake.Scan(ctx, q)
	if err != nil && !dataset.OnlyCorrupt(err) {
		return ready, fmt.Errorf("compare the readings of before the start with the lake: %w", err)
	}
	stored := map[cellKey]int{}
	for _, s := range rows {
		if s.Stat == api.StatCount {
			stored[cellKey{s.Group, s.Metric, s.Time.Unix()}] = int(min(max(s.Value, 0), math.MaxInt32))
		}
	}
	for _, d := range doubtful {
		if c.inbox.verify(d, stored[d.key]) {
			ready = append(ready, d)
		}
	}
	return ready, nil
}

// maxCompared is how many cells are compared with the lake at a tick.
const maxCompared = 20_000

// compared returns the newest slots' cells, about maxCompared of them, and the query
// for what the lake has of them. The others wait for the next ticks: after a long
// outage they may be a day of a whole fleet.
func compared(cells []dueCell, step time.Duration) ([]dueCell, dataset.Query) {
	slices.SortFunc(cells, func(a, b dueCell) int { return int(b.key.slot - a.key.slot) })
	n := len(cells)
	if n > maxCompared {
		for n = maxCompared; n < len(cells) && cells[n].key.slot == cells[n-1].key.slot; n++ {
		}
	}
	cells = cells[:n]
	q := dataset.Query{From: time.Unix(cells[n-1].key.slot, 0).UTC(), To: time.Unix(cells[0].key.slot, 0).UTC().Add(step)}
	groups, metrics := map[string]bool{}, map[string]bool{}
	for _, d := range cells {
		groups[d.key.group], metrics[d.key.metric] = true, true
	}
	q.Groups, q.Metrics = slices.Sorted(maps.Keys(groups)), slices.Sorted(maps.Keys(metrics))
	return cells, q
}

// sweep lets go of the readings that are stored and old enough.
func (c *Collector) sweep() error {
	if c.readings == nil {
		return nil
	}
	c.said.reset()
	c.sweeping.Lock()
	defer c.sweeping.Unlock()
	oldest, some := c.inbox.prune(c.now())
	if seq := c.filed.until(oldest, some); seq > 0 {
		return c.readings.Remove(seq)
	}
	return nil
}

// filed remembers the newest reading of the records of the spool, by blocks of
// neighbouring sequence numbers, so that a million records take no memory.
type filed struct {
	mu     sync.Mutex
	blocks map[uint64]filedBlock // by sequence number / filedTogether
}

type filedBlock struct {
	last   uint64    // the greatest sequence number so far
	newest time.Time // of the readings in its records
}

const filedTogether = 128

func (f *filed) add(seq uint64, readings []Reading) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.blocks == nil {
		f.blocks = map[uint64]filedBlock{}
	}
	b := f.blocks[seq/filedTogether]
	b.last = max(b.last, seq)
	for _, r := range readings {
		if r.Time.After(b.newest) {
			b.newest = r.Time
		}
	}
	f.blocks[seq/filedTogether] = b
}

// until forgets the blocks at the front that speak only of slots before oldest
// (some is false: of any), and returns the last record in them; 0: there is none.
// The caller sees to it that no record is on the spool which add was not told of.
func (f *filed) until(oldest time.Time, some bool) (seq uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(f.blocks)) {
		if some && !f.blocks[k].newest.Before(oldest) {
			break
		}
		seq = f.blocks[k].last
		delete(f.blocks, k)
	}
	return seq
}

// The form of a record: version, number, and for each reading its three names
// (length in one byte), time (Unix nanoseconds) and value, big-endian.
const readingsVersion = 1

func encodeReadings(readings []Reading) []byte {
	buf := binary.BigEndian.AppendUint16([]byte{readingsVersion}, uint16(len(readings)))
	for _, r := range readings {
		for _, name := range []string{r.Group, r.Sensor, r.Metric} {
			buf = append(append(buf, byte(len(name))), name...)
		}
		buf = binary.BigEndian.AppendUint64(buf, uint64(r.Time.UnixNano()))
		buf = binary.BigEndian.AppendUint64(buf, math.Float64bits(r.Value))
	}
	return buf
}

var errRecord = errors.New("the record is not what this version writes")

func decodeReadings(data []byte) ([]Reading, error) {
	if len(data) < 3 || data[0] != readingsVersion {
		return nil, errRecord
	}
	n := int(binary.BigEndian.Uint16(data[1:]))
	data = data[3:]
	const least = 3 + 8 + 8
	if n > recordReadings || n*least > len(data) {
		return nil, errRecord
	}
	readings := make([]Reading, n)
	for i := range readings {
		r := &readings[i]
		for _, name := range []*string{&r.Group, &r.Sensor, &r.Metric} {
			if len(data) == 0 || len(data) < 1+int(data[0]) || data[0] == 0 {
				return nil, errRecord
			}
			*name, data = string(data[1:1+int(data[0])]), data[1+int(data[0]):]
		}
		if len(data) < 16 {
			return nil, errRecord
		}
		r.Time = time.Unix(0, int64(binary.BigEndian.Uint64(data))).UTC()
		r.Value = math.Float64frombits(binary.BigEndian.Uint64(data[8:]))
		if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
			return nil, errRecord
		}
		data = data[16:]
	}
	if len(data) > 0 {
		return nil, errRecord
	}
	return readings, nil
}
