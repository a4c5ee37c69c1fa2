package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/catalog"
	"github.com/forescale/forescale/server/request"
	"github.com/forescale/forescale/server/tensor"
)

// maxRows bounds the rows of one run. More rows go in several runs, so that one
// large request neither needs tensors of its own size nor blocks a worker for
// long.
const maxRows = 64

// forecast answers a request with windows. A window that cannot be answered gets
// its error in its own forecast; the returned error is about the request as a
// whole.
func (s *Server) forecast(ctx context.Context, req *request.Request) (api.PredictResponse, error) {
	response := api.PredictResponse{Forecasts: make([]api.Forecast, len(req.Windows))}
	resolved, err := s.resolve(ctx, req, response.Forecasts)
	defer func() {
		for _, r := range resolved {
			r.version.Release()
		}
	}()
	if err != nil {
		return response, err
	}
	for _, r := range resolved {
		for first := 0; first < len(r.windows); first += maxRows {
			part := r.windows[first:min(first+maxRows, len(r.windows))]
			if err := s.forecastRows(ctx, r.version, req.Windows, part, response.Forecasts); err != nil {
				return response, err
			}
		}
	}
	if len(resolved) == 1 {
		response.Model, response.Version = resolved[0].version.Manifest.Name, resolved[0].version.Manifest.Version
	}
	for _, f := range response.Forecasts {
		if f.Error != nil {
			s.metrics.failed.WithLabelValues(strconv.Itoa(f.Error.Status)).Inc()
		}
	}
	return response, nil
}

// resolution is a version with the windows, by their index, that it answers.
type resolution struct {
	version *catalog.Version
	windows []int
}

// resolve finds the version for each window, in order of first appearance. The
// caller releases the versions, with an error too.
func (s *Server) resolve(ctx context.Context, req *request.Request, forecasts []api.Forecast) ([]*resolution, error) {
	if req.Model != "" {
		v, err := s.catalog.Named(ctx, req.Model)
		if err != nil {
			return nil, inField(err, "model")
		}
		all := make([]int, len(req.Windows))
		for i := range all {
			all[i] = i
		}
		return []*resolution{{v, all}}, nil
	}
	var resolved []*resolution
	byVersion := map[*catalog.Version]*resolution{}
	byGroup := map[string]error{} // groups without a version, to ask once for each
	for i, w := range req.Windows {
		err, failed := byGroup[w.Group]
		var v *catalog.Version
		if !failed {
			if v, err = s.catalog.ForGroup(ctx, w.Group); err != nil {
				if ctx.Err() != nil {
					return resolved, context.Cause(ctx)
				}
				byGroup[w.Group] = err
			}
		}
		if err != nil {
			forecasts[i] = withError(w, problemOf(inField(err, fmt.Sprintf("windows[%d].group", i))))
			continue
		}
		if r := byVersion[v]; r != nil {
			v.Release() // it is held by the resolution already
			r.windows = append(r.windows, i)
			continue
		}
		r := &resolution{v, []int{i}}
		byVersion[v] = r
		resolved = append(resolved, r)
	}
	return resolved, nil
}

// forecastRows encodes the given windows, runs the version on them, fills in their
// forecasts and copies them to the shadow.
func (s *Server) forecastRows(ctx context.Context, v *catalog.Version, windows []api.Window, indices []int, forecasts []api.Forecast) error {
	err := s.forecastBy(ctx, v, s.run(v), s.modelFault, windows, indices, forecasts)
	if err == nil {
		s.mirrorWindows(v, windows, indices, forecasts)
	}
	return err
}

// forecastBy is forecastRows by a runner of the version and without a shadow. fault
// makes an error of the model fit for the client.
func (s *Server) forecastBy(ctx context.Context, v *catalog.Version, by batch.Runner, fault func(*catalog.Version, error) error,
	windows []api.Window, indices []int, forecasts []api.Forecast) error {
	if v.Foreign() {
		for _, i := range indices {
			forecasts[i] = withError(windows[i], problem(http.StatusUnprocessableEntity, fmt.Sprintf("windows[%d]", i),
				"model %s does not say how to read a window; it takes instances", v.Manifest.Name))
		}
		return nil
	}
	spec := v.Manifest.Spec
	rowLen, contextLen := spec.Lookback*spec.Channels(), window.ContextLen(spec)
	series, extra := make([]float32, rowLen*len(indices)), make([]float32, contextLen*len(indices))
	rows := make([]int, 0, len(indices)) // index of the window in each encoded row
	for _, i := range indices {
		n := len(rows)
		err := window.Encode(spec, &windows[i], series[n*rowLen:(n+1)*rowLen], extra[n*contextLen:(n+1)*contextLen])
		if err != nil {
			forecasts[i] = withError(windows[i], encodeProblem(i, err))
			continue
		}
		rows = append(rows, i)
	}
	if len(rows) == 0 {
		return nil
	}
	answer, err := v.ForecastBy(ctx, by, len(rows), series[:len(rows)*rowLen], extra[:len(rows)*contextLen])
	switch {
	case err != nil && (ctx.Err() != nil || errors.Is(err, batch.ErrFull)):
		return err
	case err != nil:
		p := problemOf(fault(v, err))
		for _, i := range rows {
			forecasts[i] = withError(windows[i], p)
		}
		return nil
	}
	for n, i := range rows {
		row := answer.Row(spec, n)
		f, err := v.Manifest.Forecast(&windows[i], row.Forecast, row.Quantiles, row.Peaks)
		if err != nil {
			f = withError(windows[i], problemOf(fault(v, err)))
		}
		forecasts[i] = f
	}
	return nil
}

// encodeProblem says which field of window i does not fit its model.
func encodeProblem(i int, err error) *api.Problem {
	place := fmt.Sprintf("windows[%d]", i)
	var field *window.FieldError
	if errors.As(err, &field) {
		return problem(http.StatusUnprocessableEntity, place+"."+field.Field, "%s", field.Detail)
	}
	return problem(http.StatusUnprocessableEntity, place, "%v", err)
}

// run returns the runner of a version: its session, behind the gate, measured.
func (s *Server) run(v *catalog.Version) batch.Runner { return gated{s, v} }

type gated struct {
	server  *Server
	version *catalog.Version
}

// Run implements batch.Runner.
func (g gated) Run(ctx context.Context, b batch.Batch) ([]tensor.Tensor, error) {
	m := g.server.metrics
	ctx, span := g.server.runSpan(ctx, g.version, b)
	outputs, err := g.server.gate.Run(ctx, g.version.Session(), b)
	endSpan(span, err != nil, err)
	switch {
	case errors.Is(err, batch.ErrFull):
		m.rejected.Inc()
	case err == nil:
		m.rows.WithLabelValues(g.version.Manifest.Name).Add(float64(max(1, b.Rows)))
	}
	return outputs, err
}

// runs puts what the gate tells into the metrics and the traces.
type runs struct{ server *Server }

// Turn implements batch.Observer.
func (r runs) Turn(ctx context.Context, waited time.Duration) {
	trace.SpanFromContext(ctx).AddEvent("turn")
	r.server.metrics.waitTime.Observe(waited.Seconds())
}

// Ran implements batch.Observer.
func (r runs) Ran(report batch.Report) {
	r.server.metrics.runTime.Observe(report.Took.Seconds())
	r.server.metrics.runRows.Observe(float64(report.Rows))
}
