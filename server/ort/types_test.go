package ort_test

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/ort"
	"github.com/forescale/forescale/server/tensor"
)

// put runs a model with one input and returns its first output.
func put(t *testing.T, model []byte, in tensor.Tensor) (tensor.Tensor, error) {
	t.Helper()
	open(t)
	s, err := ort.Load(model, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := s.Run(t.Context(), batch.Batch{Inputs: []tensor.Tensor{in}})
	if err != nil {
		return tensor.Tensor{}, err
	}
	return out[0], nil
}

func TestEveryElementTypeIsFedAndRead(t *testing.T) {
	for name, c := range map[string]struct {
		onnx onnxtest.ElementType
		data any
	}{
		"float32":  {onnxtest.TypeFloat, []float32{1, float32(math.Inf(1))}},
		"float64":  {onnxtest.TypeDouble, []float64{1, -1e300}},
		"float16":  {onnxtest.TypeFloat16, []tensor.Half{0x3c00, 0xfc00}},
		"bfloat16": {onnxtest.TypeBfloat16, []tensor.Brain{0x3f80, 0x7f80}},
		"int8":     {onnxtest.TypeInt8, []int8{-128, 127}},
		"int16":    {onnxtest.TypeInt16, []int16{math.MinInt16, 1}},
		"int32":    {onnxtest.TypeInt32, []int32{math.MinInt32, 1}},
		"int64":    {onnxtest.TypeInt64, []int64{math.MinInt64, 1}},
		"uint8":    {onnxtest.TypeUint8, []uint8{255, 0}},
		"uint16":   {onnxtest.TypeUint16, []uint16{math.MaxUint16, 0}},
		"uint32":   {onnxtest.TypeUint32, []uint32{math.MaxUint32, 0}},
		"uint64":   {onnxtest.TypeUint64, []uint64{math.MaxUint64, 0}},
		"bool":     {onnxtest.TypeBool, []bool{true, false}},
		"string":   {onnxtest.TypeString, []string{"", "grün"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := tensor.Tensor{Shape: []int64{2}, Data: c.data}
			if got, err := put(t, onnxtest.Identity(c.onnx), in); err != nil || !reflect.DeepEqual(got, in) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestAScalarGoesInAndComesOut(t *testing.T) {
	model := onnxtest.Model(onnxtest.Graph(onnxtest.Node("Neg", "", []string{"x"}, []string{"y"}),
		onnxtest.InputOf(onnxtest.TypeFloat, "x"), onnxtest.OutputOf(onnxtest.TypeFloat, "y")), nil)
	if got, err := put(t, model, tensor.Tensor{Data: []float32{3}}); err != nil || len(got.Shape) != 0 || !reflect.DeepEqual(got.Data, []float32{-3}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestWhatTheBindingCannotCarryIsRefusedBeforeTheRun(t *testing.T) {
	halves := onnxtest.Model(onnxtest.Graph(onnxtest.Node("NonZero", "", []string{"x"}, []string{"at"}), onnxtest.Node("Cast", "", []string{"at"}, []string{"y"}, onnxtest.IntAttribute("to", int64(onnxtest.TypeFloat16))),
		onnxtest.InputOf(onnxtest.TypeFloat, "x", "n"), onnxtest.OutputOf(onnxtest.TypeFloat16, "y", 1, "found")), nil)
	for name, c := range map[string]struct {
		model []byte
		in    tensor.Tensor
		want  string
	}{
		"16-bit floats of an unknown number": {halves, tensor.New([]float32{1, 0}, 2), "output y: float16 of the shape [1, ?] can only be read"},
		"a string with a byte 0":             {onnxtest.Identity(onnxtest.TypeString), tensor.Tensor{Shape: []int64{1}, Data: []string{"a\x00b"}}, "input x: string 0 holds a byte 0"},
		"a string without an axis":           {onnxtest.Identity(onnxtest.TypeString), tensor.Tensor{Data: []string{"a"}}, "without an axis"},
		"elements of no known type":          {onnxtest.Identity(onnxtest.TypeFloat), tensor.Tensor{Shape: []int64{1}, Data: []complex64{1}}, "elements of type []complex64"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := put(t, c.model, c.in); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTheNamesOfAxesComeFromTheModelFile(t *testing.T) {
	open(t)
	s, err := ort.Load(onnxtest.Model(onnxtest.Graph(onnxtest.Node("Identity", "", []string{"x"}, []string{"y"}), onnxtest.Node("Neg", "", []string{"z"}, []string{"w"}),
		onnxtest.InputOf(onnxtest.TypeFloat, "x", "batch", 3, "time"), onnxtest.UnrankedInput(onnxtest.TypeFloat, "z"),
		onnxtest.OutputOf(onnxtest.TypeFloat, "y", "batch", 3, "time"), onnxtest.Message(nil).Bytes(12, onnxtest.Message(nil).Text(1, "w").Bytes(2, onnxtest.Message(nil).Bytes(1, onnxtest.Message(nil).Int(1, 1))))), nil), ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	x, z := s.Inputs()[0], s.Inputs()[1]
	if !reflect.DeepEqual(x.Axes, []string{"batch", "", "time"}) || !reflect.DeepEqual(x.Shape, []int64{-1, 3, -1}) || x.Unranked || !z.Unranked || !z.Accepts([]int64{4, 4}) {
		t.Errorf("inputs %+v", s.Inputs())
	}
	in := []tensor.Tensor{tensor.New(make([]float32, 6), 1, 3, 2), tensor.New([]float32{1, 2}, 2, 1)}
	if out, err := s.Run(t.Context(), batch.Batch{Inputs: in}); err != nil || !reflect.DeepEqual(out[1], tensor.New([]float32{-1, -2}, 2, 1)) {
		t.Errorf("got %+v, %v", out, err)
	}
}
