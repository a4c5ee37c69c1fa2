package oip_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/forescale/forescale/api/inference"
	"github.com/forescale/forescale/server/oip"
	"github.com/forescale/forescale/server/tensor"
)

// everyType has one tensor of each datatype, with the ends of its range.
var everyType = []struct {
	datatype string
	typ      tensor.Type
	data     any
	json     string // empty: it has no form in JSON
}{
	{"BOOL", tensor.Bool, []bool{true, false}, `[true,false]`},
	{"UINT8", tensor.Uint8, []uint8{0, 255}, `[0,255]`},
	{"UINT16", tensor.Uint16, []uint16{0, 65535}, `[0,65535]`},
	{"UINT32", tensor.Uint32, []uint32{0, math.MaxUint32}, `[0,4294967295]`},
	{"UINT64", tensor.Uint64, []uint64{0, math.MaxUint64}, `[0,18446744073709551615]`},
	{"INT8", tensor.Int8, []int8{-128, 127}, `[-128,127]`},
	{"INT16", tensor.Int16, []int16{-32768, 32767}, `[-32768,32767]`},
	{"INT32", tensor.Int32, []int32{math.MinInt32, math.MaxInt32}, `[-2147483648,2147483647]`},
	{"INT64", tensor.Int64, []int64{math.MinInt64, math.MaxInt64}, `[-9223372036854775808,9223372036854775807]`},
	{"FP16", tensor.Float16, []tensor.Half{0x3c00, 0x7c00}, ``},
	{"BF16", tensor.BFloat16, []tensor.Brain{0x3f80, 0x7f80}, ``},
	{"FP32", tensor.Float32, []float32{0.1, -3e38}, `[0.1,-3e+38]`},
	{"FP64", tensor.Float64, []float64{0.1, 1e308}, `[0.1,1e+308]`},
	{"BYTES", tensor.String, []string{"", "grün \"\\\n"}, `["","grün \"\\\n"]`},
}

func TestEveryDatatypeComesBackAsItWasInEveryForm(t *testing.T) {
	for _, c := range everyType {
		t.Run(c.datatype, func(t *testing.T) {
			want := oip.Output{Name: "y", Type: c.typ, Tensor: tensor.Tensor{Shape: []int64{2}, Data: c.data}, Binary: true}
			body, header, err := oip.Response{Model: "m", Version: "1", Outputs: []oip.Output{want}}.Encode()
			if err != nil {
				t.Fatal(err)
			}
			// The outputs of an answer have the form of the inputs of a request.
			check := func(form string, body []byte, header int) {
				t.Helper()
				req, err := oip.Parse([]byte(strings.Replace(string(body), "outputs", `inputs`, 1)), max(0, header-1))
				if err != nil {
					t.Fatalf("%s: %v", form, err)
				}
				in := req.Inputs[0]
				if in.Name != "y" || in.Type != c.typ || !reflect.DeepEqual(in.Tensor, want.Tensor) {
					t.Errorf("%s: got %+v", form, in)
				}
			}
			check("binary", body, header)
			if c.json != "" {
				want.Binary = false
				body, header, err := oip.Response{Model: "m", Outputs: []oip.Output{want}}.Encode()
				if err != nil || header != 0 || !strings.Contains(string(body), `"data":`+c.json) {
					t.Errorf("header %d, %v: %s", header, err, body)
				}
				check("JSON", body, 0)
			}
			for _, raw := range []bool{true, false} {
				want.Binary = raw
				m := oip.Response{Outputs: []oip.Output{want}}.Message()
				if hasRaw := len(m.RawOutputContents) > 0; hasRaw != (raw || c.json == "") {
					t.Errorf("raw contents: %v", hasRaw)
				}
				out := m.Outputs[0]
				req, err := oip.FromMessage(&inference.ModelInferRequest{RawInputContents: m.RawOutputContents,
					Inputs: []*inference.ModelInferRequest_InferInputTensor{{Name: out.Name, Datatype: out.Datatype, Shape: out.Shape, Contents: out.Contents}}})
				if err != nil || !reflect.DeepEqual(req.Inputs[0].Tensor, want.Tensor) {
					t.Errorf("gRPC, raw %v: %+v, %v", raw, req.Inputs, err)
				}
			}
		})
	}
}

func TestDataMayBeNestedOrFlat(t *testing.T) {
	want := tensor.Tensor{Shape: []int64{2, 1, 2}, Data: []int32{1, 2, 3, 4}}
	for _, data := range []string{`[1,2,3,4]`, `[[[1,2]],[[3,4]]]`, " [ [ [ 1 , 2.0 ] ] ,\n[ [ 3e0 , 4 ] ] ] "} {
		req, err := oip.Parse([]byte(`{"inputs":[{"data":`+data+`,"name":"x","shape":[2,1,2],"datatype":"INT32"}]}`), 0)
		if err != nil || !reflect.DeepEqual(req.Inputs[0].Tensor, want) {
			t.Errorf("%s: %+v, %v", data, req.Inputs, err)
		}
	}
}

func TestWhatTheRequestSaysBesideItsTensorsIsKept(t *testing.T) {
	req, err := oip.Parse([]byte(`{"id":"42","model_name":"ignored","parameters":{"binary_data_output":true,"priority":3},
		"inputs":[{"name":"x","shape":[1],"datatype":"BOOL","data":[true]}],
		"outputs":[{"name":"b"},{"name":"a","parameters":{"binary_data":false}}]}`), 0)
	if err != nil {
		t.Fatal(err)
	}
	infos := []tensor.Info{{Name: "a", Type: tensor.Bool}, {Name: "b", Type: tensor.Bool}}
	outputs := req.Select(infos, []tensor.Tensor{{Shape: []int64{1}, Data: []bool{true}}, {Shape: []int64{1}, Data: []bool{false}}})
	if req.ID != "42" || len(outputs) != 2 || outputs[0].Name != "b" || !outputs[0].Binary || outputs[1].Name != "a" || outputs[1].Binary {
		t.Errorf("id %q, outputs %+v", req.ID, outputs)
	}
}

func TestABodyAtFaultIsRefusedWithTheTensorAndThePlace(t *testing.T) {
	one := func(fields string) string { return `{"inputs":[{"name":"x",` + fields + `}]}` }
	for name, c := range map[string]struct {
		body   string
		header int
		want   string
	}{
		"an empty body":                       {``, 0, "the body is empty"},
		"text":                                {`hello`, 0, "not valid"},
		"half an object":                      {`{"inputs":[`, 0, "ends early"},
		"two objects":                         {`{"inputs":[]}{}`, 0, "after the JSON object"},
		"a list":                              {`[]`, 0, "must not be a array"},
		"bytes that are not UTF-8":            {"{\"id\":\"\xff\"}", 0, "not valid UTF-8"},
		"no inputs":                           {`{}`, 0, "inputs: is empty"},
		"an id that is a number":              {`{"id":3}`, 0, "id: must not be a number"},
		"an input without a name":             {`{"inputs":[{"shape":[1],"datatype":"BOOL","data":[true]}]}`, 0, "inputs[0].name: is missing"},
		"an input without a shape":            {one(`"datatype":"BOOL","data":[true]`), 0, `inputs[0] ("x"): shape is missing`},
		"an unknown datatype":                 {one(`"shape":[1],"datatype":"FLOAT","data":[1]`), 0, `inputs[0] ("x"): datatype "FLOAT"`},
		"a negative axis":                     {one(`"shape":[-1],"datatype":"BOOL","data":[]`), 0, "shape[0] is -1"},
		"an axis of nothing":                  {one(`"shape":[2,0],"datatype":"BOOL","data":[]`), 0, "shape[1] is 0"},
		"a shape beyond all memory":           {one(`"shape":[2147483647,2147483647],"datatype":"FP32","data":[1]`), 0, "too many elements"},
		"a shape beyond the body":             {one(`"shape":[2147483647],"datatype":"FP32","data":[1]`), 0, "has fewer than the 2147483647 elements"},
		"nine axes":                           {one(`"shape":[1,1,1,1,1,1,1,1,1],"datatype":"FP32","data":[1]`), 0, "9 axes"},
		"no data":                             {one(`"shape":[1],"datatype":"FP32"`), 0, "data is missing"},
		"data that is null":                   {one(`"shape":[1],"datatype":"FP32","data":null`), 0, "is not an array of 1"},
		"too little data":                     {one(`"shape":[3],"datatype":"FP32","data":[1.25,1.25]`), 0, "has 2 elements, the shape says 3"},
		"too much data":                       {one(`"shape":[1],"datatype":"FP32","data":[1,2]`), 0, "more than the 1 elements"},
		"ragged data":                         {one(`"shape":[2,2],"datatype":"FP32","data":[[1,2],[3]]`), 0, `inputs[0].data[1] ("x"): has 1 elements`},
		"data nested deeper than its shape":   {one(`"shape":[1],"datatype":"FP32","data":[[1]]`), 0, "data[0]"},
		"nested data for a scalar":            {one(`"shape":[],"datatype":"FP32","data":[[1]]`), 0, "data[0]"},
		"a string for a number":               {one(`"shape":[1],"datatype":"FP32","data":["1"]`), 0, `data[0] ("x"): is "1", not a value of FP32`},
		"a number for a boolean":              {one(`"shape":[1],"datatype":"BOOL","data":[1]`), 0, "not a value of BOOL"},
		"a null in the data":                  {one(`"shape":[1],"datatype":"FP32","data":[null]`), 0, "is null"},
		"a fraction for an integer":           {one(`"shape":[2],"datatype":"INT8","data":[1,1.5]`), 0, "data[1]"},
		"an integer out of range":             {one(`"shape":[1],"datatype":"INT8","data":[128]`), 0, "is 128, not a value of INT8"},
		"a negative unsigned integer":         {one(`"shape":[1],"datatype":"UINT64","data":[-1]`), 0, "is -1"},
		"a number beyond FP32":                {one(`"shape":[1],"datatype":"FP32","data":[1e39]`), 0, "is 1e39"},
		"FP16 in JSON":                        {one(`"shape":[1],"datatype":"FP16","data":[1]`), 0, "FP16 has no form in JSON"},
		"a byte 0 in a string":                {one(`"shape":[1],"datatype":"BYTES","data":["a\u0000b"]`), 0, "not a value of BYTES"},
		"an input twice":                      {`{"inputs":[{"name":"x","shape":[1],"datatype":"BOOL","data":[true]},{"name":"x","shape":[1],"datatype":"BOOL","data":[true]}]}`, 0, `inputs[1] ("x"): is there twice`},
		"an output twice":                     {`{"inputs":[{"name":"x","shape":[1],"datatype":"BOOL","data":[true]}],"outputs":[{"name":"y"},{"name":"y"}]}`, 0, "is there twice"},
		"an output without a name":            {`{"inputs":[{"name":"x","shape":[1],"datatype":"BOOL","data":[true]}],"outputs":[{}]}`, 0, "outputs[0].name"},
		"a million inputs":                    {`{"inputs":[` + strings.Repeat("{},", 1<<20) + `{}]}`, 0, "more than 1024 inputs"},
		"a million parameters":                {`{"parameters":{` + manyFields(1<<16) + `},"inputs":[]}`, 0, "parameters: has more than 64"},
		"inputs that are an object":           {`{"inputs":{}}`, 0, "must be arrays"},
		"an input that is a number":           {`{"inputs":[1]}`, 0, "must not be a number"},
		"parameters that are a list":          {`{"parameters":[],"inputs":[]}`, 0, "parameters: must be an object"},
		"inputs that are null":                {`{"parameters":null,"inputs":null}`, 0, "inputs: is empty"},
		"a header longer than the body":       {`{}`, 3, "is 3, but the body has 2 bytes"},
		"binary data without the header":      {one(`"shape":[1],"datatype":"BOOL","parameters":{"binary_data_size":1}`), 0, "0 bytes are left after the JSON"},
		"binary data that is not there":       {one(`"shape":[1],"datatype":"BOOL","parameters":{"binary_data_size":1}`), -1, "binary_data_size is 1, but 0 bytes"},
		"binary data of another size":         {one(`"shape":[2],"datatype":"BOOL","parameters":{"binary_data_size":1}`) + "\x01", -2, "has 1 bytes, must have 2"},
		"binary data that nobody claims":      {one(`"shape":[1],"datatype":"BOOL","data":[true]`) + "\x01", -2, "1 bytes are left"},
		"binary data and data":                {one(`"shape":[1],"datatype":"BOOL","data":[true],"parameters":{"binary_data_size":1}`) + "\x01", -2, "both data and binary_data_size"},
		"a BOOL of 2":                         {one(`"shape":[1],"datatype":"BOOL","parameters":{"binary_data_size":1}`) + "\x02", -2, "element 0 is the byte 2"},
		"a negative size":                     {one(`"shape":[1],"datatype":"BOOL","parameters":{"binary_data_size":-1}`), 0, "binary_data_size is -1"},
		"a size that is a string":             {one(`"shape":[1],"datatype":"BOOL","parameters":{"binary_data_size":"1"}`), 0, "must be a number of bytes"},
		"BYTES that end in a length":          {one(`"shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":5}`) + "\x02\x00\x00\x00a", -6, "ends inside of element 0"},
		"BYTES with a length beyond memory":   {one(`"shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":4}`) + "\xff\xff\xff\xff", -5, "whose length is said to be 4294967295"},
		"BYTES with something after the last": {one(`"shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":6}`) + "\x01\x00\x00\x00ab", -7, "has 1 bytes left"},
		"BYTES with a byte 0":                 {one(`"shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":5}`) + "\x01\x00\x00\x00\x00", -6, "holds a byte 0"},
		"a switch that is a number":           {`{"parameters":{"binary_data_output":1},"inputs":[]}`, 0, "request.parameters.binary_data_output: is 1, must be a boolean"},
		"shared memory":                       {one(`"shape":[1],"datatype":"BOOL","parameters":{"shared_memory_region":"r"}`), 0, "shared_memory_region: belongs to an extension"},
		"classification":                      {`{"inputs":[{"name":"x","shape":[1],"datatype":"BOOL","data":[true]}],"outputs":[{"name":"y","parameters":{"classification":3}}]}`, 0, "outputs[0].parameters.classification"},
	} {
		t.Run(name, func(t *testing.T) {
			header := c.header
			if header < 0 { // from the end of the body, less 1
				header = len(c.body) + header + 1
			}
			_, err := oip.Parse([]byte(c.body), header)
			var fault *oip.Error
			if !errors.As(err, &fault) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"p%d":1,`, i)
	}
	return b.String() + `"q":1`
}

func TestAMessageAtFaultIsRefusedWithTheTensor(t *testing.T) {
	type input = inference.ModelInferRequest_InferInputTensor
	floats := &inference.InferTensorContents{Fp32Contents: []float32{1, 2}}
	for name, c := range map[string]struct {
		message *inference.ModelInferRequest
		want    string
	}{
		"no inputs":                 {&inference.ModelInferRequest{}, "inputs: is empty"},
		"an input that is nothing":  {&inference.ModelInferRequest{Inputs: []*input{nil}}, "inputs[0]: is empty"},
		"no contents":               {&inference.ModelInferRequest{Inputs: []*input{{Name: "x", Datatype: "FP32", Shape: []int64{2}}}}, `inputs[0] ("x"): has 0 elements in the contents for FP32`},
		"contents of another type":  {&inference.ModelInferRequest{Inputs: []*input{{Name: "x", Datatype: "FP64", Shape: []int64{2}, Contents: floats}}}, "has 0 elements in the contents for FP64"},
		"contents of another size":  {&inference.ModelInferRequest{Inputs: []*input{{Name: "x", Datatype: "FP32", Shape: []int64{3}, Contents: floats}}}, "has 2 elements"},
		"contents out of range":     {&inference.ModelInferRequest{Inputs: []*input{{Name: "x", Datatype: "INT8", Shape: []int64{1}, Contents: &inference.InferTensorContents{IntContents: []int32{200}}}}}, "element 0 is 200"},
		"typed FP16":                {&inference.ModelInferRequest{Inputs: []*input{{Name: "x", Datatype: "FP16", Shape: []int64{2}, Contents: floats}}}, "send raw_input_contents"},
		"contents and raw contents": {&inference.ModelInferRequest{Inputs: []*input{{Name: "x", Datatype: "FP32", Shape: []int64{2}, Contents: floats}}, RawInputContents: [][]byte{make([]byte, 8)}}, "both contents and raw_input_contents"},
		"more raw than inputs":      {&inference.ModelInferRequest{Inputs: []*input{{Name: "x", Datatype: "FP32", Shape: []int64{1}}}, RawInputContents: [][]byte{make([]byte, 4), nil}}, "has 2 entries for 1 inputs"},
		"raw of another size":       {&inference.ModelInferRequest{Inputs: []*input{{Name: "x", Datatype: "FP32", Shape: []int64{2}}}, RawInputContents: [][]byte{make([]byte, 7)}}, "raw_input_contents has 7 bytes, must have 8"},
		"an output without a name":  {&inference.ModelInferRequest{Inputs: []*input{{Name: "x", Datatype: "FP32", Shape: []int64{2}, Contents: floats}}, Outputs: []*inference.ModelInferRequest_InferRequestedOutputTensor{{}}}, "outputs[0].name"},
		"shared memory":             {&inference.ModelInferRequest{Parameters: map[string]*inference.InferParameter{"sequence_id": nil}}, "sequence_id"},
		"a string with a byte 0":    {&inference.ModelInferRequest{Inputs: []*input{{Name: "x", Datatype: "BYTES", Shape: []int64{1}, Contents: &inference.InferTensorContents{BytesContents: [][]byte{{0}}}}}}, "holds a byte 0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := oip.FromMessage(c.message)
			var fault *oip.Error
			if !errors.As(err, &fault) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestInputsAreBoundToTheModelByNameTypeAndShape(t *testing.T) {
	infos := []tensor.Info{
		{Name: "a", Type: tensor.Float32, Shape: []int64{-1, 2}, Axes: []string{"batch", ""}},
		{Name: "b", Type: tensor.Int64, Shape: []int64{-1}, Axes: []string{"batch"}},
		{Name: "c", Type: tensor.Bool, Unranked: true},
	}
	input := func(name string, typ tensor.Type, shape ...int64) oip.Input {
		return oip.Input{Name: name, Type: typ, Tensor: tensor.Tensor{Shape: shape}}
	}
	a, b, c := input("a", tensor.Float32, 3, 2), input("b", tensor.Int64, 3), input("c", tensor.Bool, 1, 1, 1)
	got, err := oip.Request{Inputs: []oip.Input{c, a, b}}.Bind(infos)
	if err != nil || !reflect.DeepEqual(got, []tensor.Tensor{a.Tensor, b.Tensor, c.Tensor}) {
		t.Errorf("got %v, %v", got, err)
	}
	for name, test := range map[string]struct {
		inputs []oip.Input
		want   string
	}{
		"an unknown input":     {[]oip.Input{a, b, c, input("d", tensor.Bool)}, `input "d": the model has no such input; it has "a" FP32 [?, 2], "b" INT64 [?], "c" BOOL of any shape`},
		"a missing input":      {[]oip.Input{a, c}, `input "b": is missing`},
		"another datatype":     {[]oip.Input{input("a", tensor.Float64, 3, 2), b, c}, `input "a": datatype is FP64, the model reads FP32`},
		"another shape":        {[]oip.Input{input("a", tensor.Float32, 3, 3), b, c}, `input "a": shape is [3, 3], the model reads [?, 2]`},
		"another rank":         {[]oip.Input{input("a", tensor.Float32, 3), b, c}, `input "a": shape is [3]`},
		"batches that differ":  {[]oip.Input{a, input("b", tensor.Int64, 4), c}, `input "b": shape[0] is 4, but the axis "batch" of input "a" is 3 long`},
		"a name in other case": {[]oip.Input{input("A", tensor.Float32, 3, 2), b, c}, `input "A": the model has no such input`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := (oip.Request{Inputs: test.inputs}).Bind(infos); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestWhatJSONCannotHoldIsAnErrorThatSaysWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		typ  tensor.Type
		data any
		want string
	}{
		"NaN":             {tensor.Float32, []float32{float32(math.NaN())}, "value 0 is NaN"},
		"infinity":        {tensor.Float64, []float64{math.Inf(-1)}, "value 0 is -Inf"},
		"FP16":            {tensor.Float16, []tensor.Half{0}, "no form in JSON"},
		"bytes not UTF-8": {tensor.String, []string{"\xff"}, "not valid UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			out := oip.Output{Name: "y", Type: c.typ, Tensor: tensor.Tensor{Shape: []int64{1}, Data: c.data}}
			_, _, err := oip.Response{Outputs: []oip.Output{out}}.Encode()
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "binary_data") || !strings.Contains(err.Error(), `"y"`) {
				t.Errorf("got %v", err)
			}
			out.Binary = true
			if _, _, err := (oip.Response{Outputs: []oip.Output{out}}).Encode(); err != nil {
				t.Errorf("in binary form: %v", err)
			}
		})
	}
}

func TestTheRepositoryRequestsMayBeEmptyAndBringNoModels(t *testing.T) {
	for body, want := range map[string]bool{"": false, "{}": false, `{"ready":true}`: true} {
		if got, err := oip.ParseIndex([]byte(body)); got != want || err != nil {
			t.Errorf("%q: %v, %v", body, got, err)
		}
	}
	if _, err := oip.ParseIndex([]byte(`{"ready":1}`)); err == nil {
		t.Error("a number is taken for a boolean")
	}
	for body, ok := range map[string]bool{"": true, `{"parameters":{"unload_dependents":true}}`: true,
		`{"parameters":{"config":"{}"}}`: false, `{"parameters":{"file:1/model.onnx":""}}`: false, `[`: false} {
		if err := oip.ParseControl([]byte(body)); (err == nil) != ok {
			t.Errorf("%q: %v", body, err)
		}
	}
}

// checkRequest holds what every accepted request promises.
func checkRequest(t *testing.T, req oip.Request, size int) {
	if len(req.Inputs) == 0 {
		t.Error("a request without inputs")
	}
	for _, in := range req.Inputs {
		n := reflect.ValueOf(in.Tensor.Data).Len()
		if n != in.Tensor.Len() || n > size || oip.Datatype(in.Type) == string(in.Type) || in.Name == "" {
			t.Errorf("input %q of %d bytes: %d elements of %s, shape %v", in.Name, size, n, in.Type, in.Tensor.Shape)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"id":"1","inputs":[{"name":"x","shape":[2,1],"datatype":"INT8","data":[[1],[-2e0]]}],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}`), 0)
	f.Add([]byte(`{"inputs":[{"name":"x","shape":[2],"datatype":"BYTES","data":["a\"\\\u00e9",""]}]}`), 0)
	f.Add([]byte(`{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":6}}]}`+"\x02\x00\x00\x00ab"), 89)
	f.Fuzz(func(t *testing.T, body []byte, header int) {
		req, err := oip.Parse(body, header)
		var fault *oip.Error
		switch {
		case err != nil && !errors.As(err, &fault):
			t.Errorf("an error without a kind: %v", err)
		case err == nil:
			checkRequest(t, req, len(body))
			if header <= 0 { // the oracle: encoding/json sees an object, too
				var any map[string]any
				if err := json.Unmarshal(body, &any); err != nil {
					t.Errorf("accepted, but: %v", err)
				}
			}
		}
	})
}

func FuzzMessage(f *testing.F) {
	for _, m := range []*inference.ModelInferRequest{
		{Id: "1", Inputs: []*inference.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "INT8", Shape: []int64{1}, Contents: &inference.InferTensorContents{IntContents: []int32{5}}}}},
		{Inputs: []*inference.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "BYTES", Shape: []int64{1}}}, RawInputContents: [][]byte{{1, 0, 0, 0, 'a'}}},
	} {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m inference.ModelInferRequest
		if proto.Unmarshal(raw, &m) != nil {
			return
		}
		req, err := oip.FromMessage(&m)
		var fault *oip.Error
		switch {
		case err != nil && !errors.As(err, &fault):
			t.Errorf("an error without a kind: %v", err)
		case err == nil:
			checkRequest(t, req, len(raw))
		}
	})
}

func FuzzRepositoryRequests(f *testing.F) {
	for _, seed := range []string{"", `{}`, `{"ready":true}`, `{"parameters":{"unload_dependents":true}}`, `{"parameters":{"file:1/model.onnx":"AAAA"}}`, `{"parameters":{"config":"{}"}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var fault *oip.Error
		var any struct {
			Ready      bool
			Parameters map[string]json.RawMessage
		}
		oracle := json.Unmarshal(body, &any)
		if ready, err := oip.ParseIndex(body); err != nil && !errors.As(err, &fault) {
			t.Errorf("an error without a kind: %v", err)
		} else if err == nil && oracle == nil && ready != any.Ready {
			t.Errorf("ready is %v", ready)
		}
		err := oip.ParseControl(body)
		if err != nil && !errors.As(err, &fault) {
			t.Errorf("an error without a kind: %v", err)
		}
		if _, there := any.Parameters["config"]; oracle == nil && there && err == nil {
			t.Error("a configuration is taken")
		}
	})
}
