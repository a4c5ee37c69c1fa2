package request

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/forescale/forescale/api"
)

const goodWindow = `{"group":"web","end":"2026-03-02T12:05:00Z","step_seconds":300,` +
	`"series":{"demand":[1,null,2.5e0],"is_sale_active":[0,0,1]},"lags":{"demand":{"288":[1,2]}},"future":{"is_sale_active":[1,1]}}`

func TestParseReadsBothForms(t *testing.T) {
	req, err := Parse([]byte(` {"model":"m\u00e9","windows":[` + goodWindow + `]} `))
	if err != nil {
		t.Fatal(err)
	}
	w := req.Windows[0]
	if req.Model != "mé" || w.Group != "web" || w.End.Hour() != 12 || w.StepSeconds != 300 ||
		w.Series["demand"][2] != 2.5 || !math.IsNaN(w.Series["demand"][1]) || w.Lags["demand"][288][1] != 2 || w.Future["is_sale_active"][1] != 1 {
		t.Errorf("read %+v", req)
	}
	if req, err = Parse([]byte(`{"instances":[[[1,2],[3,4]],[[5,6],[7,-8.5e-1]]]}`)); err != nil {
		t.Fatal(err)
	}
	want := &Instances{Shape: []int64{2, 2, 2}, Values: []float64{1, 2, 3, 4, 5, 6, 7, -.85}}
	if !reflect.DeepEqual(req.Instances, want) {
		t.Errorf("read %+v", req.Instances)
	}
}

// content returns what a request holds as text; JSON has no NaN, which is null there.
func content(t *testing.T, r *Request) string {
	t.Helper()
	b, err := json.Marshal(struct {
		Model     string
		Windows   []api.Window
		Instances *Instances
	}{r.Model, r.Windows, r.Instances})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWhatIsReadAgainHoldsNothingOfWhatWasReadBefore(t *testing.T) {
	r := &Request{}
	other := strings.NewReplacer("demand", "cpu", "288", "12", "is_sale_active", "is_holiday", "2.5e0", "7").Replace(goodWindow)
	for _, body := range []string{
		`{"model":"m","windows":[` + goodWindow + `,` + other + `]}`, `{"instances":[[1,2],[3,4]]}`, `{"windows":[` + other + `]}`, `{"windows":[`,
		`{"windows":[{"group":"g","end":"2026-03-02T12:05:00Z","step_seconds":60,"series":{}}]}`, `{"instances":[5]}`, `{"windows":[` + goodWindow + `,` + goodWindow + `]}`,
	} {
		want, wantErr := Parse([]byte(body))
		if err := r.Parse([]byte(body)); fmt.Sprint(err) != fmt.Sprint(wantErr) || content(t, r) != content(t, want) {
			t.Errorf("read %s, %v; want %s, %v", content(t, r), err, content(t, want), wantErr)
		}
	}
}

// bodies are requests of each form, of a usual size.
func bodies() map[string][]byte {
	numbers := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ",%.6f", math.Sin(float64(i)))
		}
		return "[" + b.String()[1:] + "]"
	}
	row := `[` + strings.Repeat(numbers(4)+",", 23) + numbers(4) + `]`
	window := `{"group":"web","end":"2026-03-02T12:05:00Z","step_seconds":300,"series":{"demand":` + numbers(24) + `,"network_in":` + numbers(24) + `},` +
		`"lags":{"demand":{"288":` + numbers(13) + `,"2016":` + numbers(13) + `}},"future":{"is_sale_active":` + numbers(13) + `}}`
	return map[string][]byte{"instances": []byte(`{"model":"m","instances":[` + row + `]}`), "windows": []byte(`{"windows":[` + window + `]}`)}
}

func TestReadingAgainAllocatesNothing(t *testing.T) {
	for form, body := range bodies() {
		r := &Request{}
		n := testing.AllocsPerRun(100, func() {
			if err := r.Parse(body); err != nil {
				t.Fatal(err)
			}
		})
		if n > 0 {
			t.Errorf("%s: %v allocations", form, n)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for form, body := range bodies() {
		b.Run(form, func(b *testing.B) {
			r := &Request{}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Parse(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestParseNamesTheFieldAtFault(t *testing.T) {
	with := func(old, replacement string) string {
		if !strings.Contains(goodWindow, old) {
			t.Fatalf("%s is not in the good window", old)
		}
		return `{"windows":[` + goodWindow + `,` + goodWindow + `,` + strings.Replace(goodWindow, old, replacement, 1) + `]}`
	}
	for name, c := range map[string]struct{ body, field, detail string }{
		"an empty body":                   {``, "", "must be an object, not the end of the body"},
		"an array":                        {`[]`, "", "must be an object, not an array"},
		"neither form":                    {`{"model":"m"}`, "", "there is neither"},
		"both forms":                      {`{"instances":[1],"windows":[` + goodWindow + `]}`, "", "not both"},
		"something after the request":     {`{"instances":[1]} {}`, "", "nothing may follow"},
		"a cut body":                      {`{"windows":[{"group":"we`, "windows[0].group", "a string does not end"},
		"an unknown field":                {`{"instance":[1]}`, "instance", "unknown field"},
		"a field in another case":         {`{"Instances":[1]}`, "Instances", "unknown field"},
		"a field twice":                   {`{"model":"a","model":"b"}`, "model", "twice"},
		"no windows":                      {`{"windows":[]}`, "windows", "at least one"},
		"null for the windows":            {`{"windows":null}`, "windows", "must be an array, not null"},
		"an unknown field in a window":    {with(`"group"`, `"x":1,"group"`), "windows[2].x", "unknown field"},
		"a missing group":                 {with(`"group":"web",`, ``), "windows[2].group", "missing"},
		"an empty group":                  {with(`"web"`, `""`), "windows[2].group", "empty"},
		"a group that is a number":        {with(`"web"`, `7`), "windows[2].group", "must be a string, not a number"},
		"a group that is too long":        {with(`web`, strings.Repeat("w", 256)), "windows[2].group", "longer than 255"},
		"a time that is none":             {with(`2026-03-02T12`, `2026-03-02 12`), "windows[2].end", "is not a time"},
		"a step of zero":                  {with(`300`, `0`), "windows[2].step_seconds", "must be positive"},
		"a step with a fraction":          {with(`300`, `300.5`), "windows[2].step_seconds", "not an integer"},
		"text where a number belongs":     {with(`2.5e0`, `"2.5"`), "windows[2].series.demand[2]", "must be a number, not a string"},
		"NaN":                             {with(`2.5e0`, `NaN`), "windows[2].series.demand[2]", "must be a number, not NaN"},
		"minus infinity":                  {with(`2.5e0`, `-Infinity`), "windows[2].series.demand[2]", "malformed number"},
		"a number beyond every float":     {with(`2.5e0`, `1e999`), "windows[2].series.demand[2]", "1e999 is out of range"},
		"a leading zero":                  {with(`2.5e0`, `02`), "windows[2].series.demand", "a comma or ] must follow"},
		"a comma too many":                {with(`2.5e0`, `2,`), "windows[2].series.demand[3]", "must be a number"},
		"a series twice":                  {with(`"is_sale_active":[0`, `"demand":[0`), "windows[2].series.demand", "twice"},
		"a lag that is no offset":         {with(`"288"`, `"0288"`), "windows[2].lags.demand.0288", "not an offset"},
		"a negative lag":                  {with(`"288"`, `"-1"`), "windows[2].lags.demand.-1", "not an offset"},
		"a flag that is not a list":       {with(`[1,1]`, `1`), "windows[2].future.is_sale_active", "must be an array, not a number"},
		"instances without a number":      {`{"instances":[[],[]]}`, "instances", "at least one number"},
		"ragged instances":                {`{"instances":[[1,2],[3]]}`, "instances[1]", "has 1 values where others at this depth have 2"},
		"ragged instances deep inside":    {`{"instances":[[[1],[2]],[[3],[4,5]]]}`, "instances[1][1]", "has 2 values where others at this depth have 1"},
		"a number beside arrays":          {`{"instances":[[1],2]}`, "instances[1]", "must be an array"},
		"an array beside numbers":         {`{"instances":[1,[2]]}`, "instances[1]", "must be a number"},
		"null in instances":               {`{"instances":[[1,null]]}`, "instances[0][1]", "must be a number, not null"},
		"instances nested too deeply":     {`{"instances":` + strings.Repeat("[", 9) + `1` + strings.Repeat("]", 9) + `}`, "instances[0][0][0][0][0][0][0][0]", "nested deeper than 8"},
		"instances nested without an end": {`{"instances":` + strings.Repeat("[", 1_000_000), "instances[0][0][0][0][0][0][0][0]", "nested deeper than 8"},
		"invalid UTF-8":                   {"{\"model\":\"\xff\"}", "model", "invalid UTF-8"},
		"half a surrogate pair":           {`{"model":"\ud800"}`, "model", "surrogate"},
		"a control character":             {"{\"model\":\"a\nb\"}", "model", "control character"},
		"an unknown escape":               {`{"model":"\x"}`, "model", "unknown escape"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(c.body))
			var fault *Error
			if !errors.As(err, &fault) {
				t.Fatalf("got %v", err)
			}
			if fault.Field != c.field || !strings.Contains(fault.Detail, c.detail) {
				t.Errorf("got field %q, detail %q", fault.Field, fault.Detail)
			}
			if fault.Offset < 0 || fault.Offset > len(c.body) {
				t.Errorf("offset %d of %d", fault.Offset, len(c.body))
			}
		})
	}
}

// syntax are the faults that a body has for encoding/json, too.
var syntax = []string{"a comma or", "a colon must follow", "a field name must follow", "malformed number", "does not end", "unknown escape",
	"control character", "hexadecimal", "nothing may follow"}

// FuzzParse holds Parse to encoding/json: what it accepts, encoding/json reads as
// the same request; what is no JSON, it refuses; and what it refuses as no JSON, is
// none. A Request that has read something else before reads the same.
func FuzzParse(f *testing.F) {
	for _, body := range []string{
		`{"windows":[` + goodWindow + `]}`, `{"model":"\ud83d\ude00","instances":[[1,2],[3,-4e-7]]}`, `{"instances":[0.1e+3]}`,
		`{"instances":[[[]]]}`, `{"instances":[[1],[2,3]]}`, `{"windows":[{"group":"a","end":"2026-03-02T12:05:00+01:00","step_seconds":1,"series":{}}]}`,
		`{"instances":[-0,-0.0,0.3,123456789012345,1234567890123456,0.123456789012345,9007199254740993,1e22,5e-324]}`, `{"instances":[01]}`, `{"instances":[-]}`, `{"instances":[1.]}`,
	} {
		f.Add([]byte(body))
	}
	used := &Request{}
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := Parse(body)
		again := used.Parse(body)
		if fmt.Sprint(err) != fmt.Sprint(again) {
			t.Fatalf("%v, and read again %v", err, again)
		}
		if err != nil {
			var fault *Error
			if !errors.As(err, &fault) {
				t.Fatalf("an error of another type: %v", err)
			}
			for _, detail := range syntax {
				if json.Valid(body) && strings.Contains(fault.Detail, detail) && !strings.Contains(fault.Detail, `"`) {
					t.Fatalf("valid JSON is refused: %v", err)
				}
			}
			return
		}
		if !json.Valid(body) {
			t.Fatal("what is no JSON is accepted")
		}
		if a, b := content(t, req), content(t, used); a != b {
			t.Fatalf("read %s, and again %s", a, b)
		}
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		var want api.PredictRequest
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("encoding/json refuses what Parse accepts: %v", err)
		}
		if req.Model != want.Model || len(req.Windows) != len(want.Windows) {
			t.Fatalf("read %+v, want %+v", req, want)
		}
		for i := range req.Windows {
			if err := sameWindow(req.Windows[i], want.Windows[i]); err != nil {
				t.Fatalf("window %d: %v", i, err)
			}
		}
		if req.Instances != nil {
			if err := sameInstances(req.Instances, want.Instances); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func sameWindow(a, b api.Window) error {
	if !a.End.Equal(b.End) {
		return fmt.Errorf("end %s, want %s", a.End, b.End)
	}
	b.End = a.End
	// NaN equals nothing; as JSON it is null, and maps are in order.
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	if err := errors.Join(errX, errY); err != nil || !bytes.Equal(normal(x), normal(y)) {
		return fmt.Errorf("%s, want %s (%v)", x, y, err)
	}
	return nil
}

// normal hides the difference between an empty map and none, which no reader of a
// window sees.
func normal(b []byte) []byte {
	for _, name := range []string{"lags", "future"} {
		b = bytes.ReplaceAll(b, []byte(`,"`+name+`":{}`), nil)
	}
	return b
}

func sameInstances(in *Instances, raw json.RawMessage) error {
	var nested any
	if err := json.Unmarshal(raw, &nested); err != nil {
		return err
	}
	var flat []float64
	var flatten func(v any, shape []int64) error
	flatten = func(v any, shape []int64) error {
		switch v := v.(type) {
		case float64:
			if len(shape) != 0 {
				return errors.New("a number at a wrong depth")
			}
			flat = append(flat, v)
		case []any:
			if len(shape) == 0 || int64(len(v)) != shape[0] {
				return fmt.Errorf("%d values against shape %v", len(v), shape)
			}
			for _, e := range v {
				if err := flatten(e, shape[1:]); err != nil {
					return err
				}
			}
		default:
			return fmt.Errorf("a %T among the instances", v)
		}
		return nil
	}
	if err := flatten(nested, in.Shape); err != nil {
		return err
	}
	if !reflect.DeepEqual(flat, in.Values) {
		return fmt.Errorf("values %v, want %v", in.Values, flat)
	}
	return nil
}
