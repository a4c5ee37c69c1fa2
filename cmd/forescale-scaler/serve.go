package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/internal/obs"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/scaler/kube"
	"github.com/forescale/forescale/scaler/targets"
)

// serve runs the ticks, and the metrics endpoint where one is configured, until
// ctx ends or one of them cannot go on. Where there is an election, ticks are run
// while this process leads.
func (p *program) serve(ctx context.Context, s *scaler.Scaler) error {
	election, err := p.election()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	if addr := p.section.MetricsListen; addr != "" {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return fmt.Errorf("scaler.metrics_listen: %w", err)
		}
		p.log.Info("serving metrics", "addr", l.Addr().String())
		metrics := s.Metrics()
		switch {
		case election != nil:
			metrics = led{metrics, election.Leading}
		case !p.dryRun: // one that only watches leads nobody, and hides nobody's absence
			metrics = led{metrics, func() bool { return true }}
		}
		g.Go(func() error { return obs.ServeMetrics(ctx, l, metrics) })
	}
	g.Go(func() error {
		if err := s.CheckFlags(ctx); err != nil { // at once, and not only in the decisions
			p.log.Error("groups are scaled without forecasts", "err", err)
		}
		if election == nil {
			return s.Run(ctx)
		}
		return election.Run(ctx, func(ctx context.Context) error { return p.lead(ctx, s) })
	})
	return g.Wait()
}

// election returns the election in which this process stands, nil when there is none.
// A scaler under -dry-run does not: it must not keep those that act from it.
func (p *program) election() (*kube.Election, error) {
	if p.section.Election.Lease == "" || p.dryRun {
		return nil, nil
	}
	// A successor under the same name is somebody else: two of one name must not both lead.
	return targets.OpenElection(p.section, p.common, p.section.ID+"_"+rand.Text()[:8], p.log)
}

// lead runs the ticks until ctx ends, and then lets the next scaler in at once.
func (p *program) lead(ctx context.Context, s *scaler.Scaler) error {
	err := s.Run(ctx)
	p.release(ctx, s)
	return err
}

// release gives the store's lease back, even when a signal has ended ctx.
func (p *program) release(ctx context.Context, s *scaler.Scaler) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := s.Release(ctx, p.now()); err != nil {
		p.log.Warn("lease not released, it will expire", "err", err)
	}
}

// led is the metrics of a scaler, which leads always unless it stands for election.
// While it stands by it tells of nothing else: what it has known of the groups is no
// longer true.
type led struct {
	metrics prometheus.Collector
	leading func() bool
}

var leaderDesc = prometheus.NewDesc("forescale_scaler_leader", "1 while this scaler runs the ticks, 0 while it stands by in an election.", nil, nil)

// Describe implements prometheus.Collector.
func (l led) Describe(ch chan<- *prometheus.Desc) {
	ch <- leaderDesc
	l.metrics.Describe(ch)
}

// Collect implements prometheus.Collector.
func (l led) Collect(ch chan<- prometheus.Metric) {
	if !l.leading() {
		ch <- prometheus.MustNewConstMetric(leaderDesc, prometheus.GaugeValue, 0)
		return
	}
	ch <- prometheus.MustNewConstMetric(leaderDesc, prometheus.GaugeValue, 1)
	l.metrics.Collect(ch)
}
