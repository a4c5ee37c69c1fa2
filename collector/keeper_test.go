package collector_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/internal/dataset"
)

// diary notes when a keeper does what.
type diary struct {
	compacted, retained []string
	fail                []error // of the next compactions
}

func (d *diary) Compact(_ context.Context, cfg dataset.CompactConfig) (r dataset.CompactReport, err error) {
	d.compacted = append(d.compacted, time.Now().UTC().Format("2T15:04")+" before "+cfg.Before.UTC().Format("2T15:04"))
	if len(d.fail) > 0 {
		err, d.fail = d.fail[0], d.fail[1:]
	}
	return r, err
}

func (d *diary) Retain(_ context.Context, olderThan time.Time) (dataset.RetainReport, error) {
	d.retained = append(d.retained, olderThan.UTC().Format("2006-01-02T15:04"))
	return dataset.RetainReport{}, nil
}

// The clock of a synctest bubble begins at midnight UTC of 2000-01-01.
func TestAKeeperWorksOnceADay(t *testing.T) {
	corrupt := errors.Join(&dataset.CorruptError{Key: "open/x", Err: errors.New("cut short")})
	for name, tc := range map[string]struct {
		cfg       collector.LakeConfig
		fail      []error
		during    time.Duration
		compacted []string
		retained  []string
	}{
		"at the start, and compact_after midnight": {
			cfg: collector.LakeConfig{CompactAfter: 6 * time.Hour}, during: 31 * time.Hour,
			compacted: []string{"1T00:00 before 31T18:00", "1T06:00 before 1T00:00", "2T06:00 before 2T00:00"},
		},
		"a failure is tried again in an hour": {
			cfg: collector.LakeConfig{CompactAfter: time.Hour}, fail: []error{errors.New("the store is away")}, during: 2 * time.Hour,
			compacted: []string{"1T00:00 before 31T23:00", "1T01:00 before 1T00:00"},
		},
		"what is damaged is no reason to try again": {
			cfg: collector.LakeConfig{CompactAfter: 6 * time.Hour}, fail: []error{corrupt}, during: 5 * time.Hour,
			compacted: []string{"1T00:00 before 31T18:00"},
		},
		"days are removed by age": {
			cfg: collector.LakeConfig{Keep: 240 * time.Hour}, during: 30 * time.Hour,
			retained: []string{"1999-12-22T00:00", "1999-12-23T00:00"},
		},
		"nothing is to be done": {during: 30 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tc.during)
				defer cancel()
				lake := &diary{fail: tc.fail}
				if err := collector.NewKeeper(tc.cfg, lake, time.Now, slog.New(slog.DiscardHandler)).Run(ctx); err != nil {
					t.Error(err)
				}
				if !slices.Equal(lake.compacted, tc.compacted) || !slices.Equal(lake.retained, tc.retained) {
					t.Errorf("compacted %q, retained %q; want %q, %q", lake.compacted, lake.retained, tc.compacted, tc.retained)
				}
			})
		})
	}
}
