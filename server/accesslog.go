package server

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// accessLog writes a line for every n-th request, and for those that failed by the
// server's fault, of which no more than a few a second.
type accessLog struct {
	every  uint64 // 0: there is no access log
	log    *slog.Logger
	count  atomic.Uint64
	faults *rate.Limiter
}

func newAccessLog(every int, log *slog.Logger) *accessLog {
	return &accessLog{every: uint64(every), log: log, faults: rate.NewLimiter(10, 10)}
}

// visit is one request. Nothing in it is from a body, a query or a secret.
type visit struct {
	protocol, method, route, code, peer string
	bytes                               int64 // of the answer; -1: unknown
	took                                time.Duration
	failed                              bool // by the server's fault
	err                                 error
}

// note logs a request if it is its turn.
func (l *accessLog) note(ctx context.Context, a visit) {
	if l.every == 0 {
		return
	}
	sampled := l.count.Add(1)%l.every == 0
	if !sampled && !(a.failed && l.faults.Allow()) {
		return
	}
	attrs := []slog.Attr{slog.String("protocol", a.protocol), slog.String("method", a.method), slog.String("route", a.route),
		slog.String("code", a.code), slog.String("peer", a.peer), slog.Duration("took", a.took), slog.Bool("sampled", sampled)}
	if a.bytes >= 0 {
		attrs = append(attrs, slog.Int64("bytes", a.bytes))
	}
	if a.err != nil {
		attrs = append(attrs, slog.String("err", a.err.Error()))
	}
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		attrs = append(attrs, slog.String("trace", span.TraceID().String()))
	}
	l.log.LogAttrs(ctx, slog.LevelInfo, "access", attrs...)
}
