package collector

import (
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// SourceStats counts what one source did since the process started.
type SourceStats struct {
	Samples     int // accepted, repetitions by the look-back included
	Errors      int // series or whole fetches that failed
	Irregular   map[string]int
	LastSuccess time.Time // of a Fetch without any error
}

// Stats counts what the collector did since the process started.
type Stats struct {
	Ticks, FailedTicks int
	LastTick           time.Time     // the newest tick without an error
	TickDuration       time.Duration // of the last tick
	Stored             int           // rows written, flags included
	Late               int           // rows of a slot that the tick before had found empty
	Revised            int           // rows with another value than the lake held
	Duplicates         int           // second values for one slot, ignored
	Sources            map[string]SourceStats
}

// meters guards a Stats and offers it to Prometheus.
type meters struct {
	mu sync.Mutex
	s  Stats
}

func newMeters() *meters { return &meters{s: Stats{Sources: map[string]SourceStats{}}} }

// Stats returns the counters as they stand.
func (c *Collector) Stats() Stats { return c.meters.snapshot() }

// Metrics returns the same counters for a Prometheus registry.
func (c *Collector) Metrics() prometheus.Collector { return c.meters }

func (m *meters) snapshot() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.s
	s.Sources = map[string]SourceStats{}
	for name, src := range m.s.Sources {
		src.Irregular = maps.Clone(src.Irregular)
		s.Sources[name] = src
	}
	return s
}

func (m *meters) source(name string, change func(*SourceStats)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.s.Sources[name]
	change(&s)
	m.s.Sources[name] = s
}

func (m *meters) succeeded(name string, samples int, now time.Time) {
	m.source(name, func(s *SourceStats) { s.Samples += samples; s.LastSuccess = now })
}

func (m *meters) failed(name string, samples, errors int) {
	m.source(name, func(s *SourceStats) { s.Samples += samples; s.Errors += errors })
}

func (m *meters) irregular(name string, counts map[string]int) {
	if len(counts) == 0 {
		return
	}
	m.source(name, func(s *SourceStats) {
		if s.Irregular == nil {
			s.Irregular = map[string]int{}
		}
		for reason, n := range counts {
			s.Irregular[reason] += n
		}
	})
}

func (m *meters) stored(rows int, count tally) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.s.Stored += rows
	m.s.Late += count.late
	m.s.Revised += count.revised
	m.s.Duplicates += count.duplicates
}

func (m *meters) ticked(tick time.Time, took time.Duration, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.s.Ticks++
	m.s.TickDuration = took
	if err != nil {
		m.s.FailedTicks++
	} else if tick.After(m.s.LastTick) {
		m.s.LastTick = tick
	}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("forescale_collector_"+name, help, labels, nil)
}

var (
	ticksDesc     = desc("ticks_total", "Ticks run, by result.", "result")
	rowsDesc      = desc("rows_total", "Rows written to the lake, by kind; late and revised ones are part of stored.", "kind")
	durationDesc  = desc("tick_duration_seconds", "Duration of the last tick.")
	lastTickDesc  = desc("last_tick_timestamp_seconds", "The newest tick without an error.")
	samplesDesc   = desc("samples_total", "Samples accepted from a source, repetitions by the look-back included.", "source")
	errorsDesc    = desc("errors_total", "Series or whole fetches of a source that failed.", "source")
	irregularDesc = desc("irregular_samples_total", "Samples of a source that were not taken as they came.", "source", "reason")
	successDesc   = desc("last_success_timestamp_seconds", "When a source last answered without an error.", "source")
)

// Describe implements prometheus.Collector.
func (m *meters) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{ticksDesc, rowsDesc, durationDesc, lastTickDesc, samplesDesc, errorsDesc, irregularDesc, successDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *meters) Collect(ch chan<- prometheus.Metric) {
	s := m.snapshot()
	count := func(d *prometheus.Desc, n int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count(ticksDesc, s.Ticks-s.FailedTicks, "ok")
	count(ticksDesc, s.FailedTicks, "failed")
	count(rowsDesc, s.Stored, "stored")
	count(rowsDesc, s.Late, "late")
	count(rowsDesc, s.Revised, "revised")
	count(rowsDesc, s.Duplicates, "duplicate")
	gauge(durationDesc, s.TickDuration.Seconds())
	if !s.LastTick.IsZero() { // no time is not the year 1
		gauge(lastTickDesc, float64(s.LastTick.Unix()))
	}
	for name, src := range s.Sources {
		count(samplesDesc, src.Samples, name)
		count(errorsDesc, src.Errors, name)
		for reason, n := range src.Irregular {
			count(irregularDesc, n, name, reason)
		}
		if !src.LastSuccess.IsZero() {
			gauge(successDesc, float64(src.LastSuccess.Unix()), name)
		}
	}
}
