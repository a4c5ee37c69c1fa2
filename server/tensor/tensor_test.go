package tensor

import (
	"errors"
	"math"
	"testing"
)

func TestAppendJSONNestsByShape(t *testing.T) {
	for want, x := range map[string]Tensor{
		"[[1,0.1],[-2.5,1e+21]]": New([]float32{1, .1, -2.5, 1e21}, 2, 2),
		"[[[1],[2]]]":            {Shape: []int64{1, 2, 1}, Data: []int64{1, 2}},
		"[]":                     New(nil, 0, 3),
		"[[],[]]":                New(nil, 2, 0),
		"7":                      {Data: []float64{7}},
	} {
		if got := string(x.AppendJSON(nil)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestConvertRefusesWhatDoesNotFitTheType(t *testing.T) {
	for _, c := range []struct {
		to     Type
		values []float64
		index  int // of the fault; -1: none
	}{
		{Float32, []float64{1, -3.4e38}, -1},
		{Float32, []float64{1, 1e39}, 1},
		{Float64, []float64{1e308}, -1},
		{Int32, []float64{math.MinInt32, math.MaxInt32}, -1},
		{Int32, []float64{0, 2147483648}, 1},
		{Int64, []float64{1, 2.5}, 1},
		{Int64, []float64{1 << 62, math.MinInt64}, -1},
		{Int64, []float64{math.MaxInt64}, 0}, // as a float it is 2^63
	} {
		_, err := Convert(c.values, c.to, []int64{int64(len(c.values))}, nil)
		var at *IndexError
		switch {
		case c.index < 0 && err != nil:
			t.Errorf("%s %v: %v", c.to, c.values, err)
		case c.index >= 0 && (!errors.As(err, &at) || at.Index != c.index):
			t.Errorf("%s %v: got %v", c.to, c.values, err)
		}
	}
	if _, err := Convert([]float64{1}, "string", []int64{1}, nil); err == nil {
		t.Error("a string tensor was made of numbers")
	}
}

func TestCheckFiniteNamesTheValue(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if err := New([]float32{1, float32(bad)}, 2).CheckFinite(); err == nil {
			t.Errorf("%v passed", bad)
		}
		if err := (Tensor{Shape: []int64{1}, Data: []float64{bad}}).CheckFinite(); err == nil {
			t.Errorf("%v passed", bad)
		}
	}
	if err := New([]float32{math.MaxFloat32}, 1).CheckFinite(); err != nil {
		t.Error(err)
	}
}

func TestPlaceWritesTheIndices(t *testing.T) {
	if got := Place([]int64{2, 3, 4}, 23); got != "[1][2][3]" {
		t.Error(got)
	}
}
