package api

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Stat says how the readings inside a slot were reduced to the slot's value.
type Stat string

// The statistics that a Sample may carry.
const (
	StatAvg   Stat = "avg"
	StatSum   Stat = "sum"
	StatMin   Stat = "min"
	StatMax   Stat = "max"
	StatP95   Stat = "p95"
	StatCount Stat = "count"
)

// Valid reports whether s is one of the defined statistics.
func (s Stat) Valid() bool {
	switch s {
	case StatAvg, StatSum, StatMin, StatMax, StatP95, StatCount:
		return true
	}
	return false
}

// Sample is one value of one metric of one group in one slot. It is the row of
// the data lake, a sensor's reading and the value in memory alike. A slot
// without a value has no Sample.
type Sample struct {
	Group  string    // the service or Auto Scaling Group that the value belongs to
	Metric string    // snake_case name, unit as in Metrics
	Stat   Stat      // how the slot's readings were reduced
	Time   time.Time // start of the slot, UTC
	Value  float64   // finite, in the metric's unit
}

// Validate returns an error that names the first field that cannot be stored.
func (s Sample) Validate() error {
	if err := CheckName(s.Group); err != nil {
		return fmt.Errorf("sample: group %w", err)
	}
	if err := CheckName(s.Metric); err != nil {
		return fmt.Errorf("sample of group %q: metric %w", s.Group, err)
	}
	switch {
	case !s.Stat.Valid():
		return fmt.Errorf("sample %s/%s: unknown stat %q", s.Group, s.Metric, s.Stat)
	case s.Time.IsZero():
		return fmt.Errorf("sample %s/%s: time is not set", s.Group, s.Metric)
	case math.IsNaN(s.Value) || math.IsInf(s.Value, 0):
		return fmt.Errorf("sample %s/%s at %s: value %v is not finite; leave a missing value out",
			s.Group, s.Metric, s.Time.UTC().Format(time.RFC3339), s.Value)
	}
	return nil
}

// MaxNameLen bounds, in bytes, the names that come from outside: groups,
// metrics, flags and models.
const MaxNameLen = 255

// CheckName returns an error unless a name from outside can be stored and shown: 1
// to MaxNameLen bytes of UTF-8 without control characters. One name in another
// encoding would keep other readers of Parquet from the whole file, and a control
// character speaks to the terminal that it is printed on.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("is empty")
	case len(name) > MaxNameLen:
		return fmt.Errorf("%.40q… is longer than %d bytes", name, MaxNameLen)
	case !plainASCII(name) && (!utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl)):
		return fmt.Errorf("%.40q is not UTF-8 without control characters", name)
	}
	return nil
}

// plainASCII spares nearly all names the decoding of runes.
func plainASCII(name string) bool {
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' {
			return false
		}
	}
	return true
}

// Metric describes one well-known metric.
type Metric struct {
	Name    string
	Unit    string
	Default Stat // the statistic that the bare metric name stands for in a series name
}

// Names of the metrics that the code itself gives a meaning to.
const (
	MetricCPU       = "cpu_utilization"
	MetricNetworkIn = "network_in"
	MetricRequests  = "request_count"
	MetricInService = "instances_in_service"
	MetricDesired   = "instances_desired"
	MetricResponse  = "response_time"
)

// SeriesDemand is the derived series that models of a scaled group forecast:
// cpu_utilization/100 x instances_in_service, in instance-equivalents of work.
// CPU alone depends on how many instances share the load, so a model of it
// would learn the scaler's own actions.
const SeriesDemand = "demand"

// Metrics is the table of well-known metrics. A metric outside of it is stored
// as it comes, with StatAvg as its default.
var Metrics = []Metric{
	{MetricCPU, "percent", StatAvg},
	{MetricNetworkIn, "bytes per step", StatSum},
	{MetricRequests, "requests per step", StatSum},
	{MetricInService, "instances", StatAvg},
	{MetricDesired, "instances", StatAvg},
	{MetricResponse, "seconds", StatAvg},
	{"network_out", "bytes per step", StatSum},
	{"memory_utilization", "percent", StatAvg},
	{"network_latency", "seconds", StatAvg},
	{"temperature", "degrees Celsius", StatAvg},
	{"power", "watts", StatAvg},
	{"humidity", "percent", StatAvg},
	{"event_count", "events per step", StatSum},
}

// DefaultStat returns the statistic that a bare metric name stands for.
func DefaultStat(metric string) Stat {
	for _, m := range Metrics {
		if m.Name == metric {
			return m.Default
		}
	}
	return StatAvg
}

// SeriesName returns the name under which models and windows know a metric: the
// metric itself for its default statistic, otherwise metric_stat, for example
// response_time_p95.
func SeriesName(metric string, stat Stat) string {
	if stat == DefaultStat(metric) {
		return metric
	}
	return metric + "_" + string(stat)
}
