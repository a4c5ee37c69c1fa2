package collector

import (
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/forescale/forescale/internal/spool"
)

// SourceStats counts what one source did since the process started.
type SourceStats struct {
	Samples     int // accepted, repetitions by the look-back included
	Errors      int // series or whole fetches that failed
	Irregular   map[string]int
	LastSuccess time.Time // of a Fetch without any error; of a stream: when readings were last put on the spool
	Newest      time.Time // end of the newest slot that it had a sample of
	Calls       Calls     // of a source that is Metered
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
	Gaps               int           // slots without a value between two values of a series
	UnitChanges        int           // series that changed by a hundredfold and stayed there
	Delivered          int           // ticks that came to the lake by way of the spool
	Readings           int           // kept in memory
	OldestWaiting      time.Time     // slot of the oldest tick on the spool; zero: none waits
	Spools             map[string]spool.Stats
	Sources            map[string]SourceStats
}

// meters guards a Stats and offers it to Prometheus. What others count it asks
// them for.
type meters struct {
	c  *Collector // its fields that do not change, its inbox and its spools
	mu sync.Mutex
	s  Stats
}

// newMeters returns meters that know every source and stream by name: one that has
// never had a sample is to be seen at 0, and not only be missing.
func newMeters(c *Collector) *meters {
	m := &meters{c: c, s: Stats{Sources: map[string]SourceStats{}}}
	for _, s := range c.sources {
		m.s.Sources[s.Name()] = SourceStats{}
	}
	for _, s := range c.streams {
		m.s.Sources[s.Name()] = SourceStats{}
	}
	return m
}

// Stats returns the counters as they stand.
func (c *Collector) Stats() Stats { return c.meters.snapshot() }

// Metrics returns the same counters for a Prometheus registry.
func (c *Collector) Metrics() prometheus.Collector { return c.meters }

func (m *meters) snapshot() Stats {
	m.mu.Lock()
	s := m.s
	s.Sources = map[string]SourceStats{}
	for name, src := range m.s.Sources {
		src.Irregular = maps.Clone(src.Irregular)
		s.Sources[name] = src
	}
	m.mu.Unlock()
	for _, src := range m.c.sources {
		if metered, ok := src.(Metered); ok {
			stats := s.Sources[src.Name()]
			stats.Calls = metered.Calls()
			s.Sources[src.Name()] = stats
		}
	}
	s.Readings = m.c.inbox.size()
	s.Spools = map[string]spool.Stats{}
	for name, sp := range map[string]*spool.Spool{"ticks": m.c.ticks, "readings": m.c.readings} {
		if sp != nil {
			s.Spools[name] = sp.Stats()
		}
	}
	return s
}

// newest notes the newest slot that a source had a sample of.
func (m *meters) newest(name string, slot time.Time, step time.Duration) {
	if slot.IsZero() {
		return
	}
	m.source(name, func(s *SourceStats) {
		if end := slot.Add(step); end.After(s.Newest) {
			s.Newest = end
		}
	})
}

func (m *meters) found(gaps, changed int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.s.Gaps += gaps
	m.s.UnitChanges += changed
}

func (m *meters) delivered(ticks int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.s.Delivered += ticks
}

// waits notes the oldest tick on the spool; zero: none.
func (m *meters) waits(oldest time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.s.OldestWaiting = oldest
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
	newestDesc    = desc("newest_sample_timestamp_seconds", "End of the newest slot that a source had a sample of.", "source")
	callsDesc     = desc("source_calls_total", "Requests of a source to its provider.", "source")
	throttlesDesc = desc("source_throttles_total", "Requests that the provider refused because there were too many.", "source")
	gapsDesc      = desc("gaps_total", "Slots without a value between two values of a series.")
	unitsDesc     = desc("unit_changes_total", "Series that changed by a hundredfold or more and stayed there.")
	keptDesc      = desc("kept_readings", "Readings of sensors in memory.")
	deliveredDesc = desc("delivered_ticks_total", "Ticks that came to the lake by way of the spool.")
	oldestDesc    = desc("spool_oldest_tick_timestamp_seconds", "Slot of the oldest tick that waits on the spool; 0 when none waits.")
	recordsDesc   = desc("spool_records", "Records on a spool.", "spool")
	bytesDesc     = desc("spool_bytes", "Disk that a spool takes.", "spool")
	limitDesc     = desc("spool_max_bytes", "Disk that a spool may take.", "spool")
	droppedDesc   = desc("spool_dropped_records_total", "Records that a spool dropped, because it was full (dropped) or damaged (lost).", "spool", "reason")
)

// Describe implements prometheus.Collector.
func (m *meters) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{ticksDesc, rowsDesc, durationDesc, lastTickDesc, samplesDesc, errorsDesc, irregularDesc,
		successDesc, newestDesc, callsDesc, throttlesDesc, gapsDesc, unitsDesc, keptDesc, deliveredDesc, oldestDesc, recordsDesc,
		bytesDesc, limitDesc, droppedDesc} {
		ch <- d
	}
}

// reasons are all that a source, or a stream, may have irregular samples for.
var (
	sourceReasons = []string{dropNonFinite, dropInvalid, dropNegative, dropOutOfRange, noteUnaligned}
	streamReasons = append([]string{dropDuplicate, dropTooLate, dropFuture, dropFlag, dropGroups, dropSensors, dropMetrics,
		dropReadings, noteLate, noteRetained}, sourceReasons...)
)

// irregularities tells of every reason from the start: a counter that is first seen
// at one has not increased, to an alert.
func (m *meters) irregularities(s Stats, tell func(n int, source, reason string)) {
	for _, src := range m.c.sources {
		for _, reason := range sourceReasons {
			tell(s.Sources[src.Name()].Irregular[reason], src.Name(), reason)
		}
	}
	for _, stream := range m.c.streams {
		for _, reason := range streamReasons {
			tell(s.Sources[stream.Name()].Irregular[reason], stream.Name(), reason)
		}
	}
	for reason, n := range s.Sources[streamsName].Irregular { // of what readings became
		tell(n, streamsName, reason)
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
	count(gapsDesc, s.Gaps)
	count(unitsDesc, s.UnitChanges)
	count(deliveredDesc, s.Delivered)
	gauge(keptDesc, float64(s.Readings))
	oldest := 0.0
	if !s.OldestWaiting.IsZero() {
		oldest = float64(s.OldestWaiting.Unix())
	}
	gauge(oldestDesc, oldest)
	for name, sp := range s.Spools {
		gauge(recordsDesc, float64(sp.Records), name)
		gauge(bytesDesc, float64(sp.Bytes), name)
		gauge(limitDesc, float64(m.c.cfg.Spool.Half()), name)
		count(droppedDesc, sp.Dropped, name, "dropped")
		count(droppedDesc, sp.Lost, name, "lost")
	}
	m.irregularities(s, func(n int, source, reason string) { count(irregularDesc, n, source, reason) })
	for name, src := range s.Sources {
		count(samplesDesc, src.Samples, name)
		count(errorsDesc, src.Errors, name)
		for d, at := range map[*prometheus.Desc]time.Time{successDesc: src.LastSuccess, newestDesc: src.Newest} {
			if !at.IsZero() {
				gauge(d, float64(at.Unix()), name)
			}
		}
		if src.Calls.Made > 0 {
			count(callsDesc, src.Calls.Made, name)
			count(throttlesDesc, src.Calls.Throttled, name)
		}
	}
}
