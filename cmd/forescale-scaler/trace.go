package main

import (
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"log/slog"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/api/client"
	"github.com/forescale/forescale/scaler"
)

// tracing is a forecaster whose calls are traces of their own, for a server that
// traces. The log has their ids at debug level.
type tracing struct {
	scaler.Forecaster
	log *slog.Logger
}

// Predict implements scaler.Forecaster.
func (t tracing) Predict(ctx context.Context, req api.PredictRequest) (api.PredictResponse, error) {
	var trace [16]byte
	var span [8]byte
	_, _ = crand.Read(trace[:]) // never fails, see its documentation
	_, _ = crand.Read(span[:])
	t.log.Debug("asking for forecasts", "trace", hex.EncodeToString(trace[:]), "windows", len(req.Windows))
	return t.Forecaster.Predict(client.WithTrace(ctx, trace, span, true), req)
}
