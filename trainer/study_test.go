package trainer

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/trainer/feature"
	"github.com/forescale/forescale/trainer/onnx"
)

// journal is a checkpoint that remembers every state that was saved.
type journal struct {
	mu     sync.Mutex
	states map[string][]fitState
}

func (j *journal) Load(string) ([]byte, error) { return nil, nil }

func (j *journal) Save(stage string, state []byte) error {
	var st fitState
	if err := gob.NewDecoder(bytes.NewReader(state)).Decode(&st); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.states == nil {
		j.states = map[string][]fitState{}
	}
	j.states[stage] = append(j.states[stage], st)
	return nil
}

// learned is all that the early members of a study learned.
type learned struct {
	linear map[string][]any // coefficients by member
	trees  map[string]onnx.Trees
	epochs map[string][][]float32 // parameters after each epoch, by stage
	units  map[string][]float32
	sets   map[feature.Mode][]float32 // what a set makes of the first training window
	spread any
}

// unchosen narrows a preset to what leaves the early members nothing to choose on
// the validation part: a single λ, a single mode, no early stop.
func unchosen(t *testing.T, mode feature.Mode) {
	t.Helper()
	quickRecipe(t, PresetDefault)
	r := presets[PresetDefault]
	r.modes, r.spread = []feature.Mode{mode}, mode
	for i := range r.trees {
		r.trees[i].config.Patience = 0
	}
	presets[PresetDefault] = r
	before := lambdas
	lambdas = []float64{10}
	t.Cleanup(func() { lambdas = before })
}

func learn(t *testing.T, g *window.Grid) learned {
	t.Helper()
	c := quick(PresetDefault)
	kept := &journal{}
	c.Checkpoint, c.Epochs = kept, 3
	s := studied(t, c, g)
	l := learned{linear: map[string][]any{}, trees: map[string]onnx.Trees{}, epochs: map[string][][]float32{}, units: map[string][]float32{}, sets: map[feature.Mode][]float32{}}
	var add func(m member)
	add = func(m member) {
		switch m := m.(type) {
		case *combination:
			for _, inner := range m.members {
				add(inner)
			}
		case *linearMember:
			for _, model := range m.models {
				l.linear[m.name()] = append(l.linear[m.name()], model)
			}
		case *treesMember:
			l.trees[m.name()], l.units[m.name()] = m.trees, append(slices.Clone(m.of.unit), m.of.importance...)
		}
	}
	for _, m := range s.members {
		add(m.early)
	}
	for stage, states := range kept.states {
		if len(stage) > 5 && stage[len(stage)-5:] == " late" {
			continue
		}
		for _, st := range states {
			l.epochs[stage] = append(l.epochs[stage], st.Params)
		}
	}
	for mode, set := range s.sets {
		series, context := s.w.row(0)
		features := make([]float32, set.Len())
		set.Compute(set.NewWorkspace(), series, context, features, nil)
		l.sets[mode] = features
	}
	return l
}

// changed is a history with other values in [from, to), of flags too.
func changed(g *window.Grid, from, to int) *window.Grid {
	c := clone(g)
	for i := from; i < to; i++ {
		c.Columns["demand"][i] = 3 + float64(i%17)
		c.Columns["request_count"][i] = 5e4
		c.Columns["is_sale_active"][i] = float64(i % 2)
	}
	return c
}

func TestNoEarlyMemberLearnsFromTheValidationPart(t *testing.T) {
	for _, mode := range []feature.Mode{feature.Raw, feature.Ratio, feature.Log} {
		t.Run(mode.String(), func(t *testing.T) {
			unchosen(t, mode)
			g := history(6, 60)
			split := score.NewSplit(g.Len())
			want := learn(t, g)
			if len(want.linear) != 1 || len(want.trees) != 2 || len(want.epochs) != 4 {
				t.Fatalf("%d linear members, %d of trees, %d networks", len(want.linear), len(want.trees), len(want.epochs))
			}
			for stage, epochs := range want.epochs {
				if len(epochs) != 3 {
					t.Fatalf("%s has %d epochs", stage, len(epochs))
				}
			}
			got := learn(t, changed(g, split.ValidationStart(), g.Len()))
			for what, same := range map[string]bool{
				"coefficients":         reflect.DeepEqual(got.linear, want.linear),
				"trees":                reflect.DeepEqual(got.trees, want.trees),
				"networks":             reflect.DeepEqual(got.epochs, want.epochs),
				"units of corrections": reflect.DeepEqual(got.units, want.units),
				"scales of features":   reflect.DeepEqual(got.sets, want.sets),
			} {
				if !same {
					t.Errorf("%s: the validation part has a say", what)
				}
			}
			got = learn(t, changed(g, split.ValidationStart()-1, g.Len()))
			if reflect.DeepEqual(got.linear, want.linear) || reflect.DeepEqual(got.trees, want.trees) || reflect.DeepEqual(got.epochs, want.epochs) {
				t.Error("the last slot of the training part has none")
			}
		})
	}
}

func TestTheValidationPartHasASayInWhatIsChosenAndInWhatIsLate(t *testing.T) {
	g := history(6, 61)
	split := score.NewSplit(g.Len())
	unchosen(t, feature.Raw)
	a := studied(t, quick(PresetDefault), g)
	b := studied(t, quick(PresetDefault), changed(g, split.ValidationStart(), split.TestStart()))
	if reflect.DeepEqual(a.final.weights, b.final.weights) {
		t.Error("weights do not depend on it")
	}
	if fmt.Sprint(a.spread.offsets) == fmt.Sprint(b.spread.offsets) {
		t.Error("offsets of quantiles do not depend on it")
	}
	for m := range a.members {
		if l, ok := a.members[m].late.(*combination); ok && reflect.DeepEqual(l.members[0].(*linearMember).models, b.members[m].late.(*combination).members[0].(*linearMember).models) {
			t.Error("late linear members do not learn from it")
		}
		if l, ok := a.members[m].late.(*treesMember); ok && reflect.DeepEqual(l.trees, b.members[m].late.(*treesMember).trees) {
			t.Error("late trees do not learn from it")
		}
	}
}

func TestNothingOfTheTestPartMatters(t *testing.T) {
	for _, preset := range Presets() {
		quickRecipe(t, preset)
		g := history(5, 62)
		want := train(t, quick(preset), g).Model
		other := changed(g, score.NewSplit(g.Len()).TestStart(), g.Len())
		if !bytes.Equal(train(t, quick(preset), other).Model, want) {
			t.Errorf("%s: values or flags of the test part change the model", preset)
		}
	}
}

func TestFoldsJudgeWhatComesAfterWhatTheyFit(t *testing.T) {
	for days, want := range map[int]int{2: 3, 6: 3, 40: 3} {
		s := unfitted(t, quick(PresetFast), history(days, 63))
		if len(s.folds) != want {
			t.Errorf("%d days: %d folds, want %d", days, len(s.folds), want)
		}
		last := s.folds[len(s.folds)-1]
		if last.fit != s.train || last.judge != s.valid || s.valid.to != s.split.TestStart() {
			t.Errorf("%d days: the last fold is %+v", days, last)
		}
		end := 0
		for i, f := range s.folds {
			if f.fit.from != 0 || f.fit.to != f.judge.from || f.judge.from >= f.judge.to || f.judge.from < end {
				t.Errorf("%d days: fold %+v after slot %d", days, f, end)
			}
			if first, n := s.w.rows(f.fit, s.spec.Horizon); n-first < minTrain {
				t.Errorf("%d days: a fold of %d windows", days, n-first)
			}
			if i > 0 && f.judge.from != end {
				t.Errorf("%d days: slots %d to %d are judged by no fold", days, end, f.judge.from)
			}
			end = f.judge.to
		}
	}
}

// Every unseen forecast is by a model that was fitted on slots before the one
// forecast, and every window of a fold's judgement has one.
func TestUnseenForecastsComeFromEarlierSlotsOnly(t *testing.T) {
	unchosen(t, feature.Raw)
	fit := func(g *window.Grid) (*study, *linearFits) {
		s := unfitted(t, quick(PresetDefault), g)
		f, err := fitLinear(context.Background(), s.w, s.sets[feature.Raw], s.folds, s.whole)
		if err != nil {
			t.Fatal(err)
		}
		return s, f
	}
	g := history(6, 64)
	s, want := fit(g)
	H := s.spec.Horizon
	for i, origin := range s.w.origins {
		for k := 1; k <= H; k++ {
			judged := false
			for _, f := range s.folds {
				judged = judged || origin+1 >= f.judge.from && origin+k < f.judge.to
			}
			if got := isKnown(want.unseen[i*H+k-1]); got != judged {
				t.Fatalf("slot %d, %d ahead of %d: forecast %v, judged %v", origin+k, k, origin, got, judged)
			}
		}
	}
	for n, f := range s.folds {
		// Features are scaled on the whole training part, so that only what comes
		// after it can be changed without a trace.
		if f.judge.from < s.valid.from {
			continue
		}
		_, got := fit(changed(g, f.judge.from+10, g.Len()))
		for i, origin := range s.w.origins {
			if origin < f.judge.from+10 && !sameOrNaN(got.unseen[i*H], want.unseen[i*H]) {
				t.Fatalf("fold %d: the forecast from slot %d depends on what came later", n, origin)
			}
		}
	}
}

func sameOrNaN(a, b float32) bool { return a == b || a != a && b != b }

func TestSpansHoldTheWindowsWhoseTargetsTheyHold(t *testing.T) {
	s := unfitted(t, quick(PresetFast), history(5, 65))
	for _, sp := range []span{{0, 1}, {0, 500}, {300, 301}, {300, 303}, {300, 302}, {700, 600}, {1000, 1e6}} {
		for k := 1; k <= 3; k++ {
			first, last := s.w.rows(sp, k)
			for i, origin := range s.w.origins {
				if inside := origin+1 >= sp.from && origin+k < sp.to; inside != (i >= first && i < last) {
					t.Fatalf("span %v, %d ahead: window of origin %d is in [%d, %d): %v", sp, k, origin, first, last, !inside)
				}
			}
		}
	}
}

func TestTheModeIsTheOneThatErredLeast(t *testing.T) {
	s := unfitted(t, quick(PresetDefault), history(6, 66))
	if _, err := s.addLinear(context.Background()); err != nil {
		t.Fatal(err)
	}
	c := s.members[0].early.(*combination)
	for best := range c.members {
		for m := range c.weights {
			for k := range c.weights[m] {
				c.weights[m][k] = map[bool]float32{true: 0.6, false: 0.2}[m == best]
			}
		}
		want := c.members[best].(*linearMember).set.Mode()
		if got := s.bestMode(feature.Modes...); got != want {
			t.Errorf("mode %s, want %s", got, want)
		}
		if got := s.bestMode(feature.Raw, feature.Ratio); got == feature.Log {
			t.Error("a mode that was not asked for")
		}
	}
}
