package oip

import (
	"fmt"
	"slices"
	"strings"

	"github.com/forescale/forescale/server/tensor"
)

// Request asks for one inference.
type Request struct {
	ID     string
	Inputs []Input
	// Outputs are those asked for, in their order; none: all.
	Outputs []Wanted
	// Binary asks for every output in binary form that does not say otherwise.
	Binary bool
}

// Input is one input tensor, whose elements agree in number with its shape.
type Input struct {
	Name   string
	Type   tensor.Type
	Tensor tensor.Tensor
}

// Wanted is an output that was asked for.
type Wanted struct {
	Name   string
	Binary *bool // nil: as the request says
}

// Response answers a Request.
type Response struct {
	Model, Version string
	ID             string
	Outputs        []Output
}

// Output is one output tensor.
type Output struct {
	Name   string
	Type   tensor.Type
	Tensor tensor.Tensor
	Binary bool // in binary form, after the JSON
}

// Error says what is wrong with a request.
type Error struct {
	Field  string // path of the field, or the tensor, at fault; may be empty
	Detail string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Field == "" {
		return e.Detail
	}
	return e.Field + ": " + e.Detail
}

func fault(field, format string, args ...any) *Error {
	return &Error{field, fmt.Sprintf(format, args...)}
}

// Bounds of a request, far above what models have.
const (
	maxTensors = 1024
	maxName    = 1024 // bytes of the name of a tensor
	maxID      = 4096 // bytes
)

// datatypes are the protocol's names of the element types.
var datatypes = map[tensor.Type]string{
	tensor.Float16: "FP16", tensor.BFloat16: "BF16", tensor.Float32: "FP32", tensor.Float64: "FP64",
	tensor.Int8: "INT8", tensor.Int16: "INT16", tensor.Int32: "INT32", tensor.Int64: "INT64",
	tensor.Uint8: "UINT8", tensor.Uint16: "UINT16", tensor.Uint32: "UINT32", tensor.Uint64: "UINT64",
	tensor.Bool: "BOOL", tensor.String: "BYTES",
}

// types is datatypes the other way round.
var types = func() map[string]tensor.Type {
	all := map[string]tensor.Type{}
	for t, name := range datatypes {
		all[name] = t
	}
	return all
}()

// Datatype returns the protocol's name of an element type. A type that no request
// can carry keeps its own name.
func Datatype(t tensor.Type) string {
	if name, ok := datatypes[t]; ok {
		return name
	}
	return string(t)
}

// describe checks what a request says of an input before its elements, and returns
// its type and number of elements. field is the path of the input.
func describe(field, name, datatype string, shape []int64) (tensor.Type, int, error) {
	t, known := types[datatype]
	switch {
	case name == "":
		return "", 0, fault(field+".name", "is missing")
	case len(name) > maxName:
		return "", 0, fault(field+".name", "is longer than %d bytes", maxName)
	case !known:
		return "", 0, fault(label(field, name), "datatype %.40q is none of the protocol's: BOOL, UINT8 … UINT64, INT8 … INT64, FP16, BF16, FP32, FP64, BYTES", datatype)
	case len(shape) > tensor.MaxRank:
		return "", 0, fault(label(field, name), "shape has %d axes, at most %d are read", len(shape), tensor.MaxRank)
	}
	for i, n := range shape {
		if n < 1 {
			return "", 0, fault(label(field, name), "shape[%d] is %d, must be at least 1", i, n)
		}
	}
	n := tensor.Elements(shape)
	if n < 0 {
		return "", 0, fault(label(field, name), "shape %s has too many elements", tensor.ShapeString(shape))
	}
	return t, n, nil
}

// label names an input by its place and its name.
func label(field, name string) string { return fmt.Sprintf("%s (%.80q)", field, name) }

// checkUnique refuses a request without inputs, and names that are there twice.
func (r Request) checkUnique() error {
	if len(r.Inputs) == 0 {
		return fault("inputs", "is empty or missing")
	}
	seen := map[string]bool{}
	for i, in := range r.Inputs {
		if seen[in.Name] {
			return fault(label(fmt.Sprintf("inputs[%d]", i), in.Name), "is there twice")
		}
		seen[in.Name] = true
	}
	clear(seen)
	for i, out := range r.Outputs {
		if seen[out.Name] {
			return fault(label(fmt.Sprintf("outputs[%d]", i), out.Name), "is there twice")
		}
		seen[out.Name] = true
	}
	return nil
}

// Bind returns the request's tensors in the order of the model's inputs. The error
// names the tensor that is missing, unknown, or of another type or shape.
func (r Request) Bind(inputs []tensor.Info) ([]tensor.Tensor, error) {
	bound := make([]tensor.Tensor, len(inputs))
	found := make([]bool, len(inputs))
	lengths := map[string]int64{} // of the named axes
	first := map[string]string{}  // the input that gave each of them
	for _, in := range r.Inputs {
		i := slices.IndexFunc(inputs, func(info tensor.Info) bool { return info.Name == in.Name })
		if i < 0 {
			return nil, fault(fmt.Sprintf("input %.80q", in.Name), "the model has no such input; it has %s", inventory(inputs))
		}
		info, field := inputs[i], fmt.Sprintf("input %q", in.Name)
		switch {
		case in.Type != info.Type:
			return nil, fault(field, "datatype is %s, the model reads %s", Datatype(in.Type), Datatype(info.Type))
		case !info.Accepts(in.Tensor.Shape):
			return nil, fault(field, "shape is %s, the model reads %s", tensor.ShapeString(in.Tensor.Shape), tensor.ShapeString(info.Shape))
		}
		for n, length := range in.Tensor.Shape {
			axis := info.Axis(n)
			if axis == "" {
				continue
			}
			if want, ok := lengths[axis]; ok && want != length {
				return nil, fault(field, "shape[%d] is %d, but the axis %q of input %q is %d long", n, length, axis, first[axis], want)
			}
			lengths[axis], first[axis] = length, in.Name
		}
		bound[i], found[i] = in.Tensor, true
	}
	for i, ok := range found {
		if !ok {
			return nil, fault(fmt.Sprintf("input %q", inputs[i].Name), "is missing; the model reads %s", inventory(inputs))
		}
	}
	return bound, nil
}

// Select returns the outputs that were asked for, out of all that the model gave.
func (r Request) Select(infos []tensor.Info, all []tensor.Tensor) []Output {
	wanted := r.Outputs
	if len(wanted) == 0 {
		for _, info := range infos {
			wanted = append(wanted, Wanted{Name: info.Name})
		}
	}
	outputs := make([]Output, 0, len(wanted))
	for _, w := range wanted {
		i := slices.IndexFunc(infos, func(info tensor.Info) bool { return info.Name == w.Name })
		out := Output{Name: w.Name, Type: infos[i].Type, Tensor: all[i], Binary: r.Binary}
		if w.Binary != nil {
			out.Binary = *w.Binary
		}
		outputs = append(outputs, out)
	}
	return outputs
}

// CheckOutputs returns an error that names the first output asked for that the
// model does not have.
func (r Request) CheckOutputs(infos []tensor.Info) error {
	for _, w := range r.Outputs {
		if !slices.ContainsFunc(infos, func(info tensor.Info) bool { return info.Name == w.Name }) {
			return fault(fmt.Sprintf("output %.80q", w.Name), "the model has no such output; it has %s", inventory(infos))
		}
	}
	return nil
}

// inventory writes what a model has, for messages.
func inventory(infos []tensor.Info) string {
	const most = 16
	var names []string
	for _, info := range infos[:min(len(infos), most)] {
		shape := tensor.ShapeString(info.Shape)
		if info.Unranked {
			shape = "of any shape"
		}
		names = append(names, fmt.Sprintf("%q %s %s", info.Name, Datatype(info.Type), shape))
	}
	if len(infos) > most {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}
