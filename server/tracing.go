package server

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/time/rate"

	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/catalog"
)

// Tracing says where traces of requests go, as OTLP over HTTP.
type Tracing struct {
	// Endpoint is the URL that takes them, for example
	// http://127.0.0.1:4318/v1/traces; empty, the default: there are no traces.
	Endpoint string `yaml:"endpoint"`
	// Share is the share of requests that are traced, 0 to 1. A request whose
	// traceparent says that its trace is not sampled is never traced.
	Share float64 `yaml:"share"`
}

// validate returns what is wrong, as field and fault.
func (t Tracing) validate(fault func(field, format string, args ...any)) {
	if u, err := url.Parse(t.Endpoint); t.Endpoint != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil) {
		fault("tracing.endpoint", "%q is not of the form http://HOST:PORT/v1/traces", t.Endpoint)
	}
	if !(t.Share >= 0 && t.Share <= 1) {
		fault("tracing.share", "is %g, must be 0 to 1", t.Share)
	}
}

// Bounds of what waits to be sent, in spans, and of the last sending at the end.
const (
	tracesWaiting = 2048
	tracesEnd     = 2 * time.Second
)

// traceContext reads and writes traceparent and tracestate (W3C Trace Context).
var traceContext propagation.TraceContext

// noTracer is the tracer of a server without an endpoint for traces.
var noTracer = noop.NewTracerProvider().Tracer("")

// startTracing sets the tracer and returns what sends the last spans. What cannot be
// sent is dropped: no request waits for it.
func (s *Server) startTracing(ctx context.Context) (stop func(), err error) {
	t := s.cfg.Tracing
	if t.Endpoint == "" {
		return func() {}, nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(t.Endpoint), otlptracehttp.WithTimeout(5*time.Second))
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	limit := rate.NewLimiter(rate.Every(time.Minute), 1)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { // the SDK has one for the whole process
		if limit.Allow() {
			s.deps.Log.Warn("traces cannot be sent", "endpoint", t.Endpoint, "err", err)
		}
	}))
	byShare := sdktrace.TraceIDRatioBased(t.Share)
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(tracesWaiting)),
		sdktrace.WithSampler(sdktrace.ParentBased(byShare, sdktrace.WithRemoteParentSampled(byShare))),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "forescale-server"), attribute.String("service.version", cli.Version))),
	)
	s.tracer = provider.Tracer("github.com/forescale/forescale/server")
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), tracesEnd)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			s.deps.Log.Warn("the last traces were not sent", "err", err)
		}
	}, nil
}

// span begins the span of a request whose trace the carrier may name.
func (s *Server) span(ctx context.Context, carrier propagation.TextMapCarrier, name string) (context.Context, trace.Span) {
	if s.tracer == noTracer {
		return ctx, trace.SpanFromContext(ctx)
	}
	return s.tracer.Start(traceContext.Extract(ctx, carrier), name, trace.WithSpanKind(trace.SpanKindServer))
}

// runSpan begins the span of one run of a version, waiting included, if the request
// is traced.
func (s *Server) runSpan(ctx context.Context, v *catalog.Version, b batch.Batch) (context.Context, trace.Span) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, noop.Span{}
	}
	return s.tracer.Start(ctx, "run", trace.WithAttributes(attribute.String("model", v.Manifest.Name),
		attribute.Int("version", v.Manifest.Version), attribute.Int("rows", max(1, b.Rows))))
}

// endSpan ends the span of a request with its error, if it is the server's.
func endSpan(span trace.Span, failed bool, err error) {
	if failed {
		text := ""
		if err != nil {
			text = err.Error()
		}
		span.SetStatus(codes.Error, text)
	}
	span.End()
}

// metadataCarrier reads the headers of a gRPC call, whose names are in lower case.
type metadataCarrier map[string][]string

// Get implements propagation.TextMapCarrier.
func (m metadataCarrier) Get(key string) string {
	if values := m[key]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// Set implements propagation.TextMapCarrier.
func (m metadataCarrier) Set(key, value string) { m[key] = []string{value} }

// Keys implements propagation.TextMapCarrier.
func (m metadataCarrier) Keys() []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	return keys
}
