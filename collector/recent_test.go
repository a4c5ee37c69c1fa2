package collector

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/dataset"
)

// sickRefresher fails.
type sickRefresher struct{ asked []time.Time }

func (s *sickRefresher) Refresh(_ context.Context, at time.Time) (dataset.RefreshReport, error) {
	s.asked = append(s.asked, at)
	return dataset.RefreshReport{}, errors.New("sick")
}

func TestATickKeepsRecentUpToDate(t *testing.T) {
	w := newWorld(t)
	w.source.offer(cpu("web", 0, 42))
	lake := dataset.New(w.store.blob)
	refresher, err := lake.Refresher(RecentConfig{}.Refresh(step))
	if err != nil {
		t.Fatal(err)
	}
	w.c.refresher = refresher
	w.mustTick(1)
	found, err := lake.Recent(t.Context(), dataset.Want{At: at(1), Step: step, Newest: 1})
	if err != nil {
		t.Fatal(err)
	}
	value := 0.0
	found.Each("web", func(c dataset.Column) { value = c.Values[len(c.Values)-1] })
	if value != 42 || len(found.Notes) > 0 {
		t.Errorf("value %v, notes %q", value, found.Notes)
	}
}

func TestARefreshThatFailsIsNoFaultOfTheTick(t *testing.T) {
	w := newWorld(t)
	sick := &sickRefresher{}
	w.c.refresher = sick
	if err := w.tick(1); err != nil || len(sick.asked) != 1 || !sick.asked[0].Equal(at(1)) {
		t.Errorf("asked %v, error %v", sick.asked, err)
	}
}

func TestRecentThatMakesNoSenseIsRefused(t *testing.T) {
	for key, bad := range map[string]RecentConfig{
		"recent.newest": {Newest: -time.Hour}, "recent.lags": {Lags: []time.Duration{0}},
		"recent.ahead": {Ahead: 48 * time.Hour}, "recent.shards": {Shards: -1},
	} {
		cfg := DefaultConfig()
		cfg.Recent = bad
		if err := cfg.Validate(step); err == nil || !strings.Contains(err.Error(), "collector."+key) {
			t.Errorf("%s: error %v", key, err)
		}
	}
}
