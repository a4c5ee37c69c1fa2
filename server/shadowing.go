package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/catalog"
	"github.com/forescale/forescale/server/oip"
	"github.com/forescale/forescale/server/shadow"
	"github.com/forescale/forescale/server/tensor"
)

// maxCopied bounds the elements of a request that is copied for a shadow.
const maxCopied = 1 << 18

// shadowed returns the version to which requests that v has answered are copied; 0:
// none.
func (s *Server) shadowed(v *catalog.Version) int {
	version := s.catalog.Shadow(v.Manifest.Name)
	if version == v.Manifest.Version {
		return 0
	}
	return version
}

// mirrorWindows copies windows that v has answered to its model's shadow, if it has
// one. The shadow reads them by its own Spec, so its inputs may be other ones.
func (s *Server) mirrorWindows(v *catalog.Version, windows []api.Window, indices []int, forecasts []api.Forecast) {
	version := s.shadowed(v)
	if version == 0 {
		return
	}
	name := v.Manifest.Name
	size := 0
	for _, i := range indices {
		size += elements(windows[i])
	}
	if size > maxCopied {
		s.metrics.ShadowDropped(name)
		return
	}
	s.mirror.Offer(name, func() shadow.Job {
		var copies []api.Window
		var points [][]float64
		for _, i := range indices {
			if forecasts[i].Error == nil { // what was not answered cannot be compared
				copies, points = append(copies, cloneWindow(windows[i])), append(points, slices.Clone(forecasts[i].Point))
			}
		}
		if len(copies) == 0 {
			return nil
		}
		return func(ctx context.Context) ([]float64, error) {
			return s.shadowWindows(ctx, name, version, copies, points)
		}
	})
}

// shadowWindows answers windows by a shadow and compares the point forecasts with
// those that were given.
func (s *Server) shadowWindows(ctx context.Context, name string, version int, windows []api.Window, points [][]float64) ([]float64, error) {
	v, err := s.catalog.Kept(name, version)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", shadow.ErrLoad, err)
	}
	defer v.Release()
	if v.Foreign() {
		return nil, fmt.Errorf("%w: version %d takes no windows", shadow.ErrRequest, version)
	}
	indices, forecasts := make([]int, len(windows)), make([]api.Forecast, len(windows))
	for i := range indices {
		indices[i] = i
	}
	if err := s.forecastBy(ctx, v, v.Session(), plainFault, windows, indices, forecasts); err != nil {
		return nil, fmt.Errorf("%w: %w", shadow.ErrRun, err)
	}
	var differences []float64
	for i, f := range forecasts {
		switch {
		case f.Error != nil && f.Error.Status < 500:
			return nil, fmt.Errorf("%w: %w", shadow.ErrRequest, f.Error)
		case f.Error != nil:
			return nil, fmt.Errorf("%w: %w", shadow.ErrRun, f.Error)
		}
		n := min(len(points[i]), len(f.Point)) // of the steps that both forecast
		differences = append(differences, shadow.Difference(points[i][:n], f.Point[:n]))
	}
	return differences, nil
}

// plainFault is modelFault without the log and the metrics of what serves.
func plainFault(_ *catalog.Version, err error) error {
	return problem(http.StatusInternalServerError, "", "%v", err)
}

// mirrorTensors copies a run of v to its model's shadow, if it has one.
func (s *Server) mirrorTensors(v *catalog.Version, b batch.Batch, outputs []tensor.Tensor) {
	version := s.shadowed(v)
	if version == 0 {
		return
	}
	size := 0
	for _, t := range slices.Concat(b.Inputs, outputs) {
		size += t.Len()
	}
	if size > maxCopied {
		s.metrics.ShadowDropped(v.Manifest.Name)
		return
	}
	name := v.Manifest.Name
	s.mirror.Offer(name, func() shadow.Job {
		inputs, given := named(v.Session().Inputs(), clones(b.Inputs)), named(v.Session().Outputs(), clones(outputs))
		return func(ctx context.Context) ([]float64, error) {
			return s.shadowTensors(ctx, name, version, inputs, given)
		}
	})
}

// named are the tensors of a run of v, each with its name and type.
func named(infos []tensor.Info, tensors []tensor.Tensor) []oip.Input {
	all := make([]oip.Input, len(tensors))
	for i, t := range tensors {
		all[i] = oip.Input{Name: infos[i].Name, Type: infos[i].Type, Tensor: t}
	}
	return all
}

// shadowTensors runs a shadow on the inputs of a run and compares its outputs, those
// that are numbers, with the given ones, by their names: the whole run counts as one
// row.
func (s *Server) shadowTensors(ctx context.Context, name string, version int, inputs, given []oip.Input) ([]float64, error) {
	v, err := s.catalog.Kept(name, version)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", shadow.ErrLoad, err)
	}
	defer v.Release()
	infos := v.Session().Outputs()
	var b batch.Batch
	if b.Inputs, err = (oip.Request{Inputs: inputs}).Bind(v.Session().Inputs()); err != nil {
		return nil, fmt.Errorf("%w: version %d: %w", shadow.ErrRequest, version, err)
	}
	if tensor.Batched(v.Session().Inputs(), infos) {
		b.Rows = b.Inputs[0].Rows()
	}
	outputs, err := v.Session().Run(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", shadow.ErrRun, err)
	}
	var a, b64 []float64
	for _, g := range given {
		i := slices.IndexFunc(infos, func(info tensor.Info) bool { return info.Name == g.Name })
		if i < 0 {
			return nil, fmt.Errorf("%w: version %d has no output %q", shadow.ErrRun, version, g.Name)
		}
		a, b64 = append(a, g.Tensor.Float64s()...), append(b64, outputs[i].Float64s()...)
	}
	return []float64{shadow.Difference(a, b64)}, nil
}

// ShadowCompared implements shadow.Observer.
func (o observer) ShadowCompared(model string, differences []float64) {
	for _, d := range differences {
		if math.IsNaN(d) {
			o.ShadowFailed(model, fmt.Errorf("%w: its answer is not finite, or of another length", shadow.ErrRun))
			continue
		}
		o.metrics.shadowRows.WithLabelValues(model).Inc()
		o.metrics.shadowDifference.WithLabelValues(model).Observe(d)
	}
}

// ShadowDropped implements shadow.Observer.
func (m *metrics) ShadowDropped(model string) { m.shadowDropped.WithLabelValues(model).Inc() }

// shadowReasons are the values of the label reason of shadow_errors_total.
var shadowReasons = []string{shadow.ErrLoad.Error(), shadow.ErrRequest.Error(), shadow.ErrRun.Error(), shadowTimeout}

const shadowTimeout = "timeout"

// ShadowFailed implements shadow.Observer.
func (o observer) ShadowFailed(model string, err error) {
	if errors.Is(err, catalog.ErrNotLoaded) {
		o.metrics.ShadowDropped(model)
		return
	}
	reason := shadowTimeout
	for _, known := range []error{shadow.ErrLoad, shadow.ErrRequest, shadow.ErrRun} {
		if errors.Is(err, known) {
			reason = known.Error()
		}
	}
	o.metrics.shadowErrors.WithLabelValues(model, reason).Inc()
	if o.server.shadowLog.Allow() { // it may be every request
		o.server.deps.Log.Warn("shadow could not be compared", "model", model, "err", err)
	}
}

func clones(tensors []tensor.Tensor) []tensor.Tensor {
	all := make([]tensor.Tensor, len(tensors))
	for i, t := range tensors {
		all[i] = t.Clone()
	}
	return all
}

// elements returns how many numbers a window holds, a series counting as one, too.
func elements(w api.Window) (n int) {
	count := func(all map[string]api.Series) {
		for _, values := range all {
			n += 1 + len(values)
		}
	}
	count(w.Series)
	count(w.Future)
	for _, offsets := range w.Lags {
		for _, values := range offsets {
			n += 1 + len(values)
		}
	}
	return n
}

// cloneWindow returns a copy of a window that shares nothing with it but its names.
func cloneWindow(w api.Window) api.Window {
	w.Series, w.Future = cloneSeries(w.Series), cloneSeries(w.Future)
	w.Lags = maps.Clone(w.Lags)
	for name, offsets := range w.Lags {
		w.Lags[name] = cloneSeries(offsets)
	}
	return w
}

func cloneSeries[K comparable](all map[K]api.Series) map[K]api.Series {
	copied := maps.Clone(all)
	for name, values := range copied {
		copied[name] = slices.Clone(values)
	}
	return copied
}
