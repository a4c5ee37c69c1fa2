package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/forescale/forescale/internal/dataset"
)

// LakeConfig says how the lake is kept.
type LakeConfig struct {
	// CompactAfter is how long after the end of a UTC day its parts are compacted
	// into few large files. Late points are merged into them a day later. 0: never.
	// Default 6h.
	CompactAfter time.Duration `yaml:"compact_after"`
	// Keep is the age, counted from the end of a UTC day, at which the day is
	// removed from the lake. 0, the default: never.
	Keep time.Duration `yaml:"keep"`
}

// minKeep is the least that may be kept: what models look back at.
const minKeep = 7 * 24 * time.Hour

func (c LakeConfig) validate(catchUp time.Duration) error {
	var faults []error
	if c.CompactAfter < 0 {
		faults = append(faults, fmt.Errorf("collector.lake.compact_after: %s is negative", c.CompactAfter))
	}
	if least := max(minKeep, catchUp+24*time.Hour); c.Keep != 0 && c.Keep < least {
		faults = append(faults, fmt.Errorf("collector.lake.keep: %s must be 0 (for ever) or at least %s: a week, and a day more than collector.catch_up", c.Keep, least))
	}
	return errors.Join(faults...)
}

// Compacted is the part of the data lake that a Keeper needs; a *dataset.Dataset
// is one.
type Compacted interface {
	Compact(ctx context.Context, cfg dataset.CompactConfig) (dataset.CompactReport, error)
	Retain(ctx context.Context, olderThan time.Time) (dataset.RetainReport, error)
}

// Keeper compacts the closed days of a lake and removes those that are too old.
// Any number of them, in any number of processes, may work on one lake.
type Keeper struct {
	cfg  LakeConfig
	lake Compacted
	now  func() time.Time
	log  *slog.Logger
}

// NewKeeper returns a Keeper that has not started anything. cfg is valid.
func NewKeeper(cfg LakeConfig, lake Compacted, now func() time.Time, log *slog.Logger) *Keeper {
	return &Keeper{cfg: cfg, lake: lake, now: now, log: log}
}

// Once compacts the days that ended at least CompactAfter ago, and removes those
// that ended at least Keep ago. The error names what could not be done; the rest
// has been. Parts that cannot be read are in it too, and stay.
func (k *Keeper) Once(ctx context.Context) error {
	began := k.now()
	var errs []error
	if k.cfg.Keep > 0 { // first: what is removed need not be compacted
		r, err := k.lake.Retain(ctx, began.Add(-k.cfg.Keep))
		errs = append(errs, err)
		if r.Deleted > 0 {
			k.log.Info("days were removed from the lake", "days", r.Days, "objects", r.Deleted, "bytes", r.Bytes)
		}
	}
	if k.cfg.CompactAfter > 0 {
		r, err := k.lake.Compact(ctx, dataset.CompactConfig{Before: began.Add(-k.cfg.CompactAfter)})
		errs = append(errs, err)
		if r.Days > 0 {
			k.log.Info("days of the lake were compacted", "days", r.Days, "files", r.Files, "rows", r.Rows, "bytes", r.Bytes,
				"parts_removed", r.Deleted, "took", k.now().Sub(began).Round(time.Millisecond).String())
		}
	}
	return errors.Join(errs...)
}

// retryKeeping is the pause after a failure.
const retryKeeping = time.Hour

// Run calls Once at the start and then once a day, CompactAfter after midnight UTC,
// until ctx ends, and then returns nil. A failure is logged and tried again.
func (k *Keeper) Run(ctx context.Context) error {
	if k.cfg == (LakeConfig{}) {
		return nil
	}
	var next time.Time
	for ctx.Err() == nil {
		now := k.now()
		if back := next.Sub(now); back > 0 && back <= 48*time.Hour { // more: the clock was set back
			wait(ctx, min(maxWait, back))
			continue
		}
		day := now.Add(-k.cfg.CompactAfter).UTC().Truncate(24 * time.Hour)
		next = day.AddDate(0, 0, 1).Add(k.cfg.CompactAfter)
		if err := k.Once(ctx); err != nil && ctx.Err() == nil {
			k.log.Error("keeping the lake", "err", err)
			if !dataset.OnlyCorrupt(err) { // what is damaged is so in an hour as well
				next = now.Add(retryKeeping)
			}
		}
	}
	return nil
}
