package tensor

import (
	"math"
	"testing"
)

func TestAModelIsBatchedIfAllShareTheirFirstAxis(t *testing.T) {
	open := func(axis string) Info { return Info{Shape: []int64{-1, 2}, Axes: []string{axis, ""}} }
	unnamed, fixed, scalar := Info{Shape: []int64{-1}}, Info{Shape: []int64{1, 2}}, Info{}
	for name, c := range map[string]struct {
		inputs, outputs []Info
		want            bool
	}{
		"one name for all":            {[]Info{open("n"), open("n")}, []Info{open("n")}, true},
		"no names":                    {[]Info{unnamed, unnamed}, []Info{unnamed}, true},
		"another name of an input":    {[]Info{open("n"), open("m")}, []Info{open("n")}, false},
		"another name of an output":   {[]Info{open("n")}, []Info{open("m")}, false},
		"a name and none":             {[]Info{open("n")}, []Info{unnamed}, false},
		"a first axis of one length":  {[]Info{open("n"), fixed}, []Info{open("n")}, false},
		"an output without the batch": {[]Info{open("n")}, []Info{scalar}, false},
		"an output of any shape":      {[]Info{open("n")}, []Info{{Unranked: true}}, false},
		"nothing":                     {nil, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Batched(c.inputs, c.outputs); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestElementsNeverOverflow(t *testing.T) {
	for _, c := range []struct {
		shape []int64
		want  int
	}{{nil, 1}, {[]int64{2, 3}, 6}, {[]int64{5, 0}, 0}, {[]int64{-1}, -1}, {[]int64{math.MaxInt64, math.MaxInt64}, -1},
		{[]int64{1 << 16, 1 << 16}, -1}, {[]int64{1 << 33, 0}, -1}, {[]int64{math.MaxInt32}, math.MaxInt32}} {
		if got := Elements(c.shape); got != c.want {
			t.Errorf("%v: %d, want %d", c.shape, got, c.want)
		}
	}
}

func TestSixteenBitFloatsHaveTheValueOfTheirBits(t *testing.T) {
	for bits, want := range map[Half]float32{0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 0x0001: 1.0 / (1 << 24), 0x83ff: -1023.0 / (1 << 24), 0x0400: 1.0 / (1 << 14),
		0x8000: float32(math.Copysign(0, -1)), 0x7c00: float32(math.Inf(1)), 0xfc00: float32(math.Inf(-1)), 0x3555: 0.33325195} {
		if got := bits.Float32(); math.Float32bits(got) != math.Float32bits(want) {
			t.Errorf("%#04x is %v, want %v", bits, got, want)
		}
	}
	if got := Half(0x7e00).Float32(); got == got {
		t.Errorf("0x7e00 is %v, want NaN", got)
	}
	if got := Brain(0xc0a0).Float32(); got != -5 {
		t.Errorf("0xc0a0 is %v, want -5", got)
	}
	if err := (Tensor{Shape: []int64{2}, Data: []Half{0, 0x7c00}}).CheckFinite(); err == nil {
		t.Error("an infinity is taken for finite")
	}
}
