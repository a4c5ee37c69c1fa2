package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/calendar"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models/gate"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/trainer"
	"github.com/forescale/forescale/trainer/batch"
)

// site is an installation as retrain and watch see it: where its history and its
// models are, how it trains, and what it asks of a model.
type site struct {
	file, dataURL, modelsURL string // flags
	history                  time.Duration

	// What check finds.
	common   conf.Common
	trainer  trainer.Config
	gate     gate.Config
	groups   []scaler.Group     // as configured
	calendar *calendar.Calendar // nil: none
}

func (s *site) declare(fs *flag.FlagSet) {
	fs.StringVar(&s.file, "config", "", "configuration `FILE`; sections gate (limits) and trainer are read, and data, models, calendar and step")
	fs.StringVar(&s.modelsURL, "models", "", "`URL` of the model registry, in place of the configuration's")
	fs.DurationVar(&s.history, "history", 60*day, "how far back to read a data lake")
}

// load reads the configuration and puts the flags over it. It returns every fault
// at once.
func (s *site) load() error {
	s.trainer, s.gate = trainer.DefaultConfig(), gate.DefaultConfig()
	section := scaler.DefaultConfig()
	var faults []error
	for _, part := range []struct {
		name string
		into any
	}{{"trainer", &s.trainer}, {"gate", &s.gate}, {"scaler", &section}} {
		common, err := conf.Load(s.file, part.name, part.into)
		s.common = common
		// What all sections share is at fault in each of the readings.
		if err != nil && !slices.ContainsFunc(faults, func(f error) bool { return f.Error() == err.Error() }) {
			faults = append(faults, err)
		}
	}
	s.groups = section.Groups
	if s.dataURL != "" {
		s.common.Data = s.dataURL
	}
	if s.modelsURL != "" {
		s.common.Models = s.modelsURL
	}
	if s.history <= 0 {
		faults = append(faults, fmt.Errorf("-history %s: must be positive", s.history))
	}
	if isURL(s.common.Data) {
		if err := blob.Check(context.Background(), s.common.Data); err != nil {
			faults = append(faults, fmt.Errorf("data: %w", err))
		}
	}
	if s.common.Models == "" {
		faults = append(faults, errors.New("-models is missing: the URL of the model registry"))
	} else if err := blob.Check(context.Background(), s.common.Models); err != nil {
		faults = append(faults, fmt.Errorf("models: %w", err))
	}
	if s.common.Calendar != "" {
		var err error
		if s.calendar, err = calendar.Load(s.common.Calendar); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(append(faults, s.gate.Validate())...)
}

// lead returns a group's lead time in whole minutes: the configured one, or fallback.
func (s *site) lead(group string, fallback time.Duration) time.Duration {
	for _, g := range s.groups {
		if g.Name == group {
			return (g.LeadTime + time.Minute - 1).Truncate(time.Minute)
		}
	}
	return fallback
}

const (
	// rowBytes is about what a row of a data lake takes as a sample and as a slot of
	// a grid, and lotBytes what is read of it at a time.
	rowBytes, lotBytes = 160, 512 << 20
	// lakeCache is kept of the lake's parts between two readings.
	lakeCache = 64 << 20
)

// grids hands out the histories of groups, from the data lake, in [until - history,
// until). It reads as many in one pass as fit into the memory.
func (s *site) grids(ctx context.Context, groups []string, until time.Time, notes io.Writer) (*batch.Shelf[*window.Grid], error) {
	store, err := blob.Open(ctx, s.common.Data)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	lake := dataset.NewWithCache(store, lakeCache)
	from := until.Add(-s.history).Truncate(s.common.Step)
	told := map[string]bool{}
	// What is left beside parts that cannot be read is good enough.
	bear := func(err error) error {
		if err == nil || !dataset.OnlyCorrupt(err) {
			return err
		}
		if !told[err.Error()] {
			told[err.Error()] = true
			fmt.Fprintf(notes, "left out of the history: %v\n", err)
		}
		return nil
	}
	size := func(string) int64 { return lotBytes }
	if len(groups) > 1 {
		rows, err := lake.Rows(ctx, from, until)
		if err := bear(err); err != nil {
			return nil, err
		}
		size = func(group string) int64 { return rowBytes * int64(rows[group]) }
	}
	return batch.NewShelf(batch.Lots(groups, size, lotBytes), func(ctx context.Context, groups []string) (map[string]*window.Grid, error) {
		samples, err := lake.Scan(ctx, dataset.Query{Groups: groups, From: from, To: until})
		if err := bear(err); err != nil {
			return nil, err
		}
		grids := window.FromSamples(samples, s.common.Step, from, until)
		for group, g := range grids {
			g.AddDemand()
			grids[group] = untilLast(g)
		}
		return grids, nil
	}), nil
}

// onlyGroup returns the one group of a data lake.
func (s *site) onlyGroup(ctx context.Context, until time.Time) (string, error) {
	store, err := blob.Open(ctx, s.common.Data)
	if err != nil {
		return "", fmt.Errorf("data: %w", err)
	}
	groups, err := dataset.NewWithCache(store, lakeCache).Groups(ctx, until.Add(-s.history), until)
	switch {
	case err != nil && !dataset.OnlyCorrupt(err):
		return "", err
	case len(groups) == 0:
		return "", fmt.Errorf("%s has no samples in the %s before %s", s.common.Data, s.history, stamp(until))
	case len(groups) > 1:
		return "", fmt.Errorf("-group is missing: %s has %s; -all-groups takes every model of the registry in turn",
			s.common.Data, strings.Join(groups[:min(namesShown, len(groups))], ", "))
	}
	return groups[0], nil
}

// targetIn returns the series to forecast: the one that is named, else the
// champion's, else a lake's demand, else the only one.
func targetIn(g *window.Grid, named string, champion *servedModel) (string, error) {
	metrics := trainer.Metrics(g)
	want := named
	if want == "" && champion != nil {
		want = champion.manifest.Spec.Target
	}
	if want == "" && slices.Contains(metrics, api.SeriesDemand) {
		want = api.SeriesDemand
	}
	switch {
	case want != "" && slices.Contains(metrics, want):
		return want, nil
	case want != "":
		return "", fmt.Errorf("group %q: the history has no series %q; it has %s", g.Group, want, strings.Join(metrics, ", "))
	case len(metrics) == 1:
		return metrics[0], nil
	case len(metrics) == 0:
		return "", fmt.Errorf("group %q: the history has no load, only timestamps, flags and labels", g.Group)
	}
	return "", fmt.Errorf("-target is missing: the history has %s", strings.Join(metrics, ", "))
}
