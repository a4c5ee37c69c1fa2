package server_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server"
	"github.com/forescale/forescale/server/oip"
)

// v2Error decodes an error of the Open Inference Protocol, and fails the test when
// the answer is none.
func (r reply) v2Error(t testing.TB) string {
	t.Helper()
	var body struct{ Error string }
	if got := r.header.Get("Content-Type"); got != "application/json" || r.status < 400 {
		t.Fatalf("status %d with content type %q: %s", r.status, got, r.body)
	}
	if err := json.Unmarshal(r.body, &body); err != nil || body.Error == "" {
		t.Fatalf("status %d: %s (%v)", r.status, r.body, err)
	}
	return body.Error
}

// infer puts JSON to a model. path is what follows /v2/models/.
func (r *running) infer(path, body string) reply {
	r.t.Helper()
	return r.do(http.MethodPost, "/v2/models/"+path+"/infer", []byte(body), nil, false)
}

// outputs decodes the outputs of an answer in JSON, by name.
func (r reply) outputs(t testing.TB) map[string]any {
	t.Helper()
	var answer struct {
		Outputs []struct {
			Name string
			Data any
		}
	}
	if err := json.Unmarshal(r.body, &answer); err != nil || r.status != http.StatusOK {
		t.Fatalf("status %d: %s (%v)", r.status, r.body, err)
	}
	all := map[string]any{}
	for _, out := range answer.Outputs {
		all[out.Name] = out.Data
	}
	return all
}

// foreign puts a model on a shelf that is not one of ours.
func (s *shelf) foreign(name string, model []byte) { s.put(name, models.Manifest{}, model) }

func TestTheServerAndItsModelsDescribeThemselves(t *testing.T) {
	registry := newShelf()
	registry.foreign("two", onnxtest.SumAndDifference())
	registry.foreign("a/b c", onnxtest.Identity(onnxtest.TypeString))
	registry.foreign("corrupt", []byte("no model"))
	r := start(t, registry, nil)
	eventually(t, "ready", func() bool { return r.get("/v2/health/ready").status == http.StatusOK })
	for path, want := range map[string]string{
		"/v2/health/live":                 `{"live":true}`,
		"/v2/health/ready":                `{"ready":true}`,
		"/v2":                             `{"extensions":["binary_tensor_data","model_repository"],"name":"forescale","version":"dev"}`,
		"/v2/models/two/ready":            `{"name":"two","ready":true}`,
		"/v2/models/a%2Fb%20c/ready":      `{"name":"a/b c","ready":true}`,
		"/v2/models/two/versions/1":       `{"name":"two","versions":["1"],"platform":"onnxruntime_onnx","inputs":[{"name":"a","datatype":"FP32","shape":[-1,2]},{"name":"b","datatype":"FP32","shape":[-1,2]}],"outputs":[{"name":"sum","datatype":"FP32","shape":[-1,2]},{"name":"difference","datatype":"FP32","shape":[-1,2]}]}`,
		"/v2/models/a%2Fb%20c":            `{"name":"a/b c","versions":["1"],"platform":"onnxruntime_onnx","inputs":[{"name":"x","datatype":"BYTES","shape":[-1]}],"outputs":[{"name":"y","datatype":"BYTES","shape":[-1]}]}`,
		"/v2/models/two/versions/1/ready": `{"name":"two","ready":true}`,
	} {
		if got := r.get(path); got.status != http.StatusOK || strings.TrimSpace(string(got.body)) != want {
			t.Errorf("%s: status %d, %s", path, got.status, got.body)
		}
	}
	for path, status := range map[string]int{
		"/v2/models/none": 404, "/v2/models/none/ready": 404, "/v2/models/two/versions/2": 404, "/v2/models/two/versions/x": 404,
		"/v2/models/two/versions/01": 404, "/v2/models/corrupt/ready": 503, "/v2/nothing": 404, "/v2/models/two/infer": 405,
	} {
		got := r.do(http.MethodGet, path, nil, nil, true)
		if text := got.v2Error(t); got.status != status {
			t.Errorf("%s: status %d, %s", path, got.status, text)
		}
	}
}

func TestAnInferenceAnswersWhatWasAskedFor(t *testing.T) {
	registry := newShelf()
	registry.foreign("two", onnxtest.SumAndDifference())
	r := start(t, registry, nil)
	inputs := `"inputs":[{"name":"b","shape":[2,2],"datatype":"FP32","data":[1,2,3,4]},{"name":"a","shape":[2,2],"datatype":"FP32","data":[[10,20],[30,40]]}]`
	for name, c := range map[string]struct{ body, want string }{
		"all outputs":   {`{` + inputs + `}`, `{"model_name":"two","model_version":"1","outputs":[{"name":"sum","datatype":"FP32","shape":[2,2],"data":[11,22,33,44]},{"name":"difference","datatype":"FP32","shape":[2,2],"data":[9,18,27,36]}]}`},
		"one of them":   {`{"id":"4 \"2\"",` + inputs + `,"outputs":[{"name":"difference"}]}`, `{"model_name":"two","model_version":"1","id":"4 \"2\"","outputs":[{"name":"difference","datatype":"FP32","shape":[2,2],"data":[9,18,27,36]}]}`},
		"another order": {`{` + inputs + `,"outputs":[{"name":"difference"},{"name":"sum"}]}`, `{"model_name":"two","model_version":"1","outputs":[{"name":"difference","datatype":"FP32","shape":[2,2],"data":[9,18,27,36]},{"name":"sum","datatype":"FP32","shape":[2,2],"data":[11,22,33,44]}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := r.infer("two", c.body); got.status != http.StatusOK || string(got.body) != c.want {
				t.Errorf("status %d: %s", got.status, got.body)
			}
		})
	}
}

func TestTensorsMayComeAndGoInBinaryForm(t *testing.T) {
	registry := newShelf()
	registry.foreign("two", onnxtest.SumAndDifference())
	r := start(t, registry, nil)
	var tensors []byte
	for _, v := range []float32{10, 20, 1, 2} {
		tensors = binary.LittleEndian.AppendUint32(tensors, math.Float32bits(v))
	}
	head := `{"inputs":[{"name":"a","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}},{"name":"b","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}],` +
		`"parameters":{"binary_data_output":true},"outputs":[{"name":"difference"},{"name":"sum","parameters":{"binary_data":false}}]}`
	send := func(header string) reply {
		return r.do(http.MethodPost, "/v2/models/two/infer", append([]byte(head), tensors...),
			http.Header{"Content-Type": {"application/octet-stream"}, oip.HeaderLength: {header}}, false)
	}
	got := send(strconv.Itoa(len(head)))
	n, err := strconv.Atoi(got.header.Get(oip.HeaderLength))
	if err != nil || got.header.Get("Content-Type") != "application/octet-stream" || n > len(got.body) {
		t.Fatalf("status %d, header %v: %q", got.status, got.header, got.body)
	}
	if want := `{"model_name":"two","model_version":"1","outputs":[{"name":"difference","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}},{"name":"sum","datatype":"FP32","shape":[1,2],"data":[11,22]}]}`; string(got.body[:n]) != want {
		t.Errorf("got %s", got.body[:n])
	}
	if want := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, math.Float32bits(9)), math.Float32bits(18)); !reflect.DeepEqual(got.body[n:], want) {
		t.Errorf("the binary part is %v, want %v", got.body[n:], want)
	}
	for header, want := range map[string]string{"0": "is not the length", "x": "is not the length", "-5": "is not the length",
		"99999": "but the body has", strconv.Itoa(len(head) - 1): "ends early", strconv.Itoa(len(head) + 1): "after the JSON object"} {
		req := r.do(http.MethodPost, "/v2/models/two/infer", append([]byte(head), tensors...),
			http.Header{"Content-Type": {"application/octet-stream"}, oip.HeaderLength: {header}}, true)
		if text := req.v2Error(t); req.status != http.StatusBadRequest || !strings.Contains(text, want) {
			t.Errorf("header %s: status %d, %s", header, req.status, text)
		}
	}
}

func TestEveryDatatypeGoesThroughARealModel(t *testing.T) {
	registry := newShelf()
	for datatype, c := range elementTypes {
		registry.foreign(strings.ToLower(datatype), onnxtest.Identity(c.onnx))
	}
	r := start(t, registry, nil)
	for datatype, c := range elementTypes {
		t.Run(datatype, func(t *testing.T) {
			model := strings.ToLower(datatype)
			if c.json != "" {
				body := fmt.Sprintf(`{"inputs":[{"name":"x","shape":[2],"datatype":%q,"data":%s}]}`, datatype, c.json)
				if got := r.infer(model, body); !strings.Contains(string(got.body), `"data":`+c.json+`}`) {
					t.Errorf("JSON: status %d, %s", got.status, got.body)
				}
			}
			head := fmt.Sprintf(`{"inputs":[{"name":"x","shape":[2],"datatype":%q,"parameters":{"binary_data_size":%d}}],"parameters":{"binary_data_output":true}}`, datatype, len(c.raw))
			got := r.do(http.MethodPost, "/v2/models/"+model+"/infer", []byte(head+c.raw),
				http.Header{"Content-Type": {"application/octet-stream"}, oip.HeaderLength: {strconv.Itoa(len(head))}}, false)
			n, err := strconv.Atoi(got.header.Get(oip.HeaderLength))
			if err != nil || string(got.body[n:]) != c.raw {
				t.Errorf("binary: status %d, %q", got.status, got.body)
			}
		})
	}
}

// elementTypes are two elements of each datatype as JSON and in binary form.
var elementTypes = map[string]struct {
	onnx      onnxtest.ElementType
	json, raw string
}{
	"BOOL":   {onnxtest.TypeBool, `[true,false]`, "\x01\x00"},
	"UINT8":  {onnxtest.TypeUint8, `[1,255]`, "\x01\xff"},
	"UINT16": {onnxtest.TypeUint16, `[1,65535]`, "\x01\x00\xff\xff"},
	"UINT32": {onnxtest.TypeUint32, `[1,4294967295]`, "\x01\x00\x00\x00\xff\xff\xff\xff"},
	"UINT64": {onnxtest.TypeUint64, `[1,18446744073709551615]`, "\x01\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"},
	"INT8":   {onnxtest.TypeInt8, `[1,-1]`, "\x01\xff"},
	"INT16":  {onnxtest.TypeInt16, `[1,-1]`, "\x01\x00\xff\xff"},
	"INT32":  {onnxtest.TypeInt32, `[1,-1]`, "\x01\x00\x00\x00\xff\xff\xff\xff"},
	"INT64":  {onnxtest.TypeInt64, `[1,-9223372036854775808]`, "\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80"},
	"FP16":   {onnxtest.TypeFloat16, ``, "\x00\x3c\x00\xfc"},
	"BF16":   {onnxtest.TypeBfloat16, ``, "\x80\x3f\x80\x7f"},
	"FP32":   {onnxtest.TypeFloat, `[1,-0.5]`, "\x00\x00\x80\x3f\x00\x00\x00\xbf"},
	"FP64":   {onnxtest.TypeDouble, `[1,-0.5]`, "\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\xe0\xbf"},
	"BYTES":  {onnxtest.TypeString, `["grün",""]`, "\x05\x00\x00\x00gr\xc3\xbcn\x00\x00\x00\x00"},
}

func TestAnInferenceAtFaultIsAnErrorThatNamesTheTensor(t *testing.T) {
	registry := newShelf()
	registry.foreign("two", onnxtest.SumAndDifference())
	registry.foreign("corrupt", []byte("no model"))
	spec := onnxtest.Spec(3, 1)
	own, ownModel := onnxtest.Persistence(spec, 1)
	registry.put("own", own, ownModel)
	nan, nanModel := onnxtest.Persistence(spec, float32(math.NaN()))
	registry.put("nan", nan, nanModel)
	r := start(t, registry, func(c *server.Config, _ *server.Deps) { c.BodyLimit = 4096 })
	a := `{"name":"a","shape":[1,2],"datatype":"FP32","data":[1,2]}`
	b := `{"name":"b","shape":[1,2],"datatype":"FP32","data":[1,2]}`
	series := `{"inputs":[{"name":"series","shape":[1,3,2],"datatype":"FP32","data":[1,0,1,0,2,0]}]}`
	for name, c := range map[string]struct {
		model, body, kind string
		status            int
		want              string
	}{
		"an unknown model":            {"none", `{"inputs":[` + a + `]}`, "", 404, `"none"`},
		"an unknown version":          {"two/versions/7", `{"inputs":[` + a + `]}`, "", 404, "version 7"},
		"a model that cannot serve":   {"corrupt", `{"inputs":[` + a + `]}`, "", 503, "cannot be served"},
		"a missing input":             {"two", `{"inputs":[` + a + `]}`, "", 400, `input "b": is missing`},
		"an unknown input":            {"two", `{"inputs":[` + a + `,` + strings.ReplaceAll(b, `"b"`, `"c"`) + `]}`, "", 400, `input "c": the model has no such input`},
		"an unknown output":           {"two", `{"inputs":[` + a + `,` + b + `],"outputs":[{"name":"y"}]}`, "", 400, `output "y": the model has no such output; it has "sum" FP32`},
		"another datatype":            {"two", `{"inputs":[` + a + `,` + strings.ReplaceAll(b, "FP32", "FP64") + `]}`, "", 400, `input "b": datatype is FP64, the model reads FP32`},
		"another shape":               {"two", `{"inputs":[` + a + `,{"name":"b","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}`, "", 400, `input "b": shape is [1, 3], the model reads [?, 2]`},
		"batches that differ":         {"two", `{"inputs":[` + a + `,{"name":"b","shape":[2,2],"datatype":"FP32","data":[1,2,3,4]}]}`, "", 400, `axis "batch" of input "a" is 1 long`},
		"no JSON":                     {"two", `hello`, "", 400, "not valid"},
		"another content type":        {"two", `{}`, "text/plain", 415, "text/plain"},
		"a form by its name, as curl": {"two", `{}`, "application/x-www-form-urlencoded", 400, "inputs: is empty"},
		"a body over the limit":       {"two", `{"id":"` + strings.Repeat("x", 4096) + `"}`, "", 413, "larger than 4096 bytes"},
		"an infinity as a sum":        {"two", `{"inputs":[` + strings.ReplaceAll(a+","+b, "[1,2]}", "[3e38,1]}") + `]}`, "", 400, `output "sum": value 0 is +Inf, which JSON cannot hold`},
		"an own model that fails":     {"nan", series, "", 500, "its output forecast is not finite"},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{}
			if c.kind != "" {
				header.Set("Content-Type", c.kind)
			}
			got := r.do(http.MethodPost, "/v2/models/"+c.model+"/infer", []byte(c.body), header, true)
			if text := got.v2Error(t); got.status != c.status || !strings.Contains(text, c.want) {
				t.Errorf("status %d: %s", got.status, text)
			}
		})
	}
	if got := r.infer("own", series).outputs(t)["forecast"]; !reflect.DeepEqual(got, []any{2.0}) {
		t.Errorf("an own model answers %v", got)
	}
	raw := []byte(`{"inputs":[{"name":"series","shape":[1,3,2],"datatype":"FP32","parameters":{"binary_data_size":24}}]}`)
	n := len(raw)
	for _, v := range []float64{1, 0, math.NaN(), 0, 1, 0} {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(v)))
	}
	got := r.do(http.MethodPost, "/v2/models/own/infer", raw, http.Header{"Content-Type": {"application/octet-stream"}, oip.HeaderLength: {strconv.Itoa(n)}}, false)
	if text := got.v2Error(t); got.status != http.StatusBadRequest || !strings.Contains(text, `input "series": value 2 is NaN`) {
		t.Errorf("NaN for an own model: status %d, %s", got.status, text)
	}
}

func TestEveryVersionAnswersByItsNumberAndTheChampionWithoutOne(t *testing.T) {
	spec := onnxtest.Spec(3, 1)
	registry := newShelf()
	for factor := range 3 {
		m, model := onnxtest.Persistence(spec, float32(factor+1))
		registry.put("web", m, model)
	}
	r := start(t, registry, nil)
	body := `{"inputs":[{"name":"series","shape":[1,3,2],"datatype":"FP32","data":[1,0,1,0,1,0]}]}`
	for path, want := range map[string]float64{"web": 3, "web/versions/1": 1, "web/versions/2": 2, "web/versions/3": 3} {
		if got := r.infer(path, body).outputs(t)["forecast"]; !reflect.DeepEqual(got, []any{want}) {
			t.Errorf("%s answers %v", path, got)
		}
	}
	// The champion moves to a version that was asked for by its number before.
	registry.crown("web", 1)
	eventually(t, "the older version is champion", func() bool {
		return reflect.DeepEqual(r.infer("web", body).outputs(t)["forecast"], []any{1.0})
	})
	text := string(r.get("/metrics").body)
	for _, version := range []string{"1", "2"} {
		if !strings.Contains(text, `forescale_model_info{model="web",version="`+version+`"} 1`) {
			t.Errorf("version %s serves, and the metrics do not say so", version)
		}
	}
	if got := r.get("/v2/models/web"); !strings.Contains(string(got.body), `"versions":["1","2","3"]`) {
		t.Errorf("the metadata is %s", got.body)
	}
}

func TestAPlainModelRepositoryIsServed(t *testing.T) {
	store := blob.NewMemory()
	for key, model := range map[string][]byte{"two/1/model.onnx": onnxtest.Foreign(), "two/3/model.onnx": onnxtest.SumAndDifference(), "words/1/model.onnx": onnxtest.Identity(onnxtest.TypeString)} {
		if _, err := store.Put(t.Context(), key, model, blob.IfAbsent()); err != nil {
			t.Fatal(err)
		}
	}
	r := start(t, models.NewWatch(models.NewRegistry(store)), nil)
	if got := r.get("/v2/models/two"); !strings.Contains(string(got.body), `"versions":["1","3"]`) || !strings.Contains(string(got.body), `"sum"`) {
		t.Errorf("the metadata is %s", got.body)
	}
	got := r.infer("two/versions/1", `{"inputs":[{"name":"input","shape":[1,3],"datatype":"FP32","data":[1,2,4]}]}`)
	if out := got.outputs(t)["output"]; !reflect.DeepEqual(out, []any{7.25, 14.0}) {
		t.Errorf("version 1 answers %v", out)
	}
	got = r.infer("words", `{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":["a"]}]}`)
	if out := got.outputs(t)["y"]; !reflect.DeepEqual(out, []any{"a"}) {
		t.Errorf("words answers %v", out)
	}
}

func TestAnAnswerThatIsTooLargeIsRefusedByItsName(t *testing.T) {
	registry := newShelf()
	registry.foreign("zeros", onnxtest.Model(onnxtest.Graph( // as many as its input says
		onnxtest.Node("ConstantOfShape", "", []string{"n"}, []string{"y"}),
		onnxtest.InputOf(onnxtest.TypeInt64, "n", 1), onnxtest.OutputOf(onnxtest.TypeFloat, "y", "many")), nil))
	const most = 4096
	r := start(t, registry, func(c *server.Config, _ *server.Deps) { c.BodyLimit = most })
	for n, status := range map[int]int{most: http.StatusOK, most + 1: http.StatusBadRequest} {
		if got := r.infer("zeros", fmt.Sprintf(`{"inputs":[{"name":"n","shape":[1],"datatype":"INT64","data":[%d]}]}`, n)); got.status != status ||
			status != http.StatusOK && !strings.Contains(got.v2Error(t), `output "y": has 4097 elements, at most 4096`) {
			t.Errorf("%d elements: status %d: %.200s", n, got.status, got.body)
		}
		if got := r.post(fmt.Sprintf(`{"model":"zeros","instances":[%d]}`, n)); got.status != status ||
			status != http.StatusOK && got.problem(t).Field != `output "y"` {
			t.Errorf("%d elements of instances: status %d: %.200s", n, got.status, got.body)
		}
	}
}
