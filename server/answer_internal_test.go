package server

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

func aResponse(rng *rand.Rand) *api.PredictResponse {
	some := func(n int) []float64 {
		var values []float64
		for range n {
			values = append(values, math.Float64frombits(rng.Uint64()), float64(rng.Float32()), float64(rng.IntN(1000)))
		}
		for i, v := range values {
			if v-v != 0 {
				values[i] = 0
			}
		}
		return values
	}
	at := time.Unix(rng.Int64N(4e9), rng.Int64N(2)*123_456_700).UTC()
	return &api.PredictResponse{Model: "m\"\\\n<ü>\u2028", Version: rng.IntN(9), Forecasts: []api.Forecast{
		{Group: "web", IssuedAt: at, StepSeconds: 300, Model: "shared", Version: 3, Point: some(2), Quantiles: []float64{.1, .5}, Values: [][]float64{some(1), some(1)}, Peaks: [][]float64{some(1)}},
		{Group: "a\tb", Error: &api.Problem{Title: "no", Status: 404, Field: "windows[1].group"}},
		{Group: "point only", IssuedAt: at, Point: some(3)},
	}}
}

func TestAResponseReadsAsEncodingJSONWouldHaveWrittenIt(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		r := aResponse(rng)
		text, err := appendResponse(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		standard, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var got, want api.PredictResponse
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if err := json.Unmarshal(standard, &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("wrote %s\nwant %s", text, standard)
		}
		var gotFields, wantFields any // which fields there are
		if err := json.Unmarshal(text, &gotFields); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(standard, &wantFields); err != nil || !reflect.DeepEqual(gotFields, wantFields) {
			t.Fatalf("wrote %s\nwant %s", text, standard)
		}
	}
}

func TestANumberThatJSONCannotHoldIsAnErrorOfItsForecast(t *testing.T) {
	r := aResponse(rand.New(rand.NewPCG(1, 2)))
	r.Forecasts[2].Point[1] = math.Inf(-1)
	if _, err := appendResponse(nil, r); err == nil || !strings.Contains(err.Error(), "forecast 2: -Inf") {
		t.Errorf("got %v", err)
	}
}

func TestWritingAResponseAllocatesNothing(t *testing.T) {
	r := aResponse(rand.New(rand.NewPCG(1, 2)))
	r.Model, r.Forecasts = "m", append(r.Forecasts[:1], r.Forecasts[2])
	var b []byte
	if n := testing.AllocsPerRun(100, func() { b, _ = appendResponse(b[:0], r) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
