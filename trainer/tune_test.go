package trainer

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/trainer/search"
)

// searchOf is a search of one rung over a space, beside the configuration's own
// settings.
func searchOf(space search.Space, trials, epochs int) search.Config {
	sc := search.DefaultConfig()
	sc.Space, sc.Trials, sc.MinBudget, sc.MaxBudget, sc.Seed = space, trials, epochs, epochs, 1
	return sc
}

// searched is a configuration without epochs, which are the budget.
func searched() Config {
	c := quick(PresetFast)
	c.Epochs, c.Quantiles = 0, []float64{}
	return c
}

func find(t *testing.T, c Config, g *window.Grid, sc search.Config) (search.Result, Config) {
	t.Helper()
	res, winner, err := Search(context.Background(), c, Data{Grid: g}, sc, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res, winner
}

func TestASearchPrefersASensibleSettingToAnAbsurdOne(t *testing.T) {
	quickRecipe(t, PresetFast)
	c := searched()
	c.Members, c.Rate = []string{membersNetwork}, 1e-6
	res, winner := find(t, c, history(5, 11), searchOf(search.Space{"rate": search.Choice(1e-7, 3e-3)}, 3, 40))
	if winner.Rate != 3e-3 || winner.Epochs != 40 || winner.Hidden != 0 {
		t.Errorf("the winner is %+v", winner)
	}
	for _, trial := range res.Trials {
		if trial.Params["rate"] != 3e-3 && !(trial.Loss > res.Best.Loss*1.05) {
			t.Errorf("%v has a loss of %v, the best %v", trial.Params, trial.Loss, res.Best.Loss)
		}
	}
	want := "epochs: 40\nrate: 0.003\n"
	if got := res.Best.Params.YAML(); got != want {
		t.Errorf("the fragment is %q, want %q", got, want)
	}
}

// The report of a training on each fold is an independent account of the same
// errors, measured through the exported model.
func TestTheLossIsWhatTheReportOfATrainingOnEachFoldSays(t *testing.T) {
	quickRecipe(t, PresetFast)
	quickRecipe(t, PresetDefault) // whose trees it takes
	g := history(5, 12)
	for i := 900; i < 930; i++ {
		g.Columns["request_count"][i] = math.NaN() // windows with gaps are judged, too
	}
	c := searched()
	c.Members = []string{membersLinear, membersNetwork, membersTrees}
	res, winner := find(t, c, g, searchOf(search.Space{"hidden": search.Choice(4)}, 2, 2))
	want := 0.0
	for _, n := range []int{g.Len() * 8 / 10, g.Len() * 8 / 10 * 8 / 10} {
		own := 0.0
		report := train(t, winner, Data{Grid: g}.until(n).Grid).Report
		for _, h := range report.Horizons {
			own += h.Model.MAE / h.Baselines[score.Persistence].MAE
		}
		want += own / float64(len(report.Horizons)) / 2
	}
	if math.Abs(res.Best.Loss-want) > 1e-4 {
		t.Errorf("the loss is %v, the reports say %v", res.Best.Loss, want)
	}
}

func TestNoTrialSeesTheTestPart(t *testing.T) {
	quickRecipe(t, PresetFast)
	g := history(5, 13)
	n := score.NewSplit(g.Len()).TestStart()
	c := searched()
	sc := searchOf(search.Space{"rate": search.Log(1e-4, 1e-2), "lookback": search.Choice(12, 18)}, 3, 1)
	want, winner := find(t, c, g, sc)
	changed := clone(g)
	for _, column := range changed.Columns {
		for i := n; i < len(column); i++ {
			column[i] += 1000
		}
	}
	changed.Columns["late"] = make(api.Series, g.Len()) // known in the test part only
	for i := range n {
		changed.Columns["late"][i] = math.NaN()
	}
	got, other := find(t, c, changed, sc)
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(winner, other) {
		t.Errorf("values of the test part change the search from\n%+v\nto\n%+v", want, got)
	}
	before := clone(g)
	before.Columns["demand"][n-1] += 1000
	if got, _ := find(t, c, before, sc); got.Best.Loss == want.Best.Loss {
		t.Error("the last slot before the test part does not matter")
	}
	before = clone(g)
	before.Columns["demand"][n*8/10-1] += 1000
	if got, _ := find(t, c, before, sc); got.Best.Loss == want.Best.Loss {
		t.Error("the last slot of the older fold does not matter")
	}
}

func TestASearchThatWasStoppedGoesOnFromItsJournal(t *testing.T) {
	quickRecipe(t, PresetFast)
	g, c := history(5, 14), searched()
	sc := searchOf(search.Space{"rate": search.Log(1e-4, 1e-2), "layers": search.Choice(1, 2)}, 4, 2)
	sc.MinBudget, sc.Eta, sc.DataHash = 1, 2, "x"
	want, winner := find(t, c, g, sc)

	dir := t.TempDir()
	run := func(ctx context.Context, c Config, sc search.Config) (search.Result, Config, error) {
		j, err := search.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		return Search(ctx, c, Data{Grid: g}, sc, j)
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := sc
	stopped.Progress = func(p search.Progress) {
		if p.Done == 3 {
			stop()
		}
	}
	c.Workers = 1
	if res, _, err := run(ctx, c, stopped); !errors.Is(err, context.Canceled) || len(res.Trials) != 3 {
		t.Fatalf("stopped: %d trials, %v", len(res.Trials), err)
	}
	resumed, reused := sc, 0
	resumed.Progress = func(p search.Progress) {
		if p.Reused {
			reused++
		}
	}
	c.Workers = 3
	got, other, err := run(context.Background(), c, resumed)
	if err != nil || reused != 3 {
		t.Fatalf("%d trials reused, %v", reused, err)
	}
	other.Workers = winner.Workers
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(other, winner) {
		t.Errorf("resumed:\n%+v\nuninterrupted:\n%+v", got, want)
	}
	sc.DataHash = "y"
	if _, _, err := run(context.Background(), c, sc); !errors.Is(err, search.ErrOtherSearch) {
		t.Errorf("other data: %v", err)
	}
	sc.DataHash = ""
	if _, _, err := run(context.Background(), c, sc); err == nil || !strings.Contains(err.Error(), "takes a hash") {
		t.Errorf("no hash: %v", err)
	}
}

func TestEveryFaultOfASearchIsNamedBeforeAnyTrialRuns(t *testing.T) {
	c := searched()
	c.Epochs = 5
	bad := searchOf(search.Space{
		"hiden": search.Choice(1, 2), "seed": search.Int(1, 9), "target": search.Choice("a", "b"), "head.width": search.Choice(1), "rate": {},
	}, 2, 3)
	bad.Eta = 1
	values := searchOf(search.Space{
		"hidden": search.Uniform(1.5, 1.9), "dropout": search.Uniform(2, 3), "loss": search.Choice("cubic"), "members": search.Choice([]any{"forest"}),
		"layers": search.Choice("two"), "rate": search.Choice(1e-3),
	}, 3, 5)
	names := values
	names.Space = search.Space{"loss": search.Choice("cubic"), "hiden": search.Log(1, 2), "rate": search.Log(2, 3)}
	for name, tt := range map[string]struct {
		search search.Config
		want   []string
		count  int
	}{
		"of the plan and of names": {bad, []string{"eta: 1 must be", "space: rate: is neither", `"hiden" is no key`, "attention, batch", `"head.width" is no key`,
			"seed cannot be searched: the best of several seeds is luck", "target cannot be searched", "max_budget: 3 epochs contradict the 5"}, 7},
		"of values, each once": {values, []string{"hidden: 1.", "int or log_int", "dropout: 2", "cubic", "forest", "two"}, 5},
		"of names and values":  {names, []string{`"hiden" is no key`, "cubic", "rate: 2"}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			tt.search.Progress = func(search.Progress) { t.Error("a trial ran") }
			_, _, err := Search(context.Background(), c, Data{Grid: history(5, 1)}, tt.search, nil)
			inConfig := c
			inConfig.Search = &tt.search
			for _, err := range []error{err, inConfig.Validate()} {
				for _, want := range tt.want {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("the error does not say %q:\n%v", want, err)
					}
				}
				if n := len(joined(err)); n != tt.count {
					t.Errorf("%d faults, want %d:\n%v", n, tt.count, err)
				}
			}
		})
	}
}

func TestASearchSaysWhatTheDataDoNotAllow(t *testing.T) {
	quickRecipe(t, PresetFast)
	c := searched()
	space := search.Space{"lookback": search.Choice(12, 200)}
	constant := history(5, 1)
	for i := range constant.Columns["demand"] {
		constant.Columns["demand"][i] = 5
	}
	for name, tt := range map[string]struct {
		grid *window.Grid
		want []string
	}{
		"too short for one of the candidates": {Data{Grid: history(2, 1)}.until(520).Grid, []string{"trial 1: on the fold of the first 332 slots", "lookback of 200"}},
		"a target that never changes":         {constant, []string{"demand", "does not change from 2026-03-"}},
		"no data at all":                      {nil, []string{"there is no data"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Search(context.Background(), c, Data{Grid: tt.grid}, searchOf(space, 3, 1), nil)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestATrialsSettingsReachNoOtherTrial(t *testing.T) {
	c := searched()
	half, yes := 0.5, true
	c.Dropout, c.Attention, c.Inputs = &half, &yes, []string{"a", "b"}
	got, err := c.with(search.Params{"dropout": 0.1, "attention": false, "inputs": []any{"c"}})
	if err != nil || *got.Dropout != 0.1 || *got.Attention || !slices.Equal(got.Inputs, []string{"c"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if *c.Dropout != 0.5 || !*c.Attention || !slices.Equal(c.Inputs, []string{"a", "b"}) {
		t.Errorf("the configuration itself became %v, %v, %v", *c.Dropout, *c.Attention, c.Inputs)
	}
}

func TestTheConfigurationStaysUnlessItIsClearlyBeaten(t *testing.T) {
	trial := func(id, rung int, loss float64) search.Trial {
		return search.Trial{ID: id, Rung: rung, Loss: loss, State: search.Done}
	}
	failed := search.Trial{ID: 0, Rung: 1, Loss: math.NaN(), State: search.Failed}
	for name, tt := range map[string]struct {
		best   search.Trial
		others []search.Trial
		want   int
	}{
		"by a little":                     {trial(3, 1, 0.495), []search.Trial{trial(0, 0, 0.8), trial(0, 1, 0.499)}, 0},
		"by enough":                       {trial(3, 1, 0.49), []search.Trial{trial(0, 0, 0.8), trial(0, 1, 0.5)}, 3},
		"when it is the best":             {trial(0, 1, 0.49), []search.Trial{trial(0, 1, 0.49)}, 0},
		"when it failed":                  {trial(3, 1, 0.49), []search.Trial{failed}, 3},
		"when only another rung has both": {trial(3, 1, 0.499), []search.Trial{trial(0, 0, 0.5)}, 3},
	} {
		if got := worthwhile(search.Result{Best: tt.best, Trials: append(tt.others, tt.best)}); got.ID != tt.want || got.Rung != 1 {
			t.Errorf("%s: trial %d wins, want %d", name, got.ID, tt.want)
		}
	}
}

func TestTheDefaultSearch(t *testing.T) {
	for _, preset := range Presets() {
		c := DefaultConfig()
		c.Preset = preset
		sc := DefaultSearch(c)
		c.Search = &sc
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", preset, err)
		}
		if sc.MaxBudget != presets[preset].networks[0].schedule.epochs {
			t.Errorf("%s: the last rung trains %d epochs", preset, sc.MaxBudget)
		}
	}
	c := DefaultConfig()
	c.Lookback, c.Epochs = 6, 4
	if sc := DefaultSearch(c); sc.Space["lookback"].String() == DefaultSearch(DefaultConfig()).Space["lookback"].String() || sc.MaxBudget != 4 {
		t.Errorf("what the configuration says is searched all the same: %v", sc)
	}
	raw, err := os.ReadFile(filepath.Join("..", "deploy", "search.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	example, err := search.FromYAML(raw)
	c = DefaultConfig()
	c.Search = &example
	if err != nil || c.Validate() != nil || !reflect.DeepEqual(example.Space, DefaultSearch(DefaultConfig()).Space) {
		t.Errorf("deploy/search.yaml does not have the default space: %+v, %v, %v", example, err, c.Validate())
	}
}
