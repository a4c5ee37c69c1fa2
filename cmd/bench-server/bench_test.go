package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const wrkText = `Running 4s test @ http://127.0.0.1:9100/predict
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    18.79ms    4.50ms  47.65ms   82.11%
    Req/Sec     2.10k   287.56     2.65k    57.50%
  Latency Distribution
     50%  642.00us
     75%   20.20ms
     90%   23.90ms
     99%    1.20s
  8369 requests in 4.02s, 1.20MB read
Requests/sec:   2084.36
Transfer/sec:    307.35KB
`

func TestWrksOutputIsRead(t *testing.T) {
	got, err := parseWrk(wrkText)
	if want := (closedLoop{p50: 0.642, p99: 1200, requests: 8369, perSec: 2084.36}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for name, text := range map[string]string{
		"nothing":         "",
		"no latency":      strings.ReplaceAll(wrkText, "50%  ", "51%  "),
		"failed requests": wrkText + "  Non-2xx or 3xx responses: 3\n",
		"lost ones":       wrkText + "  Socket errors: connect 0, read 1, write 0, timeout 0\n",
	} {
		if got, err := parseWrk(text); err == nil {
			t.Errorf("%s: read %+v", name, got)
		}
	}
}

func TestTheTimesOfAProcessAreRead(t *testing.T) {
	stat := "4711 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 17 18"
	if d, err := parseProcessTime(stat); err != nil || d != 3*time.Second {
		t.Errorf("%s, %v", d, err)
	}
	if mb, err := parseResident("Name:\tx\nVmRSS:\t   78125 kB\n"); err != nil || mb != 80 {
		t.Errorf("%v MB, %v", mb, err)
	}
	for _, bad := range []string{"", "1 (x) S 1", "1 (x) S 1 2 3 4 5 6 7 8 9 10 a b 1"} {
		if d, err := parseProcessTime(bad); err == nil {
			t.Errorf("%q: read %s", bad, d)
		}
	}
	if d, err := processTime(os.Getpid()); err != nil || d < 0 {
		t.Errorf("this process: %s, %v", d, err)
	}
	if mb, err := residentMB(os.Getpid()); err != nil || mb <= 0 {
		t.Errorf("this process: %v MB, %v", mb, err)
	}
}

func TestArrivalsHaveTheRateAndTheSpreadOfAPoissonProcess(t *testing.T) {
	due := arrivals(rand.New(rand.NewPCG(1, 2)), 2000, 10*time.Second)
	mean, square := 0.0, 0.0
	for i := 1; i < len(due); i++ {
		gap := (due[i] - due[i-1]).Seconds()
		mean, square = mean+gap/float64(len(due)), square+gap*gap/float64(len(due))
	}
	if n := len(due); math.Abs(float64(n)-20_000) > 600 { // four standard deviations
		t.Errorf("%d arrivals", n)
	}
	if spread := math.Sqrt(square-mean*mean) / mean; math.Abs(spread-1) > 0.05 {
		t.Errorf("the standard deviation of the gaps is %.3f of their mean", spread)
	}
}

func TestTheOpenLoopCountsFromWhenARequestWasDue(t *testing.T) {
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%4 == 0 {
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}))
	defer server.Close()
	body := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(body, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := measureOpen(t.Context(), server.URL, body, 400, 300*time.Millisecond, &out); err != nil {
		t.Fatal(err)
	}
	var got openLoop
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got.Requests != int(n.Load()) || got.Failed != got.Requests/4 || got.P50 <= 0 || got.P99 < got.P50 {
		t.Errorf("got %+v of %d requests", got, n.Load())
	}
	server.Close()
	if err := measureOpen(t.Context(), server.URL, body, 400, 50*time.Millisecond, &out); err == nil {
		t.Error("a server that is away has a latency")
	}
}

func TestTheTargetsAreJudgedByMedians(t *testing.T) {
	var r results
	for _, best := range []float64{100, 300, 110} {
		r.raw = append(r.raw, rawRun{rawSpeed{One: 200, Best: best, Batch: 12}, 0})
	}
	for _, cpu := range []float64{500, 130, 120} {
		r.add(ours, measured{cpu: cpu, p50: 0.28, perSec: 1e6 / cpu, resident: 81})
	}
	r.add(nodeBatching, measured{cpu: 150})
	r.add(fastAPI, measured{cpu: 1200, others: 1})
	r.growth, r.reload = -3, true
	var out strings.Builder
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"best batch 0.85 at least 0.85 missed", // 110/130
		"over the run 20.00 us at most 28 met",
		"of Node over ours 0.00 at least 2.4 unknown",
		"with micro-batching over ours 1.15 at least 1.15 met",
		"with PyTorch over ours 9.23 at least 10 missed",
		"raw run of one row 1.40 at most 1.45 met",
		"one model 81.00 MB at most 80 missed",
		"reload under load 0.00 MB at most 2 met",
		"The machine did other work",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %s", want, text)
		}
	}
}

func TestRequestsAreWhatTheModelsRead(t *testing.T) {
	own, windows, err := ownModel(t.Context(), filepath.Join(t.TempDir(), "own"))
	if err != nil {
		t.Fatal(err)
	}
	var in struct{ Instances [][][]float64 }
	if err := json.Unmarshal([]byte(own), &in); err != nil || len(in.Instances) != 1 || len(in.Instances[0]) != steps || len(in.Instances[0][0]) != inputs {
		t.Errorf("%s: %v", own, err)
	}
	var w struct {
		Windows []struct{ Series map[string][]float64 }
	}
	if err := json.Unmarshal([]byte(windows), &w); err != nil || len(w.Windows) != 1 || len(w.Windows[0].Series) != inputs {
		t.Fatalf("%s: %v", windows, err)
	}
	for name, values := range w.Windows[0].Series {
		if len(values) != steps {
			t.Errorf("%s has %d values", name, len(values))
		}
	}
	if text := script(`{"a":"b"}`); !strings.Contains(text, `[=[{"a":"b"}]=]`) {
		t.Error(text)
	}
}

func TestTheCommandLineIsChecked(t *testing.T) {
	b := bench{measure: "x", rounds: 0, seconds: -1}
	err := b.check()
	for _, want := range []string{"-rounds", "-seconds", "-measure must", "-onnxruntime"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in %v", want, err)
		}
	}
	if err := (&bench{measure: "open", rounds: 1, seconds: 1, url: "u", body: "b", rate: 5}).check(); err != nil {
		t.Error(fmt.Errorf("refused: %w", err))
	}
}
