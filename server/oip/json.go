package oip

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/forescale/forescale/server/tensor"
)

// The parameters that mean something here. Others are passed over, as the protocol
// wants it, unless an answer that does without them would be wrong.
const (
	paramBinarySize   = "binary_data_size"
	paramBinary       = "binary_data"
	paramBinaryOutput = "binary_data_output"
)

// refused are the parameters of extensions that are not offered, whose tensors
// would be others than the client expects.
var refused = []string{"shared_memory_region", "classification", "sequence_id"}

// parameters are the values by name, as they came.
type parameters map[string]json.RawMessage

// maxParameters bounds the parameters of one object.
const maxParameters = 64

// UnmarshalJSON reads no more than maxParameters: a map takes many times the memory
// of the JSON that it is made of.
func (p *parameters) UnmarshalJSON(raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		if start == nil { // null
			return err
		}
		return fault("parameters", "must be an object")
	}
	*p = parameters{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		if (*p)[fmt.Sprint(name)] = value; len(*p) > maxParameters {
			return fault("parameters", "has more than %d values", maxParameters)
		}
	}
	return nil
}

// list is an array of objects, bounded for the same reason.
type list[T any] []T

// UnmarshalJSON reads no more than maxTensors.
func (l *list[T]) UnmarshalJSON(raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if start, err := dec.Token(); err != nil || start != json.Delim('[') {
		if start == nil { // null
			return err
		}
		return fault("", "inputs and outputs must be arrays")
	}
	*l = nil // of a field that is there twice, the last counts
	for dec.More() {
		if len(*l) == maxTensors {
			return fault("", "more than %d inputs or outputs", maxTensors)
		}
		var v T
		if err := dec.Decode(&v); err != nil {
			return err
		}
		*l = append(*l, v)
	}
	return nil
}

// check refuses parameters that cannot be passed over.
func (p parameters) check(field string) error {
	for _, name := range refused {
		if _, there := p[name]; there {
			return fault(field+".parameters."+name, "belongs to an extension that this server does not offer")
		}
	}
	return nil
}

// read decodes a parameter into a value of its type, which kind names, and reports
// whether it is there.
func (p parameters) read(field, name, kind string, into any) (bool, error) {
	raw, there := p[name]
	if there && (string(raw) == "null" || json.Unmarshal(raw, into) != nil) {
		return true, fault(field+".parameters."+name, "is %.40s, must be %s", raw, kind)
	}
	return there, nil
}

// The JSON of a request. Fields that the protocol does not know are passed over.
type jsonRequest struct {
	ID         string           `json:"id"`
	Parameters parameters       `json:"parameters"`
	Inputs     list[jsonInput]  `json:"inputs"`
	Outputs    list[jsonWanted] `json:"outputs"`
}

type jsonInput struct {
	Name       string          `json:"name"`
	Datatype   string          `json:"datatype"`
	Shape      []int64         `json:"shape"`
	Parameters parameters      `json:"parameters"`
	Data       json.RawMessage `json:"data"`
}

type jsonWanted struct {
	Name       string     `json:"name"`
	Parameters parameters `json:"parameters"`
}

// Parse reads the body of an infer request. header is the length of the JSON in
// front of the binary tensors, as Inference-Header-Content-Length gives it; 0: the
// body is nothing but JSON. The error is an *Error. The request does not keep body.
func Parse(body []byte, header int) (Request, error) {
	binary := []byte(nil)
	if header > 0 {
		if header > len(body) {
			return Request{}, fault(HeaderLength, "is %d, but the body has %d bytes", header, len(body))
		}
		body, binary = body[:header], body[header:]
	}
	var from jsonRequest
	if err := decode(body, &from); err != nil {
		return Request{}, err
	}
	req := Request{ID: from.ID}
	if len(from.ID) > maxID {
		return Request{}, fault("id", "is longer than %d bytes", maxID)
	}
	if err := from.Parameters.check("request"); err != nil {
		return Request{}, err
	}
	if _, err := from.Parameters.read("request", paramBinaryOutput, "a boolean", &req.Binary); err != nil {
		return Request{}, err
	}
	for i, in := range from.Inputs {
		input, rest, err := in.input(fmt.Sprintf("inputs[%d]", i), binary)
		if err != nil {
			return Request{}, err
		}
		req.Inputs, binary = append(req.Inputs, input), rest
	}
	if len(binary) > 0 {
		return Request{}, fault("", "%d bytes are left after the binary tensors", len(binary))
	}
	for i, out := range from.Outputs {
		wanted, err := out.wanted(fmt.Sprintf("outputs[%d]", i))
		if err != nil {
			return Request{}, err
		}
		req.Outputs = append(req.Outputs, wanted)
	}
	return req, req.checkUnique()
}

// HeaderLength is the HTTP header that gives the length of the JSON in a body that
// goes on with binary tensors.
const HeaderLength = "Inference-Header-Content-Length"

// input reads one input, its elements from JSON or from the front of binary, and
// returns what is left of binary.
func (in jsonInput) input(field string, binary []byte) (Input, []byte, error) {
	t, n, err := describe(field, in.Name, in.Datatype, in.Shape)
	if err != nil {
		return Input{}, nil, err
	}
	if in.Shape == nil {
		return Input{}, nil, fault(label(field, in.Name), "shape is missing")
	}
	if err := in.Parameters.check(field); err != nil {
		return Input{}, nil, err
	}
	var size int64
	there, err := in.Parameters.read(field, paramBinarySize, "a number of bytes", &size)
	if err != nil {
		return Input{}, nil, err
	}
	var made tensor.Tensor
	switch {
	case there && in.Data != nil:
		return Input{}, nil, fault(label(field, in.Name), "has both data and binary_data_size")
	case there && (size < 0 || size > int64(len(binary))):
		return Input{}, nil, fault(label(field, in.Name), "binary_data_size is %d, but %d bytes are left after the JSON, whose length the header %s gives", size, len(binary), HeaderLength)
	case there:
		var wrong *Error
		if made, wrong = fromRaw(binary[:size], t, in.Shape, n); wrong != nil {
			return Input{}, nil, fault(label(field, in.Name), "binary data %s", wrong.Detail)
		}
		binary = binary[size:]
	case in.Data == nil:
		return Input{}, nil, fault(label(field, in.Name), "data is missing")
	default:
		if made, err = fromJSON(in.Data, t, in.Shape, n); err != nil {
			return Input{}, nil, placed(field, in.Name, err)
		}
	}
	return Input{Name: in.Name, Type: t, Tensor: made}, binary, nil
}

// placed adds the place and name of an input to an error in its data.
func placed(field, name string, err error) error {
	var at *Error
	if errors.As(err, &at) {
		return fault(fmt.Sprintf("%s.data%s (%.80q)", field, at.Field, name), "%s", at.Detail)
	}
	return err
}

func (out jsonWanted) wanted(field string) (Wanted, error) {
	w := Wanted{Name: out.Name}
	if out.Name == "" || len(out.Name) > maxName {
		return w, fault(field+".name", "must be 1 to %d bytes long", maxName)
	}
	if err := out.Parameters.check(field); err != nil {
		return w, err
	}
	var binary bool
	there, err := out.Parameters.read(field, paramBinary, "a boolean", &binary)
	if there {
		w.Binary = &binary
	}
	return w, err
}

// decode reads exactly one JSON object.
func decode(body []byte, into any) error {
	if !utf8.Valid(body) { // the decoder would put U+FFFD in its place
		return fault("", "the JSON is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(into); err != nil {
		return jsonFault(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fault("", "there is something after the JSON object (byte %d)", dec.InputOffset())
	}
	return nil
}

// jsonFault says in our words what the decoder refused.
func jsonFault(err error) error {
	var own *Error
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &syntax):
		return fault("", "the JSON is not valid: %s (byte %d)", strings.TrimPrefix(syntax.Error(), "json: "), syntax.Offset)
	case errors.As(err, &kind):
		return fault(kind.Field, "must not be a %s (byte %d)", kind.Value, kind.Offset)
	case errors.Is(err, io.EOF):
		return fault("", "the body is empty; an object with inputs is expected")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault("", "the JSON ends early")
	}
	return fault("", "the JSON cannot be read: %v", err)
}
