package trainer

import (
	"encoding/json"

	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/feature"
	"github.com/forescale/forescale/trainer/onnx"
)

// exporter adds members to a graph, each and what they share once.
type exporter struct {
	graph *onnx.Graph
	spec  models.Spec
	// The inputs, bounded by feature.ClipRaw: series [batch, Lookback, channels],
	// context [batch, …] or "", and row, both one behind the other.
	series, context, row string

	spread  string // of the quantiles, "" until somebody asks
	sets    map[*feature.Set]feature.Exported
	members map[member]string
}

func newExporter(spec models.Spec) *exporter {
	g := onnx.NewGraph("forecast")
	e := &exporter{graph: g, spec: spec, sets: map[*feature.Set]feature.Exported{}, members: map[member]string{}}
	wide, extra := widths(spec)
	e.series = g.Clip("series_finite", g.Input(onnx.SeriesInput, onnx.DynamicBatch, spec.Lookback, spec.Channels()), -feature.ClipRaw, feature.ClipRaw)
	e.row = g.Reshape("series_row", e.series, 0, int64(wide))
	if extra > 0 {
		e.context = g.Clip("context_finite", g.Input(onnx.ContextInput, onnx.DynamicBatch, window.ContextLen(spec)), -feature.ClipRaw, feature.ClipRaw)
		e.row = g.Concat("row", 1, e.row, e.context)
	}
	return e
}

// of returns the name of a member's forecasts.
func (e *exporter) of(m member) string {
	name, ok := e.members[m]
	if !ok {
		name = m.export(e)
		e.members[m] = name
	}
	return name
}

// set returns the names of a set's results.
func (e *exporter) set(s *feature.Set) feature.Exported {
	x, ok := e.sets[s]
	if !ok {
		x = s.Export(e.graph, e.row)
		e.sets[s] = x
	}
	return x
}

// forecast adds the physical forecasts that changes of base mean, in the mode of
// set.
func (e *exporter) forecast(name string, s *feature.Set, base, change string) string {
	return s.ExportForecast(e.graph, name, base, e.set(s), change)
}

// export returns the fitted model as a model file: features, members, the way
// they are combined, quantiles, and the Spec in its metadata.
func (s *study) export() ([]byte, error) {
	spec, err := json.Marshal(s.spec)
	if err != nil {
		return nil, err
	}
	e := newExporter(s.spec)
	point := e.of(s.final)
	if s.guard != nil {
		point = s.guard.export(e, point)
	}
	e.output(onnx.ForecastOutput, point, s.floor, s.spec.Horizon)
	if s.spread != nil {
		quantiles, peaks := s.spread.export(e, point)
		e.output(onnx.QuantilesOutput, quantiles, s.floor, s.spec.Horizon, len(s.spec.Quantiles))
		e.output(onnx.PeaksOutput, peaks, s.floor, s.spec.Horizon, len(s.spec.Quantiles))
	}
	e.graph.Metadata(models.MetadataKey, string(spec))
	return e.graph.Marshal(), nil
}

// output declares a value as an output [batch, dims], not below zero with floor.
func (e *exporter) output(name, value string, floor bool, dims ...int) {
	if floor {
		e.graph.Max(name, value, e.graph.Constant(name+".floor", []float32{0}, 1))
	} else { // an output needs a name of its own
		e.graph.Add(name, value, e.graph.Constant(name+".zero", []float32{0}, 1))
	}
	e.graph.Output(name, append([]int{onnx.DynamicBatch}, dims...)...)
}
