package oip

import (
	"encoding/json"
	"strconv"

	"github.com/forescale/forescale/server/tensor"
)

// Encode writes a response. header is the length of the JSON when binary tensors
// follow it, otherwise 0. It is an *Error when JSON cannot hold an output: a number
// that is not finite, or bytes that are not UTF-8.
func (r Response) Encode() (body []byte, header int, err error) {
	b := appendField([]byte(`{`), "model_name", r.Model)
	b = appendField(append(b, ','), "model_version", r.Version)
	if r.ID != "" {
		b = appendField(append(b, ','), "id", r.ID)
	}
	b = append(b, `,"outputs":[`...)
	var raw []byte
	for i, out := range r.Outputs {
		if i > 0 {
			b = append(b, ',')
		}
		before := len(raw)
		if out.Binary {
			raw = appendRaw(raw, out.Tensor)
		} else if err := out.checkJSON(); err != nil {
			return nil, 0, err
		}
		b = out.append(b, len(raw)-before)
	}
	b = append(b, `]}`...)
	for _, out := range r.Outputs {
		if out.Binary {
			return append(b, raw...), len(b), nil
		}
	}
	return b, 0, nil
}

func appendField(b []byte, name, value string) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // a string always marshals
	}
	b = append(append(append(b, '"'), name...), `":`...)
	return append(b, text...)
}

// append writes one output; size is that of its binary form.
func (out Output) append(b []byte, size int) []byte {
	b = appendField(append(b, '{'), "name", out.Name)
	b = appendField(append(b, ','), "datatype", Datatype(out.Type))
	b = append(b, `,"shape":[`...)
	for i, n := range out.Tensor.Shape {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	b = append(b, ']', ',')
	if out.Binary {
		b = append(b, `"parameters":{"binary_data_size":`...)
		return append(strconv.AppendInt(b, int64(size), 10), '}', '}')
	}
	b = append(b, `"data":`...)
	return append(out.Tensor.AppendFlatJSON(b), '}')
}

// checkJSON returns an *Error unless JSON can hold the output.
func (out Output) checkJSON() error {
	field := "output " + strconv.Quote(out.Name)
	if out.Type == tensor.Float16 || out.Type == tensor.BFloat16 {
		return fault(field, "%s has no form in JSON; ask for it as binary data (binary_data: true)", Datatype(out.Type))
	}
	if err := out.Tensor.CheckFinite(); err != nil {
		return fault(field, "%v, which JSON cannot hold; ask for it as binary data (binary_data: true)", err)
	}
	if err := out.Tensor.CheckText(); err != nil {
		return fault(field, "%v, which JSON needs; ask for it as binary data (binary_data: true)", err)
	}
	return nil
}
