package client

import (
	"context"
	"encoding/hex"
)

// traceKey is the key of a context's traceparent.
type traceKey struct{}

// WithTrace returns a context whose calls are parts of a trace (W3C Trace Context,
// version 00): the server's spans hang below the span of that trace. Of what is not
// sampled it traces nothing. An id that is zero is none, and the context is returned
// as it is.
func WithTrace(ctx context.Context, trace [16]byte, span [8]byte, sampled bool) context.Context {
	if trace == [16]byte{} || span == [8]byte{} {
		return ctx
	}
	flags := "-00"
	if sampled {
		flags = "-01"
	}
	return context.WithValue(ctx, traceKey{}, "00-"+hex.EncodeToString(trace[:])+"-"+hex.EncodeToString(span[:])+flags)
}
