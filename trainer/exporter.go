package trainer

import (
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/feature"
	"github.com/forescale/forescale/trainer/onnx"
)

// exporter adds members to a graph, each and what they share once.
type exporter struct {
	graph   *onnx.Graph
	spec    models.Spec
	row     string // the encoded window in one row [batch, …]: series, then context
	sets    map[*feature.Set]feature.Exported
	members map[member]string
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
