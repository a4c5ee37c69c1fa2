package trainer

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/nn"
	"github.com/forescale/forescale/trainer/onnx"
)

// export returns the fitted model as a model file: scaling, network, the way
// back, and the Spec in its metadata.
func (f *fit) export() ([]byte, error) {
	spec, err := json.Marshal(f.spec)
	if err != nil {
		return nil, err
	}
	g := onnx.NewGraph("forecast")
	x, features, last := f.scale.export(g, f.spec, f.recipe.recent)
	f.scale.exportForecast(g, f.spec, nn.Export(g, &f.net, f.flat, x, features), last)
	g.Metadata(models.MetadataKey, string(spec))
	return g.Marshal(), nil
}

// verify reads the exported model back and compares what it says with the
// forward pass, on windows of s.
func (f *fit) verify(p *onnx.Program, s *samples) error {
	want := f.forecasts(s)
	got, err := p.Run(s.series, s.context, s.len())
	if err != nil {
		return err
	}
	for i := range want {
		if !near(got[i], want[i], f.scale.unit) {
			return fmt.Errorf("the exported model answers %v where the trained one answers %v", got[i], want[i])
		}
	}
	return nil
}

// near is the agreement that every implementation of a model must keep:
// |a-b| <= 1e-5 x max(1, |a|, the scale of the output).
func near(a, b, scale float32) bool {
	limit := 1e-5 * max(1, math.Abs(float64(a)), math.Abs(float64(scale)))
	return math.Abs(float64(a)-float64(b)) <= limit // false for NaN
}

// head returns the first n windows of s.
func (s *samples) head(n int) *samples {
	n = min(n, s.len())
	if n == 0 {
		return &samples{}
	}
	per := func(v []float32) []float32 { return v[:len(v)/s.len()*n] }
	return &samples{origins: s.origins[:n], series: per(s.series), context: per(s.context), target: per(s.target)}
}
