package mqtt

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemas returns the two roots of reading.schema.json: for topics that name the
// metric, and for those that do not.
func schemas(t testing.TB) map[bool]*jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	named, err := c.Compile("reading.schema.json#/$defs/named")
	if err != nil {
		t.Fatal(err)
	}
	open, err := c.Compile("reading.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return map[bool]*jsonschema.Schema{true: named, false: open}
}

func TestDecode(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	schema := schemas(t)
	for name, c := range map[string]struct {
		payload string
		named   bool
		want    []Value
		fault   string
		beyond  bool // the schema cannot say what is wrong
	}{
		"one reading of the topic's metric": {payload: `{"time":"2026-03-01T12:00:00Z","value":21.5}`, named: true, want: []Value{{"", noon, 21.5}}},
		"one reading that names its metric": {payload: `{"metric":"temperature","value":-2,"time":1772366400}`, want: []Value{{"temperature", noon, -2}}},
		"several metrics at one time": {payload: `{"metrics":{"temperature":21.5,"humidity":40},"time":1772366400}`,
			want: []Value{{"temperature", noon, 21.5}, {"humidity", noon, 40}}},
		"an array of either": {payload: `[{"metric":"a","value":1},{"metrics":{"b":2},"time":1772366400}]`,
			want: []Value{{"a", time.Time{}, 1}, {"b", noon, 2}}},
		"a zone other than UTC":                    {payload: `{"time":"2026-03-01T13:00:00+01:00","value":1}`, named: true, want: []Value{{"", noon, 1}}},
		"seconds with a fraction":                  {payload: `{"time":1772366400.25,"value":1}`, named: true, want: []Value{{"", noon.Add(250 * time.Millisecond), 1}}},
		"milliseconds":                             {payload: `{"time":1772366400001,"value":1}`, named: true, want: []Value{{"", noon.Add(time.Millisecond), 1}}},
		"the last second before milliseconds":      {payload: `{"time":99999999999,"value":1}`, named: true, want: []Value{{"", time.Unix(99999999999, 0).UTC(), 1}}},
		"nanoseconds of RFC 3339 are cut":          {payload: `{"time":"2026-03-01T12:00:00.000000999Z","value":1}`, named: true, want: []Value{{"", noon, 1}}},
		"microseconds are not guessed at":          {payload: `{"time":1772366400000000,"value":1}`, named: true, fault: "Unix time"},
		"a time before 1970":                       {payload: `{"time":-1,"value":1}`, named: true, fault: "Unix time"},
		"a local time without a zone":              {payload: `{"time":"2026-03-01T12:00:00","value":1}`, named: true, fault: "zone"},
		"a time that is none":                      {payload: `{"time":null,"value":1}`, named: true, fault: "null"},
		"a year before 1970":                       {payload: `{"time":"0001-01-01T00:00:00Z","value":1}`, named: true, fault: "1970", beyond: true},
		"no value":                                 {payload: `{"time":1}`, named: true, fault: "value or metrics"},
		"a null instead of a missing value":        {payload: `{"value":null}`, named: true, fault: "leave a missing value out"},
		"a string instead of a number":             {payload: `{"value":"21.5"}`, named: true, fault: "no number"},
		"a number beyond a double":                 {payload: `{"value":1e999}`, named: true, fault: "range", beyond: true},
		"a metric beside the topic's":              {payload: `{"metric":"a","value":1}`, named: true, fault: "topic does already"},
		"metrics beside the topic's":               {payload: `{"metrics":{"a":1}}`, named: true, fault: "topic does already"},
		"no metric anywhere":                       {payload: `{"value":1}`, fault: "needs a metric"},
		"metric beside metrics":                    {payload: `{"metric":"a","metrics":{"b":1}}`, fault: "does not go with"},
		"value beside metrics":                     {payload: `{"metric":"a","value":1,"metrics":{"b":1}}`, fault: "not both"},
		"an unknown key":                           {payload: `{"value":1,"unit":"F"}`, named: true, fault: `"unit": unknown`},
		"a key in another case":                    {payload: `{"Value":1}`, named: true, fault: `"Value": unknown`},
		"a key twice":                              {payload: `{"value":1,"value":2}`, named: true, fault: "twice", beyond: true},
		"a metric twice":                           {payload: `{"metrics":{"a":1,"a":2}}`, fault: "twice", beyond: true},
		"an empty name":                            {payload: `{"metrics":{"":1}}`, fault: "is empty"},
		"a name that is too long":                  {payload: fmt.Sprintf(`{"metric":%q,"value":1}`, strings.Repeat("x", 256)), fault: "longer than 255"},
		"a metric that is no string":               {payload: `{"metric":1,"value":1}`, fault: "no string"},
		"a name with a control character":          {payload: `{"metric":"a\u0000b","value":1}`, fault: "control characters", beyond: true},
		"no metrics":                               {payload: `{"metrics":{}}`, fault: "empty"},
		"metrics that are no object":               {payload: `{"metrics":[1]}`, fault: "where {"},
		"a deep value":                             {payload: `{"metrics":{"a":{"b":1}}}`, fault: "no number"},
		"an empty array":                           {payload: `[]`, fault: "no reading"},
		"an array of numbers":                      {payload: `[1]`, fault: "element 0"},
		"a bare number":                            {payload: `21.5`, named: true, fault: "neither an object"},
		"nothing":                                  {payload: ``, named: true, fault: "not JSON", beyond: true},
		"half a payload":                           {payload: `{"value":1`, named: true, fault: "not JSON", beyond: true},
		"half an array":                            {payload: `[{"value":1}`, named: true, fault: "not JSON", beyond: true},
		"two payloads":                             {payload: `{"value":1}{"value":2}`, named: true, fault: "follows", beyond: true},
		"text that is not UTF-8":                   {payload: "{\"metric\":\"\xff\",\"value\":1}", fault: "UTF-8", beyond: true},
		"too many readings in an array":            {payload: "[" + strings.Repeat(`{"value":1},`, maxReadings) + `{"value":1}]`, named: true, fault: "more than 2000"},
		"more bytes than a payload may have":       {payload: `{"value":1}` + strings.Repeat(" ", maxPayload), named: true, fault: "more than", beyond: true},
		"one bad element spoils the whole payload": {payload: `[{"value":1},{"value":"x"}]`, named: true, fault: "element 1"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Decode([]byte(c.payload), c.named)
			if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Fatalf("error %v, want one about %q", err, c.fault)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if c.beyond {
				return
			}
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(c.payload))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema[c.named].Validate(value); (err == nil) != (c.fault == "") {
				t.Errorf("the schema says %v", err)
			}
		})
	}
}

func TestEncodeIsDecoded(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 5000, time.UTC)
	payload, err := Encode(at, map[string]float64{"power": 300.5, "temperature": 21})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(payload, false)
	if want := []Value{{"power", at, 300.5}, {"temperature", at, 21}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, %v", payload, got, err)
	}
	if _, err := Encode(at, map[string]float64{"": 1}); err == nil {
		t.Error("a metric without a name")
	}
	if _, err := Encode(at, map[string]float64{"a": maxPayload / zero}); err == nil {
		t.Error("an infinite value")
	}
}

var zero float64

// FuzzDecode holds that what is taken is finite, named and within the bounds, and
// that the schema, where the decoder is no stricter, agrees.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"time":"2026-03-01T12:00:00Z","value":21.5}`, `{"metrics":{"a":1,"b":2e3},"time":1772366400123}`,
		`[{"metric":"a","value":1},{"metric":"b","value":2}]`, `{"value":1,"value":2}`, `[[[[`, `{"metrics":{"a":{}}}`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	schema := schemas(f)
	f.Fuzz(func(t *testing.T, payload []byte, named bool) {
		values, err := Decode(payload, named)
		if err != nil {
			if values != nil {
				t.Fatal("values and an error")
			}
			return
		}
		if len(values) == 0 || len(values) > maxReadings {
			t.Fatalf("%d values", len(values))
		}
		for _, v := range values {
			if v.Value-v.Value != 0 || named != (v.Metric == "") || len(v.Metric) > 255 || v.Time.Year() > 9999 {
				t.Fatalf("%+v", v)
			}
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
		if err != nil {
			t.Fatalf("taken, but no JSON: %v", err)
		}
		if err := schema[named].Validate(value); err != nil && !strings.Contains(err.Error(), "date-time") {
			t.Fatalf("taken, but against the schema: %v", err)
		}
	})
}
