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

	errors   *prometheus.CounterVec // reason
	rows     *prometheus.CounterVec // model
	failed   *prometheus.CounterVec // code: windows that got an error instead of a forecast
	faults   *prometheus.CounterVec // model: it failed at run time
	waitTime prometheus.Histogram
	runTime  prometheus.Histogram
	runRows  prometheus.Histogram
	rejected prometheus.Counter

	shadowRows       *prometheus.CounterVec   // model
	shadowDropped    *prometheus.CounterVec   // model
	shadowErrors     *prometheus.CounterVec   // model, reason
	shadowDifference *prometheus.HistogramVec // model

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
	seconds := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Namespace: "forescale", Name: name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour}
	}
	m.requests = counter("http_requests_total", "HTTP requests answered.", "route", "method", "code")
	m.duration = prometheus.NewHistogramVec(seconds("http_request_duration_seconds", "Time from the header of a request to its last answered byte.", latencyBuckets), []string{"route"})
	m.inFlight = prometheus.NewGauge(prometheus.GaugeOpts(opts("http_requests_in_flight", "HTTP requests in progress.")))
	m.panics = prometheus.NewCounter(prometheus.CounterOpts(opts("http_panics_total", "HTTP and gRPC requests whose handler panicked.")))
	m.calls = counter("grpc_requests_total", "gRPC requests answered.", "method", "code")
	m.callTime = prometheus.NewHistogramVec(seconds("grpc_request_duration_seconds", "Time of a gRPC request, without receiving and sending its messages.", latencyBuckets), []string{"method"})
	m.errors = counter("request_errors_total", "HTTP and gRPC requests answered with an error, by its reason.", "reason")
	m.rows = counter("predict_rows_total", "Rows that models have answered.", "model")
	m.failed = counter("predict_window_errors_total", "Windows that got an error in place of a forecast, by its status.", "code")
	m.faults = counter("model_faults_total", "Requests that a model's run failed, or whose answer must not be handed out.", "model")
	m.waitTime = prometheus.NewHistogram(seconds("predict_wait_duration_seconds", "Time for which a request waited for its run, or the first of its runs.", latencyBuckets))
	m.runTime = prometheus.NewHistogram(seconds("predict_run_duration_seconds", "Time of one run of a model.", latencyBuckets))
	m.runRows = prometheus.NewHistogram(seconds("predict_batch_rows", "Rows that shared a run of a model.", []float64{1, 2, 4, 8, 12, 16, 24, 32, 48, 64}))
	m.rejected = prometheus.NewCounter(prometheus.CounterOpts(opts("predict_rejected_total", "Runs refused because the queue was full.")))
	m.shadowRows = counter("shadow_rows_total", "Rows whose answer by the shadow was compared with the one that was given.", "model")
	m.shadowDropped = counter("shadow_dropped_total", "Copies of requests that were not put to the shadow, because there was no room, or it is not loaded.", "model")
	m.shadowErrors = counter("shadow_errors_total", "Copies of requests that the shadow could not be compared by: load, request, run or timeout.", "model", "reason")
	m.shadowDifference = prometheus.NewHistogramVec(seconds("shadow_difference_ratio",
		"How far the answer of the shadow to a row is from the one that was given: sum of differences over the greater sum of values, 0 equal, 2 opposite.",
		[]float64{.0001, .001, .01, .02, .05, .1, .2, .5, 1}), []string{"model"})
	m.loads = counter("model_loads_total", "Model versions tried, by result: ok or error.", "model", "result")
	m.loadTime = prometheus.NewHistogram(seconds("model_load_duration_seconds", "Time to fetch, load and verify a model version.", prometheus.ExponentialBuckets(0.002, 2.5, 10)))
	m.info = prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("model_info", "1 for each model version that serves.")), []string{"model", "version"})
	m.reads = counter("registry_reads_total", "Readings of the model registry, by result: ok or error.", "result")
	m.lastRead = prometheus.NewGauge(prometheus.GaugeOpts(opts("registry_last_read_timestamp_seconds", "Unix time of the last successful reading of the registry.")))
	m.registry.MustRegister(m.requests, m.duration, m.inFlight, m.panics, m.calls, m.callTime, m.errors,
		m.rows, m.failed, m.faults, m.waitTime, m.runTime, m.runRows, m.rejected,
		m.shadowRows, m.shadowDropped, m.shadowErrors, m.shadowDifference,
		m.loads, m.loadTime, m.info, m.reads, m.lastRead,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("predict_rows_waiting", "Rows that wait for their run.")), func() float64 { return float64(gate.Waiting()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("predict_runs_in_progress", "Runs that go on.")), func() float64 { return float64(gate.Running()) }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, reason := range reasons { // there from the start, so that the first one is an increase
		m.errors.WithLabelValues(reason)
	}
	return m
}

// latencyBuckets reach from a small model's run to the default request timeout.
var latencyBuckets = []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

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
		m.faults.WithLabelValues(name) // there from the start, so that the first one is an increase
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
