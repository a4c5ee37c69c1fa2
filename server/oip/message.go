package oip

import (
	"fmt"

	"github.com/forescale/forescale/api/inference"
	"github.com/forescale/forescale/server/tensor"
)

// FromMessage reads a gRPC request. Raw contents in asks for raw contents out,
// unless binary_data_output says otherwise. The error is an *Error.
func FromMessage(m *inference.ModelInferRequest) (Request, error) {
	raw := m.GetRawInputContents()
	req := Request{ID: m.GetId(), Binary: len(raw) > 0}
	switch {
	case len(m.GetId()) > maxID:
		return Request{}, fault("id", "is longer than %d bytes", maxID)
	case len(m.GetInputs()) > maxTensors || len(m.GetOutputs()) > maxTensors:
		return Request{}, fault("", "more than %d inputs or outputs", maxTensors)
	case len(raw) > 0 && len(raw) != len(m.GetInputs()):
		return Request{}, fault("raw_input_contents", "has %d entries for %d inputs", len(raw), len(m.GetInputs()))
	}
	if err := checkMessage("request", m.GetParameters()); err != nil {
		return Request{}, err
	}
	if p, there := m.GetParameters()[paramBinaryOutput]; there {
		req.Binary = p.GetBoolParam()
	}
	for i, in := range m.GetInputs() {
		field := fmt.Sprintf("inputs[%d]", i)
		if in == nil {
			return Request{}, fault(field, "is empty")
		}
		if err := checkMessage(field, in.GetParameters()); err != nil {
			return Request{}, err
		}
		t, n, err := describe(field, in.GetName(), in.GetDatatype(), in.GetShape())
		if err != nil {
			return Request{}, err
		}
		var made tensor.Tensor
		var wrong *Error
		switch {
		case len(raw) == 0:
			made, wrong = fromContents(in.GetContents(), t, in.GetShape(), n)
		case in.GetContents() != nil:
			wrong = fault("", "has both contents and raw_input_contents")
		default:
			if made, wrong = fromRaw(raw[i], t, in.GetShape(), n); wrong != nil {
				wrong = fault("", "raw_input_contents %s", wrong.Detail)
			}
		}
		if wrong != nil {
			return Request{}, fault(label(field, in.GetName()), "%s", wrong.Detail)
		}
		req.Inputs = append(req.Inputs, Input{Name: in.GetName(), Type: t, Tensor: made})
	}
	for i, out := range m.GetOutputs() {
		field := fmt.Sprintf("outputs[%d]", i)
		if err := checkMessage(field, out.GetParameters()); err != nil {
			return Request{}, err
		}
		if out.GetName() == "" || len(out.GetName()) > maxName {
			return Request{}, fault(field+".name", "must be 1 to %d bytes long", maxName)
		}
		req.Outputs = append(req.Outputs, Wanted{Name: out.GetName()})
	}
	return req, req.checkUnique()
}

func checkMessage(field string, params map[string]*inference.InferParameter) error {
	for _, name := range refused {
		if _, there := params[name]; there {
			return fault(field+".parameters."+name, "belongs to an extension that this server does not offer")
		}
	}
	return nil
}

// fromContents reads typed contents. The smaller integers come in wider ones.
func fromContents(c *inference.InferTensorContents, t tensor.Type, shape []int64, n int) (tensor.Tensor, *Error) {
	made := tensor.Tensor{Shape: shape}
	var have int
	var wrong *Error
	switch t {
	case tensor.Bool:
		made.Data, have = c.GetBoolContents(), len(c.GetBoolContents())
	case tensor.Int8:
		made.Data, have, wrong = narrow[int8](c.GetIntContents())
	case tensor.Int16:
		made.Data, have, wrong = narrow[int16](c.GetIntContents())
	case tensor.Int32:
		made.Data, have = c.GetIntContents(), len(c.GetIntContents())
	case tensor.Int64:
		made.Data, have = c.GetInt64Contents(), len(c.GetInt64Contents())
	case tensor.Uint8:
		made.Data, have, wrong = narrow[uint8](c.GetUintContents())
	case tensor.Uint16:
		made.Data, have, wrong = narrow[uint16](c.GetUintContents())
	case tensor.Uint32:
		made.Data, have = c.GetUintContents(), len(c.GetUintContents())
	case tensor.Uint64:
		made.Data, have = c.GetUint64Contents(), len(c.GetUint64Contents())
	case tensor.Float32:
		made.Data, have = c.GetFp32Contents(), len(c.GetFp32Contents())
	case tensor.Float64:
		made.Data, have = c.GetFp64Contents(), len(c.GetFp64Contents())
	case tensor.String:
		data := make([]string, len(c.GetBytesContents()))
		for i, text := range c.GetBytesContents() {
			if data[i] = string(text); wrong == nil {
				wrong = checkText(i, data[i])
			}
		}
		made.Data, have = data, len(data)
	default:
		return made, fault("", "%s has no typed contents; send raw_input_contents", Datatype(t))
	}
	if wrong == nil && have != n {
		wrong = fault("", "has %d elements in the contents for %s, the shape %s has %d", have, Datatype(t), tensor.ShapeString(shape), n)
	}
	return made, wrong
}

func narrow[To int8 | int16 | uint8 | uint16, From int32 | uint32](from []From) ([]To, int, *Error) {
	data := make([]To, len(from))
	for i, v := range from {
		if data[i] = To(v); From(data[i]) != v {
			return nil, 0, fault("", "element %d is %d, out of the range of its datatype", i, v)
		}
	}
	return data, len(data), nil
}

// Message writes a response for gRPC. All outputs go in one form, as the protocol
// wants it: raw if any is to be in binary form or has no other.
func (r Response) Message() *inference.ModelInferResponse {
	m := &inference.ModelInferResponse{ModelName: r.Model, ModelVersion: r.Version, Id: r.ID}
	raw := false
	for _, out := range r.Outputs {
		raw = raw || out.Binary || out.Type == tensor.Float16 || out.Type == tensor.BFloat16
	}
	for _, out := range r.Outputs {
		o := &inference.ModelInferResponse_InferOutputTensor{Name: out.Name, Datatype: Datatype(out.Type), Shape: out.Tensor.Shape}
		if raw {
			m.RawOutputContents = append(m.RawOutputContents, appendRaw(nil, out.Tensor))
		} else {
			o.Contents = contents(out.Tensor)
		}
		m.Outputs = append(m.Outputs, o)
	}
	return m
}

func contents(t tensor.Tensor) *inference.InferTensorContents {
	c := &inference.InferTensorContents{}
	switch data := t.Data.(type) {
	case []bool:
		c.BoolContents = data
	case []int8:
		c.IntContents = widen[int32](data)
	case []int16:
		c.IntContents = widen[int32](data)
	case []int32:
		c.IntContents = data
	case []int64:
		c.Int64Contents = data
	case []uint8:
		c.UintContents = widen[uint32](data)
	case []uint16:
		c.UintContents = widen[uint32](data)
	case []uint32:
		c.UintContents = data
	case []uint64:
		c.Uint64Contents = data
	case []float32:
		c.Fp32Contents = data
	case []float64:
		c.Fp64Contents = data
	case []string:
		for _, text := range data {
			c.BytesContents = append(c.BytesContents, []byte(text))
		}
	}
	return c
}

func widen[To int32 | uint32, From int8 | int16 | uint8 | uint16](from []From) []To {
	data := make([]To, len(from))
	for i, v := range from {
		data[i] = To(v)
	}
	return data
}
