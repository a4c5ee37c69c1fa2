package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/forescale/forescale/collector"
)

// metered is a stream that has metrics of its own.
type metered interface{ Metrics() prometheus.Collector }

// bundle is the metrics of the collector and of its streams. It describes nothing
// in advance, because streams of one driver have the same metrics and differ in a
// label, which a registry refuses to collectors that describe themselves.
type bundle []prometheus.Collector

// metricsOf returns the metrics of c and of those of the streams that have some.
func metricsOf(c *collector.Collector, streams []collector.Stream) bundle {
	b := bundle{c.Metrics()}
	for _, s := range streams {
		if m, ok := s.(metered); ok {
			b = append(b, m.Metrics())
		}
	}
	return b
}

// Describe implements prometheus.Collector.
func (bundle) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (b bundle) Collect(ch chan<- prometheus.Metric) {
	for _, c := range b {
		c.Collect(ch)
	}
}
