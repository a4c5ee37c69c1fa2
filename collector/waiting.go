package collector

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

// ErrSpooled says that a tick's samples are on the spool and not in the lake.
var ErrSpooled = errors.New("the samples are on the spool, to be delivered later")

// errAway is the store's last answer, so that a tick asks it once only.
var errAway = errors.New("the lake did not take what waits on the spool")

// batch is the samples of one tick as the spool holds them: exactly what is to be
// handed to Lake.Append, so that a delivery may be repeated.
type batch struct {
	slot     time.Time // the interval
	ingested time.Time
	samples  []api.Sample
}

// oldest returns the start of the batch's oldest slot.
func (b batch) oldest() time.Time {
	oldest := b.slot
	for _, s := range b.samples {
		if s.Time.Before(oldest) {
			oldest = s.Time
		}
	}
	return oldest
}

// waitingTick is what is remembered of a batch on the spool.
type waitingTick struct {
	seq    uint64
	oldest time.Time
	slot   time.Time
}

// spool puts the batch on the spool of ticks. What the spool drops for it is owed
// again by every source.
func (c *Collector) spool(b batch) error {
	seq, err := c.ticks.Append(encodeBatch(b))
	if err != nil {
		return err
	}
	c.waiting = append(c.waiting, waitingTick{seq, b.oldest(), b.slot})
	c.oweDropped()
	return nil
}

// oweDropped notes what sources are to be asked for again, because the spool
// dropped or lost it. What streams had sent is lost.
func (c *Collector) oweDropped() {
	first := c.ticks.First()
	var since time.Time
	n := 0
	for len(c.waiting) > 0 && c.waiting[0].seq < first {
		if at := c.waiting[0].oldest; n == 0 || at.Before(since) {
			since = at
		}
		n++
		c.waiting = c.waiting[1:]
	}
	if n == 0 {
		return
	}
	c.dropped = true
	for _, s := range c.sources {
		c.marksOf(s).owe(wholeSource, since)
	}
	c.log.Error("the spool has lost ticks, being full or damaged; sources are asked for them again, what sensors sent is lost",
		"ticks", n, "from", since)
}

// spooled returns the oldest and the newest slot of which something waits on the
// spool of ticks; zero times when nothing does.
func (c *Collector) spooled() (first, last time.Time) {
	for _, w := range c.waiting {
		if first.IsZero() || w.oldest.Before(first) {
			first = w.oldest
		}
		if w.slot.After(last) {
			last = w.slot
		}
	}
	return first, last
}

// recall finds what an earlier process left on the spool of ticks, once.
func (c *Collector) recall() error {
	if c.ticks == nil || c.recalled {
		return nil
	}
	var errs []error
	c.waiting = nil
	for record, err := range c.ticks.All() {
		var b batch
		if err == nil {
			b, err = decodeBatch(record.Payload)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("spool of ticks: record %d: %w", record.Seq, err))
			continue
		}
		c.waiting = append(c.waiting, waitingTick{record.Seq, b.oldest(), b.slot})
	}
	c.recalled = true
	if n := len(c.waiting); n > 0 {
		c.log.Info("ticks of before the start wait for the lake", "ticks", n, "oldest", c.waiting[0].slot)
	}
	return errors.Join(errs...)
}

// deliver hands ticks of the spool to the lake, oldest first: at most limit of
// them (0: all), and none from pause on (unless zero). An error means that the lake
// did not take one; it and what follows wait.
func (c *Collector) deliver(ctx context.Context, limit int, pause time.Time) error {
	if c.ticks == nil || len(c.waiting) == 0 {
		return nil
	}
	n := 0
	for record, err := range c.ticks.All() {
		if n > 0 && (n == limit || !pause.IsZero() && !c.now().Before(pause)) {
			break
		}
		var b batch
		if err == nil {
			b, err = decodeBatch(record.Payload)
		}
		if err != nil {
			c.log.Error("a part of the ticks' spool cannot be read and is left out", "seq", record.Seq, "err", err)
			if err := c.ticks.Remove(record.Seq); err != nil {
				return err
			}
			c.oweDropped()
			continue
		}
		if err := c.hand(ctx, b); err != nil {
			return fmt.Errorf("%w: %w", errAway, err)
		}
		if err := c.ticks.Remove(record.Seq); err != nil {
			return err
		}
		n++
		for len(c.waiting) > 0 && c.waiting[0].seq <= record.Seq {
			c.waiting = c.waiting[1:]
		}
	}
	c.meters.delivered(n)
	if n > 0 && len(c.waiting) == 0 {
		c.log.Info("the spool of ticks is empty again", "delivered", n)
	}
	return nil
}

// hand appends the batch to the lake. That it is there already is no fault.
func (c *Collector) hand(ctx context.Context, b batch) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.StoreTimeout)
	defer cancel()
	err := c.lake.Append(ctx, c.cfg.Writer, b.slot, b.samples, b.ingested)
	if onlyConflicts(err) {
		return nil
	}
	return err
}

// onlyConflicts reports whether all that went wrong is that the very object of a
// delivery that was cut short exists.
func onlyConflicts(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // one error for each day, joined by Append
		for _, child := range joined.Unwrap() {
			if !errors.Is(child, blob.ErrConflict) {
				return false
			}
		}
		return true
	}
	return errors.Is(err, blob.ErrConflict)
}

// place hands the batch to the lake, or, when that is away, to the spool; the
// error of the lake is returned with the batch's whereabouts.
func (c *Collector) place(ctx context.Context, b batch, away error) (stored bool, err error) {
	if away == nil {
		if away = c.hand(ctx, b); away == nil {
			return true, nil
		}
	}
	text := fmt.Sprintf("store %d samples of slot %s", len(b.samples), b.slot.Format(time.RFC3339))
	if c.ticks == nil {
		return false, fmt.Errorf("%s: %w", text, away)
	}
	if err := c.spool(b); err != nil {
		return false, fmt.Errorf("%s: %w; %w", text, away, err)
	}
	return false, fmt.Errorf("%s: %w: %w", text, ErrSpooled, away)
}

// The form of a batch: version, slot and time of ingestion (Unix nanoseconds),
// number, and for each sample its three names (length in one byte), time and value,
// big-endian. Times are of slots: any that does not fit is refused by the lake too.
const batchVersion = 1

// What the lake would refuse for itself is left out here: it must not keep the rest
// from being delivered.
func encodeBatch(b batch) []byte {
	b.samples = slices.DeleteFunc(slices.Clone(b.samples), func(s api.Sample) bool { return s.Validate() != nil })
	buf := []byte{batchVersion}
	buf = binary.BigEndian.AppendUint64(buf, uint64(b.slot.UnixNano()))
	buf = binary.BigEndian.AppendUint64(buf, uint64(b.ingested.UnixNano()))
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(b.samples)))
	for _, s := range b.samples {
		for _, name := range []string{s.Group, s.Metric, string(s.Stat)} {
			buf = append(append(buf, byte(len(name))), name...)
		}
		buf = binary.BigEndian.AppendUint64(buf, uint64(s.Time.UnixNano()))
		buf = binary.BigEndian.AppendUint64(buf, math.Float64bits(s.Value))
	}
	return buf
}

func decodeBatch(data []byte) (batch, error) {
	const head, least = 1 + 8 + 8 + 4, 3 + 8 + 8
	if len(data) < head || data[0] != batchVersion {
		return batch{}, errRecord
	}
	b := batch{slot: nanoTime(data[1:]), ingested: nanoTime(data[9:])}
	n := int64(binary.BigEndian.Uint32(data[17:]))
	data = data[head:]
	if n*least > int64(len(data)) {
		return batch{}, errRecord
	}
	b.samples = make([]api.Sample, n)
	for i := range b.samples {
		s := &b.samples[i]
		var stat string
		for _, name := range []*string{&s.Group, &s.Metric, &stat} {
			if len(data) == 0 || len(data) < 1+int(data[0]) {
				return batch{}, errRecord
			}
			*name, data = string(data[1:1+int(data[0])]), data[1+int(data[0]):]
		}
		if len(data) < 16 {
			return batch{}, errRecord
		}
		s.Stat, s.Time = api.Stat(stat), nanoTime(data)
		s.Value = math.Float64frombits(binary.BigEndian.Uint64(data[8:]))
		if err := s.Validate(); err != nil {
			return batch{}, fmt.Errorf("%w: %w", errRecord, err)
		}
		data = data[16:]
	}
	if len(data) > 0 {
		return batch{}, errRecord
	}
	return b, nil
}

func nanoTime(data []byte) time.Time {
	return time.Unix(0, int64(binary.BigEndian.Uint64(data))).UTC()
}
