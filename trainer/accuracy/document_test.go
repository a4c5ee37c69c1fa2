package accuracy

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer"
)

var update = flag.Bool("update", false, "rewrite the expected documents")

func share(v float64) *float64 { return &v }

// scored returns scores at 12 horizons with a WAPE that grows from near to far.
func scored(near, far float64, baselines map[string]models.Score) []models.HorizonScore {
	var out []models.HorizonScore
	for k := range 12 {
		w := near + (far-near)*float64(k)/11
		s := models.Score{MAE: 100 * w, RMSE: 130 * w, R2: 1 - w, MAPE: 110 * w, Accuracy: 100 - 110*w, WAPE: w, MASE: 2 * w, Skill: 1 - w/0.2}
		out = append(out, models.HorizonScore{Steps: k + 1, Minutes: 5 * float64(k+1), N: 100 + k, Model: s, Baselines: baselines})
	}
	return out
}

// quantiled adds measures of quantiles to scores.
func quantiled(h []models.HorizonScore, pinball, c80, c90 float64) []models.HorizonScore {
	for i := range h {
		h[i].Model.Pinball, h[i].Model.Coverage80, h[i].Model.Coverage90 = share(pinball), share(c80), share(c90)
	}
	return h
}

// measurement returns a trace with a model whose WAPE is w one step ahead and 2w
// twelve steps ahead.
func measurement(trace, kind, target string, w float64) Measurement {
	naives := map[string]models.Score{score.Persistence: {WAPE: 0.2}, score.SeasonalNaiveDay: {WAPE: 0.25}}
	a := &trainer.Ablation{Report: score.Report{
		Target: target, StepSeconds: 300, Split: score.Split{Train: 700, Validation: 100, Test: 200},
		Horizons: quantiled(scored(w, 2*w, naives), 10*w, 0.79, 0.9), Training: score.Training{Seconds: 100 * w},
	}}
	alone := func(name string, worse, weight float64) trainer.Variant {
		return trainer.Variant{Kind: trainer.KindAlone, Name: name, Horizons: scored(w*worse, 2*w*worse, nil), Weights: []float64{weight, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}
	}
	a.Variants = []trainer.Variant{
		alone("linear", 1.1, 0.25), alone("trees", 1.2, 0.75),
		{Kind: trainer.KindWithout, Name: "linear", Horizons: scored(w*1.01, w*1.9, nil)},
		{Kind: trainer.KindWeights, Name: "no gate", Horizons: scored(w, w*2.2, nil)},
		{Kind: trainer.KindGuard, Name: "neither", Horizons: scored(w, w*2.4, nil)},
		{Kind: trainer.KindMode, Name: "linear_raw", Horizons: scored(w*1.1, w*2.2, nil)},
		{Kind: trainer.KindFeatures, Name: "clock", Against: "linear_raw", Horizons: scored(w*1.1*1.05, w*2.2*0.98, nil)},
		{Kind: trainer.KindSpread, Name: trainer.SpreadConstant, Horizons: quantiled(scored(w, 2*w, nil), 11*w, 0.7, 0.85)},
	}
	return Measurement{Trace: trace, Kind: kind, Preset: "default", Seconds: 123, Ablation: a}
}

// tiny are results that a reader can check by hand.
func tiny() *Results {
	r := &Results{Preset: "default", Seed: 7, Traces: []Measurement{
		measurement("ms_mongo_app01", "service query rate", "request_count", 0.04),
		measurement("google2019_service_113", "service CPU", "cpu_utilization", 0.09),
		measurement("aws_ec2_cpu_5f5533", "", "cpu_utilization", 0.107),
	}}
	r.Baselines = Baselines{
		{"ms_mongo_app01", "request_count", 1}:            {"persistence": 0.06, "xgboost": 0.05, "ridge": 0.055},
		{"ms_mongo_app01", "request_count", 12}:           {"snaive_day": 0.08, "ridge": 0.1},
		{"google2019_service_113", "cpu_utilization", 1}:  {"persistence": 0.09, "xgboost": 0.1},
		{"google2019_service_113", "memory", 1}:           {"persistence": 0.001},
		{"google2019_service_113", "cpu_utilization", 12}: {"ridge": 0.16},
	}
	r.Traces[1].Ablation.Notes = []string{"3 test forecasts are the last known value, because their windows have gaps"}
	r.Traces[1].Ablation.Variants = append(r.Traces[1].Ablation.Variants,
		trainer.Variant{Kind: trainer.KindFeatures, Name: "flags", Against: "linear_raw", Horizons: scored(0.12, 0.3, nil)})
	for _, preset := range []string{"reference", "default"} {
		m := measurement(reference.Name, "", reference.Target, 0.0419)
		m.Preset = preset
		m.Ablation.Report.Training.Seconds = 61.4
		r.Reference = append(r.Reference, m)
	}
	return r
}

func TestTheDocumentOfTinyResults(t *testing.T) {
	dev := tiny()
	dev.Dev, dev.Baselines, dev.Reference = true, nil, nil
	few := tiny()
	few.Traces = few.Traces[2:] // no core trace
	only := tiny()
	only.Traces = nil
	for name, r := range map[string]*Results{"whole": tiny(), "dev": dev, "no_core_trace": few, "reference_only": only} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".md")
			got := r.Markdown()
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the document differs from %s (-update rewrites it):\n%s", path, got)
			}
			if bytes.Contains(got, []byte("%!")) || bytes.Contains(got, []byte("NaN")) {
				t.Error("the document holds what a format left behind")
			}
			if !bytes.Equal(got, r.Markdown()) {
				t.Error("the same results give another document the second time")
			}
		})
	}
}

func TestEveryTableHasAsManyCellsInEachRow(t *testing.T) {
	cells := 0
	for line := range strings.Lines(string(tiny().Markdown())) {
		n := strings.Count(line, "|")
		switch {
		case !strings.HasPrefix(line, "|"):
			cells = 0
		case cells == 0:
			cells = n
		case n != cells:
			t.Errorf("%d cells, the row above has %d: %s", n-1, cells-1, line)
		}
	}
}

func TestTheHeadlineIsWhatAReaderWouldReckon(t *testing.T) {
	r := tiny()
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		// 0.04/0.05 and 0.09/0.09, the least of the trace's own target, not of memory;
		// then 0.08/0.08 and 0.18/0.16.
		{"against the best, 1 step", r.againstBest(1).mean(), math.Sqrt(0.8 * 1.0)},
		{"against the best, 12 steps", r.againstBest(12).mean(), math.Sqrt(1.0 * 0.18 / 0.16)},
		{"worst against persistence, 1 step", r.againstPersistence(1).most, 0.107 / 0.2},
		{"worst against persistence, 12 steps", r.againstPersistence(12).most, 0.214 / 0.2},
		{"linear alone", r.parts(trainer.KindAlone)[0].near.mean(), 1.1},
		{"its share", r.parts(trainer.KindAlone)[0].nearShare, 0.25},
		{"clock against the linear member in that scale", r.parts(trainer.KindFeatures)[0].far.mean(), 0.98},
		{"flags, of one trace", float64(r.parts(trainer.KindFeatures)[1].near.n), 1},
		{"constant spread", r.parts(trainer.KindSpread)[0].nearPinball.mean(), 1.1},
	} {
		if math.Abs(c.got-c.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	if got := r.againstPersistence(12).mostOf; got != "aws_ec2_cpu_5f5533" {
		t.Errorf("worst against persistence is %s", got)
	}
}

func TestCoverageIsPooledByTheNumberOfSlots(t *testing.T) {
	r := tiny()
	for i := range r.Traces[0].Ablation.Report.Horizons {
		h := &r.Traces[0].Ablation.Report.Horizons[i]
		h.N, h.Model.Coverage80 = 3*h.N, share(0.59)
	}
	r.Traces[2].Ablation.Report.Horizons[0].Model.Coverage80 = share(0) // not a core trace
	for _, steps := range []int{0, 1, 12} {
		if got, _ := r.coverage(steps); math.Abs(got-0.64) > 1e-12 {
			t.Errorf("horizon %d: coverage %v, want (3·0.59 + 0.79)/4", steps, got)
		}
	}
}

func TestTheBestBaselineIsThatOfTheTraceTheTargetAndTheHorizon(t *testing.T) {
	r := tiny()
	for _, c := range []struct {
		trace, steps int
		name         string
		wape         float64
	}{
		{0, 1, "xgboost", 0.05},
		{0, 12, "snaive_day", 0.08},
		{1, 1, "persistence", 0.09},
		{0, 3, score.Persistence, 0.2}, // not in the file: measured here
		{2, 1, score.Persistence, 0.2},
	} {
		name, wape, ok := r.best(r.Traces[c.trace], c.steps)
		if !ok || name != c.name || wape != c.wape {
			t.Errorf("%s, %d steps: %s with %v, %v; want %s with %v", r.Traces[c.trace].Trace, c.steps, name, wape, ok, c.name, c.wape)
		}
	}
	if name, _, _ := least(map[string]float64{"b": 1, "a": 1, "c": math.NaN()}); name != "a" {
		t.Errorf("of two equals %q is chosen, want the first by name", name)
	}
	if _, _, ok := least(map[string]float64{"c": math.NaN()}); ok {
		t.Error("an error that is not defined is the least")
	}
}

func TestQuotientsThatAreNotDefinedAreLeftOut(t *testing.T) {
	var r ratios
	if !math.IsNaN(r.mean()) {
		t.Errorf("the mean of nothing is %v", r.mean())
	}
	r.add("a", 2, 1)
	r.add("b", math.NaN(), 1)
	r.add("c", 1, math.NaN())
	r.add("d", 0.5, 1)
	r.add("e", 0, 0) // both perfect: equal
	if r.n != 3 || math.Abs(r.mean()-1) > 1e-15 || r.mostOf != "a" || r.leastOf != "d" {
		t.Errorf("%+v, mean %v; want 3 traces, mean 1, from d to a", r, r.mean())
	}
	r.add("f", 1, 0)
	if !math.IsInf(r.mean(), 1) || r.mostOf != "f" {
		t.Errorf("an error where there was none gives %v of %s, want infinity of f", r.mean(), r.mostOf)
	}
}

func TestNumbersAsTheDocumentShowsThem(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{significant(1234567, 4), "1234567"},
		{significant(1.23456, 4), "1.235"},
		{significant(0.000123456, 4), "0.0001235"},
		{significant(0, 4), "0.000"},
		{significant(-12.3456, 4), "-12.35"},
		{significant(math.NaN(), 4), "–"},
		{fixed(-0.0001, 2), "0.00"},
		{fixed(math.Inf(1), 2), "–"},
		{percent(0.12345, 2), "12.35 %"},
		{percent(math.NaN(), 2), "–"},
		{percentOf(nil), "–"},
		{minutes(5), "5 min"},
		{minutes(60), "1 h"},
		{minutes(90), "90 min"},
		{code("a|b`c\n"), "`a/b'c `"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestAFigureThatIsNotDefinedIsNullInJSON(t *testing.T) {
	r := tiny()
	r.Traces = r.Traces[2:]
	b, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Headline []map[string]any `json:"headline"`
		Traces   []Measurement    `json:"traces"`
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if v, there := got.Headline[1]["wape_over_best_baseline"]; !there || v != nil {
		t.Errorf("without core traces the headline is %v", v)
	}
	if v, _ := got.Headline[1]["wape_over_persistence_worst"].(float64); math.Abs(v-0.107/0.2) > 1e-12 {
		t.Errorf("worst against persistence is %v", v)
	}
	if got.Traces[0].Seconds != 123 || len(got.Traces[0].Ablation.Variants) != 8 {
		t.Errorf("the figures lack what was measured: %+v", got.Traces[0])
	}
}
