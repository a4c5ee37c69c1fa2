package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/obs"
	"github.com/forescale/forescale/internal/tell"
	"github.com/forescale/forescale/internal/tidy"
)

// run does what the command line asks for. Check has filled in the rest of p.
func (p *program) run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return cli.Usagef("unexpected argument %q", args[0])
	}
	logs, err := p.openSpools()
	if err != nil {
		return err
	}
	defer logs.close()
	teller, err := p.section.Notify.Open(p.log)
	if err != nil {
		return fmt.Errorf("collector.%w", err)
	}
	// Told at the end, too, within the teller's own time limit.
	defer teller.Wait(context.WithoutCancel(ctx))
	c, err := p.open(ctx, logs, teller)
	if err != nil {
		return err
	}
	defer p.report(c, time.Now())
	switch {
	case p.compact:
		k, err := p.keeper(ctx)
		if err != nil {
			return err
		}
		return errors.Join(k.Once(ctx), p.rebuild(ctx))
	case p.importFile != "":
		return p.importCSV(ctx, c)
	case p.backfill != "":
		if err := c.Backfill(ctx, p.from, p.to, p.progress()); err != nil {
			return err
		}
		return p.rebuild(ctx)
	case p.once:
		at := p.moment
		if at.IsZero() {
			at = time.Now().Add(-p.section.Settle)
		}
		return c.Once(ctx, at)
	}
	return p.serve(ctx, c)
}

func (p *program) open(ctx context.Context, logs spools, teller *tell.Teller) (*collector.Collector, error) {
	store, err := blob.Open(ctx, p.common.Data, blob.WithLog(p.log))
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	prints, err := p.section.Fingerprints()
	if err != nil {
		return nil, err
	}
	lake := dataset.New(store)
	recent, err := p.recent(lake)
	if err != nil {
		return nil, err
	}
	streams := p.streams
	if logs.readings == nil { // an import, a back-fill, or a tick beside a collector that receives them
		streams = nil
	}
	return collector.New(p.section.Config, collector.Deps{
		Sources: p.sources, Streams: streams, Ticks: logs.ticks, Readings: logs.readings, Lake: lake, Recent: recent, State: store,
		Calendar: p.plans(), Step: p.common.Step, Now: time.Now, Log: p.log, Configured: prints,
		Stored: func(tick time.Time) { teller.Tell(api.Changed{At: tick, What: []string{api.ChangedSamples}}) },
	})
}

// recent returns what keeps recent/ up to date, nil when nothing does.
func (p *program) recent(lake *dataset.Dataset) (collector.Refresher, error) {
	if p.section.Recent.Off {
		return nil, nil
	}
	return lake.Refresher(p.section.Recent.Refresh(p.common.Step))
}

// rebuild makes recent/ whole after a change of much of the past, so that the next
// scaler that starts need not wait until the ticks have.
func (p *program) rebuild(ctx context.Context) error {
	if p.section.Recent.Off {
		return nil
	}
	store, err := blob.Open(ctx, p.common.Data, blob.WithLog(p.log))
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	r, err := dataset.NewWithCache(store, keeperCache).Refresher(p.section.Recent.Refresh(p.common.Step))
	if err != nil {
		return err
	}
	began := time.Now()
	report, err := r.Rebuild(ctx, began.Add(-p.section.Settle))
	if err != nil {
		return err
	}
	p.log.Info("made recent/ anew", "took", time.Since(began).Round(time.Millisecond).String(), "report", report)
	return nil
}

// keeperCache is little: a keeper reads each part twice, and then never again.
const keeperCache = 32 << 20

// keeper returns what compacts the lake, with a cache of its own, so that it does
// not push out what the ticks need.
func (p *program) keeper(ctx context.Context) (*collector.Keeper, error) {
	store, err := blob.Open(ctx, p.common.Data, blob.WithLog(p.log))
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	return collector.NewKeeper(p.section.Lake, dataset.NewWithCache(store, keeperCache), time.Now, p.log), nil
}

// plans returns the calendar as the collector's. A nil *Live in the interface would
// be a calendar.
func (p *program) plans() collector.Calendar {
	if p.calendar == nil {
		return nil
	}
	return p.calendar
}

func (p *program) importCSV(ctx context.Context, c *collector.Collector) error {
	table, err := tidy.ReadFile(p.importFile)
	if err != nil {
		return err
	}
	for _, note := range table.Notes {
		p.log.Info("note on the file", "file", p.importFile, "note", note)
	}
	rows, err := c.Import(ctx, table, p.group, p.columns)
	if err != nil {
		return fmt.Errorf("import %s: %w", p.importFile, err)
	}
	p.log.Info("imported", "file", p.importFile, "group", p.group, "rows", rows)
	return nil
}

// serve runs the ticks, and the metrics endpoint where one is configured, until
// ctx ends or one of them cannot go on.
func (p *program) serve(ctx context.Context, c *collector.Collector) error {
	g, ctx := errgroup.WithContext(ctx)
	if addr := p.section.MetricsListen; addr != "" {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return fmt.Errorf("collector.metrics_listen: %w", err)
		}
		p.log.Info("serving metrics", "addr", l.Addr().String())
		g.Go(func() error { return obs.ServeMetrics(ctx, l, metricsOf(c, p.streams)) })
	}
	k, err := p.keeper(ctx)
	if err != nil {
		return err
	}
	g.Go(func() error { return k.Run(ctx) })
	if p.calendar != nil {
		g.Go(func() error { return p.calendar.Watch(ctx, p.common.Step, p.log) })
	}
	g.Go(func() error { return c.Run(ctx) })
	return g.Wait()
}

// report logs the figures of the run at its end.
func (p *program) report(c *collector.Collector, began time.Time) {
	s := c.Stats()
	p.log.Info("collector is done", "took", time.Since(began).Round(time.Millisecond).String(), "ticks", s.Ticks,
		"failed_ticks", s.FailedTicks, "rows_stored", s.Stored, "late", s.Late, "revised", s.Revised, "duplicates", s.Duplicates, "gaps", s.Gaps, "delivered_ticks", s.Delivered)
	for name, sp := range s.Spools {
		p.log.Info("spool", "spool", name, "records", sp.Records, "bytes", sp.Bytes, "dropped", sp.Dropped, "lost", sp.Lost)
	}
	for name, src := range s.Sources {
		p.log.Info("source", "source", name, "samples", src.Samples, "errors", src.Errors, "irregular", src.Irregular)
	}
}
