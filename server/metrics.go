package server

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/forescale/forescale/server/batch"
)

// metrics are what /metrics shows. Labels take values from the routes, the status
// codes and the registry, never from what a client sends.
type metrics struct {
	registry *prometheus.Registry

	requests *prometheus.CounterVec   // route, method, code
	duration *prometheus.HistogramVec // route
	inFlight prometheus.Gauge
	panics   prometheus.Counter

	calls    *prometheus.CounterVec   // method, code
	callTime *prometheus.HistogramVec // method

	rows     *prometheus.CounterVec // model
	failed   *prometheus.CounterVec // code: windows that got an error instead of a forecast
	runTime  prometheus.Histogram
	runRows  prometheus.Histogram
	rejected prometheus.Counter

	loads    *prometheus.CounterVec // model, result
	loadTime prometheus.Histogram
	info     *prometheus.GaugeVec // model, version
	reads    *prometheus.CounterVec
	lastRead prometheus.Gauge
	now      func() time.Time
}

func newMetrics(gate *batch.Gate, now func() time.Time) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), now: now}
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "forescale", Name: name, Help: help}
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), labels)
	}
	m.requests = counter("http_requests_total", "HTTP requests answered.", "route", "method", "code")
	m.duration = prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "forescale", Name: "http_request_duration_seconds",
		Help: "Time from the header of a request to its last answered byte.", Buckets: latencyBuckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour}, []string{"route"})
	m.inFlight = prometheus.NewGauge(prometheus.GaugeOpts(opts("http_requests_in_flight", "HTTP requests in progress.")))
	m.panics = prometheus.NewCounter(prometheus.CounterOpts(opts("http_panics_total", "HTTP and gRPC requests whose handler panicked.")))
	m.calls = counter("grpc_requests_total", "gRPC requests answered.", "method", "code")
	m.callTime = prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "forescale", Name: "grpc_request_duration_seconds",
		Help: "Time of a gRPC request, without receiving and sending its messages.", Buckets: latencyBuckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour}, []string{"method"})
	m.rows = counter("predict_rows_total", "Rows that models have answered.", "model")
	m.failed = counter("predict_window_errors_total", "Windows that got an error in place of a forecast, by its status.", "code")
	m.runTime = prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "forescale", Name: "predict_run_duration_seconds",
		Help: "Time of one run of a model, waiting included.", Buckets: latencyBuckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour})
	m.runRows = prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "forescale", Name: "predict_run_rows",
		Help: "Rows that shared a run of a model.", Buckets: []float64{1, 2, 4, 8, 12, 16, 24, 32, 48, 64}})
	m.rejected = prometheus.NewCounter(prometheus.CounterOpts(opts("predict_rejected_total", "Runs refused because the queue was full.")))
	m.loads = counter("model_loads_total", "Model versions tried, by result: ok or error.", "model", "result")
	m.loadTime = prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "forescale", Name: "model_load_duration_seconds",
		Help: "Time to fetch, load and verify a model version.", Buckets: prometheus.ExponentialBuckets(0.002, 2.5, 10)})
	m.info = prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("model_info", "1 for each model version that serves.")), []string{"model", "version"})
	m.reads = counter("registry_reads_total", "Readings of the model registry, by result: ok or error.", "result")
	m.lastRead = prometheus.NewGauge(prometheus.GaugeOpts(opts("registry_last_read_timestamp_seconds", "Unix time of the last successful reading of the registry.")))
	m.registry.MustRegister(m.requests, m.duration, m.inFlight, m.panics, m.calls, m.callTime, m.rows, m.failed, m.runTime, m.runRows, m.rejected,
		m.loads, m.loadTime, m.info, m.reads, m.lastRead,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("predict_rows_waiting", "Rows that wait for their run.")), func() float64 { return float64(gate.Waiting()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("predict_runs_in_progress", "Runs that go on.")), func() float64 { return float64(gate.Running()) }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// latencyBuckets reach from a small model's run to the default request timeout.
var latencyBuckets = []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// ran is told of each run.
func (m *metrics) ran(r batch.Report) {
	m.runRows.Observe(float64(r.Rows))
}

func result(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}

// Loaded implements catalog.Observer.
func (m *metrics) Loaded(name string, version int, took time.Duration, err error) {
	m.loads.WithLabelValues(name, result(err)).Inc()
	m.loadTime.Observe(took.Seconds())
	if err == nil {
		m.info.WithLabelValues(name, strconv.Itoa(version)).Set(1)
	}
}

// Unloaded implements catalog.Observer.
func (m *metrics) Unloaded(name string, version int) {
	m.info.DeleteLabelValues(name, strconv.Itoa(version))
}

// RegistryRead implements catalog.Observer.
func (m *metrics) RegistryRead(err error) {
	m.reads.WithLabelValues(result(err)).Inc()
	if err == nil {
		m.lastRead.Set(float64(m.now().UnixNano()) / 1e9)
	}
}
