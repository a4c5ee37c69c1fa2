package trainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/onnx"
)

// herd returns groups of very different sizes, each of so many days.
func herd(groups, days int) []Data {
	var all []Data
	for i := range groups {
		g := history(days, uint64(i+1))
		g.Group = fmt.Sprintf("group-%02d", i)
		resize(g, "demand", math.Pow(10, float64(i%5-2)))
		all = append(all, Data{Grid: g})
	}
	return all
}

// resize multiplies a column of a group.
func resize(g *window.Grid, name string, by float64) {
	for i := range g.Columns[name] {
		g.Columns[name][i] *= by
	}
}

func trainShared(t *testing.T, c Config, groups []Data) *SharedResult {
	t.Helper()
	r, err := TrainShared(context.Background(), c, groups)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// answer returns what a model says of the window of a grid that ends with slot
// origin: points, then quantiles.
func answer(t *testing.T, r *SharedResult, g *window.Grid, origin int) []float32 {
	t.Helper()
	p, err := onnx.Load(r.Model)
	if err != nil {
		t.Fatal(err)
	}
	s, err := collect(context.Background(), r.Manifest.Spec, Data{Grid: g}, origin, origin+1)
	if err != nil || s.len() != 1 {
		t.Fatalf("%d windows, %v", s.len(), err)
	}
	a, err := p.Answer(s.series, s.context, 1)
	if err != nil {
		t.Fatal(err)
	}
	return append(a.Forecast, a.Quantiles...)
}

func TestASharedModelDependsNeitherOnWorkersNorOnTheOrderOfGroups(t *testing.T) {
	quickRecipe(t, PresetFast)
	c := quick(PresetFast)
	c.Workers, c.SharedWindows = 1, 2000
	want := trainShared(t, c, herd(4, 4))
	c.Workers = 3
	groups := herd(4, 4)
	slices.Reverse(groups)
	got := trainShared(t, c, groups)
	if !bytes.Equal(got.Model, want.Model) {
		t.Error("another model.onnx")
	}
	if !reflect.DeepEqual(got.Manifest.Calibration, want.Manifest.Calibration) || len(want.Manifest.Calibration) != 4 {
		t.Errorf("calibration %v, want %v", got.Manifest.Calibration, want.Manifest.Calibration)
	}
	if fmt.Sprint(got.Report.Groups[2].Horizons[0].Model.MAE) != fmt.Sprint(want.Report.Groups[2].Horizons[0].Model.MAE) {
		t.Error("other scores")
	}
	if n := want.Report.Windows; n < 1900 || n > 2050 {
		t.Errorf("%d windows, want about 2000", n)
	}
}

func TestNothingOfAnyTestPartInfluencesASharedModel(t *testing.T) {
	quickRecipe(t, PresetFast)
	c := quick(PresetFast)
	c.SharedWindows = 3000
	// One group has a longer past, one begins between the slots of the others, and
	// one ends before them: the cut is a time, not a share of each history.
	staggered := func() []Data {
		all := herd(4, 5)
		all[0].Grid = history(8, 1)
		all[0].Grid.Group, all[0].Grid.Start = "group-00", all[1].Grid.Start.AddDate(0, 0, -3)
		all[2].Grid.Start = all[2].Grid.Start.Add(2 * time.Minute)
		for name, column := range all[3].Grid.Columns {
			all[3].Grid.Columns[name] = column[:1200]
		}
		return all
	}
	want := trainShared(t, c, staggered())
	changed := staggered()
	touched := 0
	for _, d := range changed {
		for i := range d.Grid.Columns["demand"] {
			if !d.Grid.Time(i).Before(want.Manifest.TrainedUntil) {
				d.Grid.Columns["demand"][i] = 1e6
				touched++
			}
		}
	}
	if touched < 500 {
		t.Fatalf("only %d slots lie after %s", touched, want.Manifest.TrainedUntil)
	}
	got := trainShared(t, c, changed)
	if !bytes.Equal(got.Model, want.Model) {
		t.Error("values of the test part change the model")
	}
	if !reflect.DeepEqual(got.Manifest.Calibration, want.Manifest.Calibration) {
		t.Error("values of the test part change the calibration")
	}
}

func TestASharedForecastDependsOnNothingAfterItsOrigin(t *testing.T) {
	quickRecipe(t, PresetFast)
	groups := herd(3, 4)
	r := trainShared(t, quick(PresetFast), groups)
	g, origin := groups[1].Grid, 1000
	want := answer(t, r, g, origin)
	after, before := clone(g), clone(g)
	for i := origin + 1; i < g.Len(); i++ {
		after.Columns["demand"][i] += 1000
	}
	before.Columns["demand"][origin] *= 1.1
	if !slices.Equal(answer(t, r, after, origin), want) {
		t.Error("the future changes the forecast")
	}
	if slices.Equal(answer(t, r, before, origin), want) {
		t.Error("the newest value does not change the forecast")
	}
	if slices.Contains(r.Manifest.Spec.Series, "request_count") {
		t.Errorf("reads %v, want the target and the flags alone", r.Manifest.Spec.Series)
	}
}

func TestAGroupAThousandTimesAsLargeIsForecastAThousandTimesAsMuch(t *testing.T) {
	quickRecipe(t, PresetFast)
	c := quick(PresetFast)
	c.Inputs = []string{"request_count"} // each series has a scale of its own
	r := trainShared(t, c, herd(3, 4))
	for _, by := range []float64{1e-6, 1000, 1e9} {
		for _, origin := range []int{700, 811, 1000} {
			g := history(4, 9)
			want := answer(t, r, g, origin)
			resize(g, "demand", by)
			resize(g, "request_count", 1/by)
			for i, v := range answer(t, r, g, origin) {
				if got := float64(v) / by; !(math.Abs(got-float64(want[i])) <= 1e-5*math.Abs(float64(want[i]))) {
					t.Errorf("origin %d, times %g: value %d is %v, want %v", origin, by, i, got, want[i])
				}
			}
		}
	}
}

func TestAGroupThatWasNeverSeenIsServed(t *testing.T) {
	c := quick(PresetFast)
	c.Epochs = 4
	groups := herd(6, 6)
	stranger := groups[5].Grid
	late := clone(groups[4].Grid) // all of it after the training part
	late = &window.Grid{Group: "late", Start: late.Time(1500), Step: late.Step, Columns: late.Columns}
	for name, column := range late.Columns {
		late.Columns[name] = column[1500:]
	}
	r := trainShared(t, c, append(groups[:5], Data{Grid: late}))
	if !slices.Equal(r.Manifest.Groups, []string{models.AnyGroup}) {
		t.Errorf("serves %v", r.Manifest.Groups)
	}
	for _, g := range r.Report.Groups {
		if (g.Group == "late") != (g.Windows == 0) || g.Horizons[0].N == 0 || !(g.Horizons[2].Model.Skill > 0.05) {
			t.Errorf("%s: %d windows, %d slots, skill %v", g.Group, g.Windows, g.Horizons[0].N, g.Horizons[2].Model.Skill)
		}
	}
	var ours, persistence float64
	column := stranger.Columns["demand"]
	for origin := 1500; origin < 1700; origin++ {
		forecast := answer(t, r, stranger, origin)
		ours += math.Abs(float64(forecast[2]) - column[origin+3])
		persistence += math.Abs(column[origin] - column[origin+3])
	}
	if !(ours < 0.8*persistence) {
		t.Errorf("error %v, persistence has %v", ours, persistence)
	}
}

func TestASharedModelBearsGapsAndGroupsWithoutLoad(t *testing.T) {
	quickRecipe(t, PresetFast)
	groups := herd(5, 4)
	for i := 900; i < 950; i++ {
		groups[1].Grid.Columns["demand"][i] = math.NaN()
	}
	n := groups[0].Grid.Len()
	for i := n - 20; i < n-10; i++ {
		groups[0].Grid.Columns["demand"][i] = math.NaN()
	}
	resize(groups[2].Grid, "demand", 0) // idle at all times
	for i := range 300 {                // idle for a day
		groups[3].Grid.Columns["demand"][i+300] = 0
	}
	delete(groups[4].Grid.Columns, "demand")
	r := trainShared(t, quick(PresetFast), groups)
	if r.Report.Groups[2].Scale != 0 || r.Report.Groups[2].Windows != 0 || r.Report.Groups[2].Horizons[2].Model.MAE > 1e-20 {
		t.Errorf("the idle group: %+v", r.Report.Groups[2])
	}
	if whole, part := r.Report.Groups[0].Windows, r.Report.Groups[3].Windows; !(0 < part && part < whole) {
		t.Errorf("%d windows of the group that was idle for a day, %d of another", part, whole)
	}
	notes := strings.Join(r.Notes, "\n")
	for _, want := range []string{`left out: group "group-04": the data has no series "demand"`, "windows with gaps were left out", "test forecasts are the last known value"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes do not say %q:\n%s", want, notes)
		}
	}
	zero := answer(t, r, groups[2].Grid, 1000)
	for i, v := range zero {
		if !(math.Abs(float64(v)) < 1e-20) {
			t.Fatalf("value %d of an idle group is %v", i, v)
		}
	}
}

func TestASharedModelAnswersExtremeInputsWithNumbers(t *testing.T) {
	quickRecipe(t, PresetFast)
	c := quick(PresetFast)
	c.Inputs = []string{"request_count"}
	r := trainShared(t, c, herd(3, 4))
	p, err := onnx.Load(r.Model)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	ends := []float32{0, math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, 1e30, 1e-35, -1, 1}
	wide, extra := widths(r.Manifest.Spec)
	for range 200 {
		series, context := make([]float32, wide), make([]float32, extra)
		for i := range series {
			series[i] = ends[rng.IntN(len(ends))]
		}
		for i := range context {
			context[i] = ends[rng.IntN(len(ends))]
		}
		a, err := p.Answer(series, context, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range append(a.Forecast, a.Quantiles...) {
			if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
				t.Fatalf("answers %v to %v", v, series)
			}
		}
	}
}

func TestASharedModelIsComparedWithTheModelThatAGroupWouldHave(t *testing.T) {
	quickRecipe(t, PresetFast)
	c := quick(PresetFast)
	c.Compare = 2
	groups := herd(4, 4)
	r := trainShared(t, c, groups)
	if r.Report.Comparison == nil || !slices.Equal(r.Report.Comparison.Groups, []string{"group-01", "group-03"}) {
		t.Fatalf("compared %+v", r.Report.Comparison)
	}
	own := train(t, quick(PresetFast), groups[1].Grid).Report.Horizons
	for k, h := range r.Report.Groups[1].Own {
		if h.Model.MAE != own[k].Model.MAE || h.N != r.Report.Groups[1].Horizons[k].N {
			t.Errorf("%d ahead: MAE %v of %d slots, trained alone %v of %d", k+1, h.Model.MAE, h.N, own[k].Model.MAE, own[k].N)
		}
	}
	if r.Report.Groups[0].Own != nil || r.Report.Comparison.Own[0].N != 2*own[0].N {
		t.Errorf("%d slots were compared, want %d", r.Report.Comparison.Own[0].N, 2*own[0].N)
	}
}

func TestGroupsThatCannotShareAModelAreNamed(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(c *Config, groups []Data) []Data
		want  string
	}{
		{"another step", func(_ *Config, g []Data) []Data { g[1].Grid.Step = time.Minute; return g },
			`group "group-01" has slots of 1m0s, group "group-00" of 5m0s`},
		{"the same group twice", func(_ *Config, g []Data) []Data { g[1].Grid.Group = "group-00"; return g }, `group "group-00" is there twice`},
		{"no group", func(_ *Config, _ []Data) []Data { return nil }, "no group is left"},
		{"an unknown target", func(c *Config, g []Data) []Data { c.Target = "cpu"; return g }, `has no series "cpu"; it has demand, request_count`},
		{"an unknown input", func(c *Config, g []Data) []Data { c.Inputs = []string{"cpu"}; return g }, `has no series "cpu"`},
		{"a flag that nobody has", func(c *Config, g []Data) []Data { c.Known = []string{"is_moon_full"}; return g }, "is_moon_full"},
		{"a preset that reads ranges", func(c *Config, g []Data) []Data { c.Preset = PresetReference; return g }, "reads values by their range"},
		{"too short", func(_ *Config, g []Data) []Data {
			for _, d := range g {
				d.Grid.Columns = map[string]api.Series{"demand": d.Grid.Columns["demand"][:40]}
			}
			return g
		}, "at least 64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := quick(PresetFast)
			groups := tt.spoil(&c, herd(2, 3))
			if _, err := TrainShared(context.Background(), c, groups); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestASharedTrainingEndsWithItsContext(t *testing.T) {
	quickRecipe(t, PresetFast)
	for _, at := range []string{"windows", "linear", "network", "calibration", "scores", "own models"} {
		ctx, cancel := context.WithCancel(context.Background())
		c := quick(PresetFast)
		c.Compare, c.Workers = 2, 1
		c.Progress = func(p Progress) {
			if p.Stage == at {
				cancel()
			}
		}
		if _, err := TrainShared(ctx, c, herd(3, 3)); !errors.Is(err, context.Canceled) {
			t.Errorf("stopped at %s: error %v", at, err)
		}
	}
}

func TestTheCommonCutIsThatOfEachGroupWhereAllCoverTheSameTime(t *testing.T) {
	c := quick(PresetFast)
	sharers, _, err := c.sharers(herd(3, 4))
	if err != nil {
		t.Fatal(err)
	}
	l := newTimeline("demand", sharers)
	if want := score.NewSplit(4 * 288); l.split != want || sharers[1].split != want {
		t.Errorf("split %+v and %+v, want %+v", l.split, sharers[1].split, want)
	}
	// A year of one group before three weeks of ten others moves the cut by little.
	groups := herd(11, 2)
	long := history(100, 1)
	long.Group, long.Start = "long", groups[0].Grid.Start.AddDate(0, 0, -98)
	if sharers, _, err = c.sharers(append(groups, Data{Grid: long})); err != nil {
		t.Fatal(err)
	}
	l = newTimeline("demand", sharers)
	if begun := 98 * 288; l.split.TestStart() < begun-30*288 {
		t.Errorf("the test part begins with slot %d", l.split.TestStart())
	}
}

// notebook is a checkpoint in memory.
type notebook struct {
	mu    sync.Mutex
	pages map[string][]byte
}

func (n *notebook) Load(stage string) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pages[stage], nil
}

func (n *notebook) Save(stage string, state []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pages[stage] = slices.Clone(state)
	return nil
}

func TestASharedTrainingThatWasStoppedGoesOnToTheSameBytes(t *testing.T) {
	quickRecipe(t, PresetFast)
	c := quick(PresetFast)
	want := trainShared(t, c, herd(3, 3))
	kept := &notebook{pages: map[string][]byte{}}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := c
	stopped.Checkpoint, stopped.Workers = kept, 1
	stopped.Progress = func(p Progress) {
		if p.Network != nil && p.Network.Epoch == 2 {
			cancel()
		}
	}
	if _, err := TrainShared(ctx, stopped, herd(3, 3)); !errors.Is(err, context.Canceled) || len(kept.pages) == 0 {
		t.Fatalf("error %v, %d stages kept", err, len(kept.pages))
	}
	c.Checkpoint = kept
	if got := trainShared(t, c, herd(3, 3)); !bytes.Equal(got.Model, want.Model) {
		t.Error("another model than that of a training that was never stopped")
	}
}
