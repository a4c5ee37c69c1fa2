package trainer

import (
	"math"
	"reflect"
	"testing"

	"github.com/forescale/forescale/internal/score"
)

// rangedOf fits the reader of the reference preset on a history.
func rangedOf(t *testing.T, change func(column string, i, train int, v float64) float64) *ranged {
	t.Helper()
	g := history(5, 21)
	train := score.NewSplit(g.Len()).Train
	for name, column := range g.Columns {
		for i, v := range column {
			column[i] = change(name, i, train, v)
		}
	}
	s := unfitted(t, quick(PresetReference), g)
	return fitRanged(s.w, s.fitRows[0], s.fitRows[1])
}

func TestRanges(t *testing.T) {
	plain := rangedOf(t, func(_ string, _, _ int, v float64) float64 { return v })
	t.Run("are fitted on the training part alone", func(t *testing.T) {
		later := rangedOf(t, func(name string, i, train int, v float64) float64 {
			if i >= train && name != "is_sale_active" {
				return 1e6
			}
			return v
		})
		if !reflect.DeepEqual(plain, later) {
			t.Errorf("values after the training part change them from\n%+v to\n%+v", plain, later)
		}
	})
	t.Run("ignore what never varied", func(t *testing.T) {
		constant := rangedOf(t, func(name string, _, _ int, v float64) float64 {
			if name == "request_count" {
				return 5
			}
			return v
		})
		if plain.series.inverse[1] == 0 || constant.series.inverse[1] != 0 {
			t.Errorf("inverse %v, of a constant %v", plain.series.inverse[1], constant.series.inverse[1])
		}
	})
	t.Run("stay finite at the ends of float32", func(t *testing.T) {
		huge := rangedOf(t, func(name string, i, _ int, v float64) float64 {
			if name == "demand" {
				return math.Copysign(math.MaxFloat32, v-10)
			}
			return v
		})
		for _, v := range []float32{huge.unit, huge.center, huge.series.center[0], huge.series.inverse[0]} {
			if math.IsInf(float64(v), 0) || math.IsNaN(float64(v)) {
				t.Errorf("ranges %+v", huge)
			}
		}
	})
}

func TestTheTrainingRangeBecomesZeroToOne(t *testing.T) {
	c := fitColumns([]float32{3, 4, float32(math.NaN()), 4, 7, 4, 5, 4}, 2)
	for _, x := range []struct{ in, want []float32 }{
		{[]float32{3, 4}, []float32{0, 0}},
		{[]float32{7, 9}, []float32{1, 0}},
		{[]float32{5, -9}, []float32{0.5, 0}},
		{[]float32{1e9, 4}, []float32{clipRange, 0}},
		{[]float32{-math.MaxFloat32, math.MaxFloat32}, []float32{-clipRange, 0}},
	} {
		got := make([]float32, 2)
		if c.apply(got, x.in); !reflect.DeepEqual(got, x.want) {
			t.Errorf("%v becomes %v, want %v", x.in, got, x.want)
		}
		if (columns{}).apply(got, x.in); !reflect.DeepEqual(got, x.in) {
			t.Errorf("without a range %v becomes %v", x.in, got)
		}
	}
}
