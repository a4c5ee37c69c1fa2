package trainer

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/onnx"
)

func TestAForecastDependsOnNothingAfterItsOrigin(t *testing.T) {
	for _, preset := range Presets() {
		t.Run(preset, func(t *testing.T) {
			quickRecipe(t, preset)
			g := history(5, 3)
			model := train(t, quick(preset), g).Model
			p, err := onnx.Load(model)
			if err != nil {
				t.Fatal(err)
			}
			var spec models.Spec
			if err := json.Unmarshal([]byte(p.Metadata(models.MetadataKey)), &spec); err != nil {
				t.Fatal(err)
			}
			origin := 5*288 - 100
			forecast := func(g *window.Grid) []float32 {
				s, err := collect(context.Background(), spec, Data{Grid: g, Flags: window.ColumnFlags(history(5, 3))}, origin, origin+1)
				if err != nil {
					t.Fatal(err)
				}
				a, err := p.Answer(s.series, s.context, 1)
				if err != nil {
					t.Fatal(err)
				}
				return append(a.Forecast, a.Quantiles...)
			}
			want := forecast(g)
			for name, column := range g.Columns {
				after, before := clone(g), clone(g)
				for i := range column {
					if i > origin {
						after.Columns[name][i] += 1000
					}
				}
				if got := forecast(after); !slices.Equal(got, want) {
					t.Errorf("%s after the origin changes the forecast from %v to %v", name, want, got)
				}
				before.Columns[name][origin] += 1
				if changed := !slices.Equal(forecast(before), want); changed != slices.Contains(spec.Series, name) {
					t.Errorf("%s at the origin changes the forecast: %v", name, changed)
				}
			}
		})
	}
}

func TestNothingOfTheTestPartInfluencesTheModel(t *testing.T) {
	for _, preset := range Presets() {
		t.Run(preset, func(t *testing.T) {
			quickRecipe(t, preset)
			g := history(5, 4)
			want := train(t, quick(preset), g).Model
			changed := clone(g)
			for _, name := range []string{"demand", "request_count"} {
				for i := score.NewSplit(g.Len()).TestStart(); i < g.Len(); i++ {
					changed.Columns[name][i] = 1e6
				}
			}
			if !bytes.Equal(train(t, quick(preset), changed).Model, want) {
				t.Error("values of the test part change the model")
			}
		})
	}
}

func TestALabelNeverMatters(t *testing.T) {
	quickRecipe(t, PresetFast)
	g := history(5, 5)
	want := train(t, quick(PresetFast), g).Model
	without := clone(g)
	delete(without.Columns, "anomaly_label")
	if !bytes.Equal(train(t, quick(PresetFast), without).Model, want) {
		t.Error("a model with the label's column differs from one without")
	}
	for field, change := range map[string]func(*Config){
		"target": func(c *Config) { c.Target = "anomaly_label" },
		"inputs": func(c *Config) { c.Inputs = []string{"anomaly_label"} },
		"known":  func(c *Config) { c.Known = []string{"anomaly_label"} },
	} {
		c := quick(PresetFast)
		change(&c)
		if _, err := Train(context.Background(), c, Data{Grid: g}); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("a label as %s: error %v", field, err)
		}
	}
}

func TestWindowsThatStraddleTwoPartsBelongToNone(t *testing.T) {
	g := history(5, 13)
	c := quick(PresetFast)
	spec, _, err := c.spec(c.recipe(), Data{Grid: g})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStudy(context.Background(), c, c.recipe(), spec, Data{Grid: g})
	if err != nil {
		t.Fatal(err)
	}
	n70, n80 := s.split.ValidationStart(), s.split.TestStart()
	if last := s.w.origins[s.fitRows[1]-1]; last != n70-1-spec.Horizon {
		t.Errorf("the last training window has origin %d, its targets end before slot %d", last, n70)
	}
	first, last := s.w.origins[s.judgeRows[0]], s.w.origins[s.judgeRows[1]-1]
	if first != n70-1 || last != n80-1-spec.Horizon {
		t.Errorf("validation windows from %d to %d, want %d to %d", first, last, n70-1, n80-1-spec.Horizon)
	}
	for i, origin := range s.w.origins {
		for k := 1; k <= spec.Horizon; k++ {
			if isKnown(s.w.target[i*spec.Horizon+k-1]) && origin+k >= n80 {
				t.Fatalf("the study knows slot %d of the test part", origin+k)
			}
		}
	}
}
