package tensor_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/forescale/forescale/server/tensor"
)

func TestACopySharesNothingAndEveryNumberWidens(t *testing.T) {
	for name, data := range map[string]any{
		"float32": []float32{1, 2}, "float64": []float64{1, 2}, "int8": []int8{1, 2}, "int16": []int16{1, 2}, "int32": []int32{1, 2}, "int64": []int64{1, 2},
		"uint8": []uint8{1, 2}, "uint16": []uint16{1, 2}, "uint32": []uint32{1, 2}, "uint64": []uint64{1, 2},
		"float16": []tensor.Half{0x3c00, 0x4000}, "bfloat16": []tensor.Brain{0x3f80, 0x4000},
		"bool": []bool{true, false}, "string": []string{"1", "2"},
	} {
		t.Run(name, func(t *testing.T) {
			original := tensor.Tensor{Shape: []int64{2}, Data: data}
			c := original.Clone()
			if !reflect.DeepEqual(c, original) {
				t.Errorf("the copy is %+v", c)
			}
			v := reflect.ValueOf(data)
			v.Index(0).Set(v.Index(1))
			original.Shape[0] = 7
			if reflect.DeepEqual(c.Data, data) || c.Shape[0] != 2 {
				t.Error("the copy shares memory")
			}
			wide, want := c.Float64s(), []float64{1, 2}
			if name == "bool" || name == "string" {
				want = nil
			}
			if !slices.Equal(wide, want) {
				t.Errorf("as float64: %v", wide)
			}
		})
	}
}
