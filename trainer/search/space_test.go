package search

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/conf"
)

const document = `
space:
  hidden: [32, 64]
  loss: [absolute, huber]
  attention: [true, false]
  layers: {int: [1, 3]}
  head.width: {log_int: [8, 256]}
  rate: {log: [1e-4, 1e-2]}
  dropout: {uniform: [0, 0.3]}
trials: 81
brackets: 2
eta: 3
min_budget: 2
max_budget: 54
time_budget: 30m
seed: 7
workers: 2
`

func fullSpace() Space {
	return Space{
		"hidden": Choice(32, 64), "loss": Choice("absolute", "huber"), "attention": Choice(true, false),
		"layers": Int(1, 3), "head.width": LogInt(8, 256), "rate": Log(1e-4, 1e-2), "dropout": Uniform(0, 0.3),
	}
}

func TestFromYAMLReadsEveryForm(t *testing.T) {
	c, err := FromYAML([]byte(document))
	if err := errors.Join(err, c.Validate()); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c.Space, fullSpace()) {
		t.Errorf("space %v", c.Space)
	}
	if c.Trials != 81 || c.Brackets != 2 || c.MinBudget != 2 || c.MaxBudget != 54 || c.TimeBudget.Minutes() != 30 || c.Seed != 7 || c.Workers != 2 {
		t.Errorf("got %+v", c)
	}
	short, err := FromYAML([]byte("space: {rate: {log: [1e-4, 1e-2]}}"))
	if d := DefaultConfig(); err != nil || short.Validate() != nil || short.Trials != d.Trials || short.Eta != d.Eta || short.MaxBudget != d.MaxBudget || short.Workers != 1 {
		t.Errorf("the defaults do not hold: %+v, %v", short, err)
	}
}

func TestFromYAMLAndValidateNameEveryFaultAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"unknown keys and wrong forms, with their lines", "space:\n  a: {lgo: [1, 2]}\n  b: 3\n  c: {log: [1]}\n  d: {log: [1, 2], int: [1, 2]}\n  e: {int: [x, y]}\ntrails: 4\neta: many\n",
			[]string{`line 2: unknown key "lgo"; a range is int, log, log_int or uniform`, "line 3: a parameter is a list", "line 4: log: two numbers in brackets",
				"line 5: a range has one key, not 2", "line 6: int: two numbers", `line 7: unknown key "trails"`, `line 8: "many" is not a whole number`}},
		{"values out of range", "space: {rate: {log: [0, 1]}, Rate: [1], a: [], b: [1, 1.0], c: [[[1]]], d: [null], e: {int: [1.5, 3]}, f: {int: [3, 3]}, g: {uniform: [1, 1.001]}, h: {log: [1, .inf]}, x: [1], x.y: [2], i: {int: [0, 1e300]}, j: [.nan]}\ntrials: 0\neta: 1\nmin_budget: 9\nmax_budget: 3\nbrackets: 0\nworkers: 0\ntime_budget: -1s\n",
			[]string{"rate: a logarithmic range must lie above 0", `"Rate" is no name`, "a: the list of choices is empty", "b: the choice 1 is there twice", "c: the choice [[1]] is neither",
				"d: the choice <nil>", "e: the bounds must be whole", "f: the least, 3, must be below the greatest, 3", "g: 1 to 1.001 is too narrow", "h: the bounds must be finite", "x.y lies inside of x",
				"i: the bounds must not exceed", "j: the choice NaN", "trials: 0 must be 1", "eta: 1 must be 2", "min_budget: 9 is above max_budget, 3", "brackets: 0", "workers: 0", "time_budget: -1s"}},
		{"no space", "trials: 3", []string{"space: there is no parameter"}},
		{"nothing at all", "", []string{"space: there is no parameter"}},
		{"a parameter of nothing", "space: {a: }", []string{"space: a: is neither a list of choices nor a range"}},
		{"a list", "[1]", []string{"where a mapping of keys to values belongs"}},
		{"a key twice", "space:\n  a: [1, 2]\n  a: [3, 4]\n", []string{"line 3"}},
		{"more trials than combinations", "space: {a: [1, 2], b: {int: [1, 4]}}", []string{"trials: the space has only 8 combinations, and 1 brackets draw 27"}},
		{"more brackets than rungs", "space: {a: {log: [1, 9]}}\nbrackets: 5", []string{"brackets: 5; 27 trials and budgets of 1 to 27 by eta 3 make 4 rungs"}},
		{"too many trials over all brackets", "space: {a: {log: [1, 9]}, b: {log: [1, 9]}}\ntrials: 9000\nbrackets: 3\nmax_budget: 1000", []string{"which is more than 10000"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := FromYAML([]byte(tt.text))
			if err == nil {
				err = c.Validate()
			}
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q:\n%v", want, err)
				}
			}
		})
	}
}

// The section stands in the configuration of the trainer, whose decoder is strict.
func TestASectionOfAnotherConfigurationIsAsStrict(t *testing.T) {
	var whole struct {
		Epochs int     `yaml:"epochs"`
		Search *Config `yaml:"search"`
	}
	if err := conf.Decode([]byte("epochs: 3\nsearch: {space: {a: [1, 2]}, trials: 2}"), &whole); err != nil || whole.Search.Trials != 2 || whole.Search.Eta != 3 {
		t.Errorf("got %+v, %v", whole.Search, err)
	}
	err := conf.Decode([]byte("epochs: 3\nsearch:\n  space: {a: {it: [1, 2]}}\n  tirals: 2"), &whole)
	for _, want := range []string{`line 3: unknown key "it"`, `line 4: unknown key "tirals"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error %v does not say %q", err, want)
		}
	}
	if err := conf.Decode([]byte("search: [1]"), &whole); err == nil || !strings.Contains(err.Error(), "where a mapping of keys") {
		t.Errorf("got %v", err)
	}
}

func TestCandidatesFollowFromTheSeedAndTheirNumber(t *testing.T) {
	s := fullSpace()
	all := s.Candidates(1, 200)
	if !reflect.DeepEqual(all, s.Candidates(1, 200)) {
		t.Error("the same seed, other candidates")
	}
	if !reflect.DeepEqual(all[:50], s.Candidates(1, 50)) {
		t.Error("a candidate depends on how many there are")
	}
	if reflect.DeepEqual(all, s.Candidates(2, 200)) {
		t.Error("another seed, the same candidates")
	}
	less := fullSpace()
	delete(less, "loss")
	for i, p := range less.Candidates(1, 200) {
		if p["rate"] != all[i]["rate"] || p["layers"] != all[i]["layers"] {
			t.Fatalf("trial %d: another parameter's being there changes this one", i)
		}
	}
	seen := map[string]bool{}
	for _, p := range all {
		seen[fmt.Sprint(p)] = true
	}
	if len(seen) != len(all) {
		t.Errorf("%d of %d candidates differ", len(seen), len(all))
	}
}

func TestAFiniteSpaceIsDrawnWithoutRepetition(t *testing.T) {
	s := Space{"a": Choice("x", "y", "z"), "b": Int(-1, 2), "c": LogInt(1, 5)}
	seen := map[string]bool{}
	for _, p := range s.Candidates(3, int(s.Size())) {
		seen[fmt.Sprint(p)] = true
	}
	if len(seen) != 60 || s.Size() != 60 {
		t.Errorf("%d combinations drawn, %v counted, want 60", len(seen), s.Size())
	}
}

// Each domain's share below a point, of 20,000 draws with a fixed seed, against
// the probability: the error has a standard deviation of at most 0.0036.
func TestDrawsFollowTheirDistribution(t *testing.T) {
	const n = 20_000
	for _, tt := range []struct {
		name  string
		d     Domain
		below float64
		want  float64
	}{
		{"a choice", Choice(0, 1, 2, 3), 0.5, 0.25},
		{"an integer, its least", Int(3, 7), 3.5, 0.2},
		{"an integer, its greatest", Int(3, 7), 6.5, 0.8},
		{"an integer below 0", Int(-2, 1), -0.5, 0.5},
		{"a number", Uniform(-1, 3), 0, 0.25},
		{"a logarithmic number", Log(1e-4, 1e-1), 1e-3, 1. / 3},
		{"a logarithmic integer", LogInt(1, 127), 15.5, math.Log(15.5/0.5) / math.Log(127.5/0.5)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			less := 0
			for i := range uint64(n) {
				p := Space{"x": tt.d}.sample(9, i, 0)
				v := p.Float("x")
				if tt.d.kind != kindChoice && (v < tt.d.low || v > tt.d.high) {
					t.Fatalf("%v lies outside of %v", v, tt.d)
				}
				if v < tt.below {
					less++
				}
			}
			if got := float64(less) / n; math.Abs(got-tt.want) > 0.015 {
				t.Errorf("%.4f lie below %v, want %.4f", got, tt.below, tt.want)
			}
		})
	}
}

func TestParamsReadBackFromTheFragmentThatTheyWrite(t *testing.T) {
	type section struct {
		Hidden    int     `yaml:"hidden"`
		Loss      string  `yaml:"loss"`
		Attention bool    `yaml:"attention"`
		Layers    int     `yaml:"layers"`
		Rate      float64 `yaml:"rate"`
		Dropout   float64 `yaml:"dropout"`
		Epochs    int     `yaml:"epochs"`
		Head      struct {
			Width int `yaml:"width"`
			Depth int `yaml:"depth"`
		} `yaml:"head"`
	}
	for _, p := range fullSpace().Candidates(4, 100) {
		s := section{Epochs: 5}
		s.Head.Depth = 2
		if err := p.Apply(&s); err != nil {
			t.Fatal(err)
		}
		got := Params{"hidden": s.Hidden, "loss": s.Loss, "attention": s.Attention, "layers": s.Layers, "rate": s.Rate, "dropout": s.Dropout, "head.width": s.Head.Width}
		if !reflect.DeepEqual(got, p) || s.Epochs != 5 || s.Head.Depth != 2 {
			t.Fatalf("%v became %v beside %+v", p, got, s)
		}
	}
	if got, want := (Params{"rate": 1e-5, "head.width": 8, "text": "yes", "head.depth": 2}).YAML(), "head:\n  depth: 2\n  width: 8\nrate: 1e-05\ntext: \"yes\"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	err := Params{"hidn": 3, "layers": "many"}.Apply(&section{})
	for _, want := range []string{`unknown key "hidn"`, "many"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error %v does not say %q", err, want)
		}
	}
}

// FuzzFromYAML looks for a document that makes FromYAML or a search of it panic.
func FuzzFromYAML(f *testing.F) {
	f.Add([]byte(document))
	f.Add([]byte("space: {a: [1, b, true, 2.5], b: {log_int: [1, 3]}}\ntrials: 2"))
	f.Add([]byte("space: {a: &x [1], b: *x, c: {int: *x}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := FromYAML(data)
		if err != nil || c.Validate() != nil {
			return
		}
		c.Trials = min(c.Trials, 20)
		if c.Validate() != nil {
			return // fewer trials, fewer rungs
		}
		for _, p := range c.Candidates() {
			back := map[string]any{}
			if err := p.Apply(&back); err != nil {
				t.Fatal(err)
			}
		}
	})
}
