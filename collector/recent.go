package collector

import (
	"context"
	"time"

	"github.com/forescale/forescale/internal/dataset"
)

// RecentConfig says what is kept in recent/, from which a scaler that starts cuts
// its first windows without reading weeks of history.
type RecentConfig struct {
	// Off keeps nothing there. Scalers then read the history itself.
	Off bool `yaml:"off"`
	// Newest, Lags, Ahead and Shards are those of dataset.RefreshConfig, where the
	// defaults are named. Lags and Ahead must hold those of the models.
	Newest time.Duration   `yaml:"newest"`
	Lags   []time.Duration `yaml:"lags"`
	Ahead  time.Duration   `yaml:"ahead"`
	Shards int             `yaml:"shards"`
}

// Refresh returns the configuration as the lake takes it.
func (c RecentConfig) Refresh(step time.Duration) dataset.RefreshConfig {
	return dataset.RefreshConfig{Step: step, Newest: c.Newest, Lags: c.Lags, Ahead: c.Ahead, Shards: c.Shards}
}

// Refresher keeps recent/ up to date; a *dataset.Refresher is one.
type Refresher interface {
	Refresh(ctx context.Context, at time.Time) (dataset.RefreshReport, error)
}

// refresh keeps recent/ up to date for the ticks from tick on. What goes wrong is no
// fault of the tick: readers do without, and a later tick makes up for it.
func (c *Collector) refresh(ctx context.Context, tick time.Time) {
	if c.refresher == nil || ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.StoreTimeout)
	defer cancel()
	report, err := c.refresher.Refresh(ctx, tick)
	if err != nil {
		c.log.Warn("recent/ is not up to date; scalers that start read more", "tick", tick, "err", err)
		return
	}
	c.log.Debug("recent/ is up to date", "tick", tick, "bases", report.Bases, "tiles", report.Tiles, "parts", report.Parts,
		"bytes", report.Bytes, "pending", report.Pending)
}
