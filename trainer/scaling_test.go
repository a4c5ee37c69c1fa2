package trainer

import (
	"context"
	"math"
	"reflect"
	"testing"

	"github.com/forescale/forescale/internal/score"
)

// scalingOf fits the scaling of a quick configuration on a history.
func scalingOf(t *testing.T, preset string, change func(column string, i, train int, v float64) float64) *scaling {
	t.Helper()
	g := history(5, 21)
	train := score.NewSplit(g.Len()).Train
	for name, column := range g.Columns {
		for i, v := range column {
			column[i] = change(name, i, train, v)
		}
	}
	c := quick(preset)
	spec, _, err := c.spec(c.recipe(), Data{Grid: g})
	if err != nil {
		t.Fatal(err)
	}
	p, err := divide(context.Background(), spec, Data{Grid: g})
	if err != nil {
		t.Fatal(err)
	}
	return fitScaling(spec, c.recipe(), p.train)
}

func TestScaling(t *testing.T) {
	for _, preset := range Presets() {
		t.Run(preset, func(t *testing.T) {
			plain := scalingOf(t, preset, func(_ string, _, _ int, v float64) float64 { return v })
			t.Run("is fitted on the training part alone", func(t *testing.T) {
				later := scalingOf(t, preset, func(name string, i, train int, v float64) float64 {
					if i >= train && name != "is_sale_active" {
						return 1e6
					}
					return v
				})
				if !reflect.DeepEqual(plain, later) {
					t.Errorf("values after the training part change it from\n%+v to\n%+v", plain, later)
				}
			})
			t.Run("ignores what never varied", func(t *testing.T) {
				constant := scalingOf(t, preset, func(name string, _, _ int, v float64) float64 {
					if name == "request_count" {
						return 5
					}
					return v
				})
				if plain.series.inverse[1] == 0 || constant.series.inverse[1] != 0 {
					t.Errorf("inverse %v, of a constant %v", plain.series.inverse[1], constant.series.inverse[1])
				}
			})
			t.Run("stays finite at the ends of float32", func(t *testing.T) {
				huge := scalingOf(t, preset, func(name string, i, _ int, v float64) float64 {
					if name == "demand" {
						return math.Copysign(math.MaxFloat32, v-10)
					}
					return v
				})
				for _, v := range []float32{huge.unit, huge.center, huge.series.center[0], huge.series.inverse[0]} {
					if math.IsInf(float64(v), 0) || math.IsNaN(float64(v)) {
						t.Errorf("scaling %+v", huge)
					}
				}
			})
		})
	}
}

func TestMinMaxScalingMapsTheTrainingRangeToZeroAndOne(t *testing.T) {
	cs := newColumns(2)
	cs.byRange(0, []float32{3, float32(math.NaN()), 7, 5})
	cs.byRange(1, []float32{4, 4})
	for _, c := range []struct{ in, want [2]float32 }{
		{[2]float32{3, 4}, [2]float32{0, 0}},
		{[2]float32{7, 9}, [2]float32{1, 0}},
		{[2]float32{5, -9}, [2]float32{0.5, 0}},
		{[2]float32{1e9, 4}, [2]float32{clipAt, 0}},
		{[2]float32{-math.MaxFloat32, math.MaxFloat32}, [2]float32{-clipAt, 0}},
	} {
		var got [2]float32
		cs.apply(got[:], c.in[:], func(int) float32 { return 100 }) // not relative: last has no say
		if got != c.want {
			t.Errorf("%v becomes %v, want %v", c.in, got, c.want)
		}
	}
}
