package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/internal/blob"
)

// CompactConfig says what to compact.
type CompactConfig struct {
	// Before bounds the days: those that ended by then. Required. A day that still
	// gets rows is better left alone: each compaction writes its files again.
	Before time.Time
	// FileBytes is about how large a closed file may become; a day of more is split
	// by groups. 0: 256 MiB. It is decided at the first compaction of a day.
	FileBytes int64
}

const (
	defaultFileBytes = 256 << 20
	// compactRows is about how many rows are merged at a time; they take some 200
	// bytes of memory each while they are.
	compactRows = 2 << 20
)

// CompactReport is what a compaction did.
type CompactReport struct {
	Days    int   // that had parts
	Files   int   // written
	Rows    int64 // in them
	Bytes   int64 // of them
	Deleted int   // parts that the files stand for now
}

func (r *CompactReport) add(o CompactReport) {
	r.Days += o.Days
	r.Files += o.Files
	r.Rows += o.Rows
	r.Bytes += o.Bytes
	r.Deleted += o.Deleted
}

// Compact turns the parts of closed days into few large files, of which each holds
// the winner of every row, and removes the parts. Parts that come late are merged
// into the files of their day by the next call.
//
// It may be killed at any moment, repeated, and run by several processes at once:
// a file is replaced only by one that holds all its rows and more (by
// compare-and-swap), and a part is removed only when every file of its day stands
// for it. Readers are exact throughout; ADR 15 says why, and what a reader of the
// files alone sees.
//
// Parts that cannot be read stay where they are and are named in *CorruptErrors,
// beside which everything else has been done (OnlyCorrupt). After any other error
// the remaining days were still tried.
func (d *Dataset) Compact(ctx context.Context, cfg CompactConfig) (CompactReport, error) {
	var report CompactReport
	if cfg.FileBytes == 0 {
		cfg.FileBytes = defaultFileBytes
	}
	if !storable(cfg.Before) || cfg.FileBytes < 0 {
		return report, fmt.Errorf("compact: before (%v) must be set, and the size of a file (%d) not negative", cfg.Before, cfg.FileBytes)
	}
	days, err := d.openDays(ctx, cfg.Before)
	if err != nil {
		return report, fmt.Errorf("compact: %w", err)
	}
	var failed []error
	for _, day := range days {
		c := compaction{d: d, day: day, fileBytes: cfg.FileBytes, corrupt: map[string]*CorruptError{}}
		err := c.run(ctx)
		report.add(c.report)
		if broken := (*CorruptError)(nil); errors.As(err, &broken) {
			c.broken(broken)
			err = nil
		}
		for _, key := range slices.Sorted(maps.Keys(c.corrupt)) {
			failed = append(failed, c.corrupt[key])
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("compact %s: %w", day.Format(time.DateOnly), err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return report, errors.Join(failed...)
}

// openDays returns the days that have parts and ended by before, in order.
func (d *Dataset) openDays(ctx context.Context, before time.Time) (days []time.Time, err error) {
	today := before.UTC().Truncate(24 * time.Hour)
	infos, err := d.list(ctx, datePrefix, micro0, today.UnixMicro())
	for _, info := range infos {
		if day, _, ok := parseKey(info.Key); ok && (len(days) == 0 || !days[len(days)-1].Equal(day)) {
			days = append(days, day)
		}
	}
	return days, err
}

// micro0 is the first microsecond that a key can name.
var micro0 = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// compaction is that of one day.
type compaction struct {
	d         *Dataset
	day       time.Time
	fileBytes int64
	report    CompactReport

	mu      sync.Mutex
	corrupt map[string]*CorruptError // guarded by mu; by key: parts and files that cannot be read
}

// run compacts the day. What others change meanwhile makes it start again.
func (c *compaction) run(ctx context.Context) error {
	c.report.Days = 1
	for attempt := 1; ; attempt++ {
		err := c.once(ctx)
		if !errors.Is(err, errStale) && !errors.Is(err, blob.ErrConflict) || attempt == maxAttempts {
			return err
		}
	}
}

func (c *compaction) once(ctx context.Context) error {
	open, err := c.open(ctx)
	if err != nil || len(open) == 0 {
		return err
	}
	size := int64(0)
	for _, info := range open {
		if info.Size <= maxPartBytes { // what is larger is no part, and must not shape the day for good
			size += info.Size
		}
	}
	files, err := c.d.shape(ctx, c.day, int(min(maxFiles, 1+size/max(1, c.fileBytes))))
	if err != nil {
		return err
	}
	stands := make([]*closedFile, files)
	for k := range stands {
		if stands[k], err = c.file(ctx, closedKey{c.day, k, files}, open); err != nil || stands[k] == nil {
			return err
		}
	}
	return c.remove(ctx, stands)
}

// open lists the parts of the day.
func (c *compaction) open(ctx context.Context) ([]blob.Info, error) {
	infos, err := c.d.list(ctx, datePrefix, c.day.UnixMicro(), c.day.AddDate(0, 0, 1).UnixMicro())
	return slices.DeleteFunc(infos, func(info blob.Info) bool {
		_, _, ok := parseKey(info.Key)
		return !ok
	}), err
}

// shape is the object that says of how many files a closed day is made.
type shape struct {
	Schema string `json:"schema"`
	Files  int    `json:"files"`
}

func shapeKey(day time.Time) string {
	return fmt.Sprintf("%s%s/%s", closedPrefix, day.Format(time.DateOnly), shapeName)
}

// shape returns of how many files the day is made. The first who asks decides, for
// good: files of two shapes would state the same rows.
func (d *Dataset) shape(ctx context.Context, day time.Time, files int) (int, error) {
	n, err := d.readShape(ctx, day)
	if !errors.Is(err, blob.ErrNotFound) {
		return n, err
	}
	data, err := json.Marshal(shape{schemaVersion, files})
	if err != nil {
		return 0, err
	}
	// A conflict: somebody was faster, and the caller asks again.
	_, err = d.store.Put(ctx, shapeKey(day), data, blob.IfAbsent())
	return files, err
}

func (d *Dataset) readShape(ctx context.Context, day time.Time) (int, error) {
	o, err := d.store.Get(ctx, shapeKey(day))
	if err != nil {
		return 0, err
	}
	var s shape
	if err := json.Unmarshal(o.Data, &s); err != nil || s.Files < 1 || s.Files > maxFiles {
		return 0, &CorruptError{shapeKey(day), fmt.Errorf("%.60q does not name 1 to %d files; restore it: the names of the files beside it say how many", o.Data, maxFiles)}
	}
	if err := checkVersion(s.Schema); err != nil {
		return 0, &CorruptError{shapeKey(day), err}
	}
	return s.Files, nil
}

// file makes one file of the day stand for all parts that can be read, and returns
// it as it is then; nil when a damaged one is in the way.
func (c *compaction) file(ctx context.Context, key closedKey, open []blob.Info) (*closedFile, error) {
	old, cond, err := c.current(ctx, key)
	if err != nil {
		return nil, err
	}
	var fresh []blob.Info
	for _, info := range open {
		if old.file == nil || !old.file.holds(idOf(info)) {
			fresh = append(fresh, info)
		}
	}
	if old.damaged || old.file != nil && len(fresh) == 0 {
		return old.file, nil
	}
	m := merger{compaction: c, key: key, old: old, fresh: fresh}
	data, rows, err := m.encode(ctx)
	if err != nil {
		return nil, err
	}
	if old.file != nil && m.joined == 0 { // all that is fresh is unreadable
		return old.file, nil
	}
	f, err := parseClosedFile(data, key)
	if err != nil {
		return nil, fmt.Errorf("the file that was made for %s cannot be read back: %w", key, err)
	}
	if _, err := c.d.store.Put(ctx, key.String(), data, cond); err != nil {
		return nil, err
	}
	c.report.Files++
	c.report.Rows += rows
	c.report.Bytes += int64(len(data))
	return f, nil
}

// standing is a closed file that is to be replaced.
type standing struct {
	file    *closedFile // nil: there is none
	data    []byte
	damaged bool
}

// current returns the file as it is, and the condition under which what is made of
// it may replace it.
func (c *compaction) current(ctx context.Context, key closedKey) (standing, blob.Condition, error) {
	o, err := c.d.store.Get(ctx, key.String())
	if errors.Is(err, blob.ErrNotFound) {
		return standing{}, blob.IfAbsent(), nil
	}
	if err != nil {
		return standing{}, blob.Condition{}, err
	}
	f, err := parseClosedFile(o.Data, key)
	for i := 0; err == nil && i < len(f.blocks); i++ {
		_, err = f.block(i, o.Data, 0)
	}
	if err != nil {
		c.broken(&CorruptError{key.String(), err})
		return standing{damaged: true}, blob.Condition{}, nil
	}
	return standing{file: f, data: o.Data}, blob.IfMatch(o.ETag), nil
}

// parseClosedFile returns what the footer of a whole file says.
func parseClosedFile(data []byte, key closedKey) (f *closedFile, err error) {
	size := int64(len(data))
	n, err := footerLen(data, size)
	if err != nil {
		return nil, err
	}
	err = safely(func() (err error) {
		f, err = decodeClosed(data[size-n:], key, size)
		return err
	})
	return f, err
}

func (c *compaction) broken(err *CorruptError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corrupt[err.Key] = err
}

// removers is how many parts are removed at the same time.
const removers = 8

// remove deletes the parts for which all files stand. They are listed anew: what
// has come under a key since is another part, and stays.
func (c *compaction) remove(ctx context.Context, stands []*closedFile) error {
	open, err := c.open(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(removers)
	for _, info := range open {
		if slices.ContainsFunc(stands, func(f *closedFile) bool { return !f.holds(idOf(info)) }) {
			continue
		}
		c.report.Deleted++
		g.Go(func() error { return c.d.store.Delete(ctx, info.Key) })
	}
	return g.Wait()
}
