package trainer

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/forescale/forescale/models"
)

// constants is a member that answers the same to every window.
type constants struct {
	label  string
	values []float32 // [Horizon]
}

func (c *constants) name() string { return c.label }

func (c *constants) predict(w *windows) []float32 {
	var out []float32
	for range w.len() {
		out = append(out, c.values...)
	}
	return out
}

func (c *constants) export(*exporter) string { panic("not exported") }

// trial is n windows of truth 0 and the forecasts of members whose mean absolute
// errors at each step are given as [member][horizon].
func trial(n int, errors [][]float64, seed uint64) (w *windows, unseen [][]float32) {
	H := len(errors[0])
	rng := rand.New(rand.NewPCG(seed, 1))
	s := &samples{target: make([]float32, n*H), origins: iota(n)}
	for _, e := range errors {
		f := make([]float32, n*H)
		for i := range f {
			f[i] = float32(e[i%H])
			if rng.IntN(2) == 0 {
				f[i] = -f[i]
			}
		}
		unseen = append(unseen, f)
	}
	return newWindows(models.Spec{Horizon: H}, s, 1), unseen
}

// weights returns what weigh gives members with these errors.
func weights(t *testing.T, errors [][]float64) [][]float32 {
	t.Helper()
	w, unseen := trial(40, errors, 1)
	return checkedWeights(t, amongMembers.weigh("all", w, make([]member, len(errors)), unseen, 0, w.len()))
}

// checkedWeights returns the weights, which must be none below 0, and 1 in sum.
func checkedWeights(t *testing.T, c *combination) [][]float32 {
	t.Helper()
	for k := range c.weights[0] {
		sum := float32(0)
		for m := range c.weights {
			v := c.weights[m][k]
			if !(v >= 0 && v <= 1) {
				t.Fatalf("member %d weighs %v at step %d", m, v, k)
			}
			sum += v
		}
		if math.Abs(float64(sum)-1) > 1e-6 {
			t.Fatalf("the weights of step %d add up to %v", k, sum)
		}
	}
	return c.weights
}

func TestMembersWeighByTheirErrors(t *testing.T) {
	for name, c := range map[string]struct {
		errors [][]float64
		want   []float64 // weights of the first step; NaN: above 0, below 1
	}{
		"one member has all":                              {[][]float64{{3, 5}}, []float64{1}},
		"equal members share equally":                     {[][]float64{{2, 2}, {2, 2}, {2, 2}, {2, 2}}, []float64{0.25, 0.25, 0.25, 0.25}},
		"one beyond the gate has none":                    {[][]float64{{1, 1}, {1.001 * amongMembers.gate, 1.001 * amongMembers.gate}}, []float64{1, 0}},
		"one at the gate has its share":                   {[][]float64{{1, 1}, {0.999 * amongMembers.gate, 0.999 * amongMembers.gate}}, []float64{math.NaN(), math.NaN()}},
		"the sharpness says how much less":                {[][]float64{{1, 1}, {1.05, 1.05}}, []float64{1 / (1 + math.Pow(1.05, -amongMembers.sharpness)), 1 / (1 + math.Pow(1.05, amongMembers.sharpness))}},
		"a perfect member has all":                        {[][]float64{{0, 0}, {1, 1}}, []float64{1, 0}},
		"perfect members share":                           {[][]float64{{0, 0}, {1, 1}, {0, 0}}, []float64{0.5, 0, 0.5}},
		"neighbouring steps have a say":                   {[][]float64{{1, 4}, {2, 2}}, []float64{0.5, 0.5}},
		"of three steps the first hears no more of third": {[][]float64{{1, 1, 9}, {2, 2, 1}}, []float64{1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			got := weights(t, c.errors)
			for m, want := range c.want {
				v := float64(got[m][0])
				if math.IsNaN(want) && !(v > 0.2 && v < 0.8) || math.Abs(v-want) > 1e-4 {
					t.Errorf("member %d weighs %v, want %v", m, v, want)
				}
			}
		})
	}
}

func TestTheUnitOfTheTargetDoesNotMatterToWeights(t *testing.T) {
	for _, unit := range []float64{1e-20, 1e-6, 1, 1e6, 1e20} {
		got := weights(t, [][]float64{{unit, 1.1 * unit}, {1.05 * unit, unit}})
		want := weights(t, [][]float64{{1, 1.1}, {1.05, 1}})
		for m := range want {
			for k := range want[m] {
				if math.Abs(float64(got[m][k]-want[m][k])) > 1e-4 {
					t.Errorf("unit %g: member %d weighs %v at step %d, want %v", unit, m, got[m][k], k, want[m][k])
				}
			}
		}
	}
}

func TestWindowsThatAMemberKnewJudgeNone(t *testing.T) {
	w, unseen := trial(40, [][]float64{{1}, {1}}, 2)
	for i := range 20 {
		unseen[0][i] = nan32 // the first saw these
		unseen[1][i] = 1e6   // and the second failed there
		w.target[39-i/2] = nan32
		unseen[0][39-i/2] = 1e6
	}
	for m, got := range checkedWeights(t, amongMembers.weigh("all", w, make([]member, 2), unseen, 0, w.len())) {
		if math.Abs(float64(got[0])-0.5) > 1e-6 {
			t.Errorf("member %d weighs %v", m, got)
		}
	}
}

func TestWithoutAnyJudgeMembersShareEqually(t *testing.T) {
	w, unseen := trial(40, [][]float64{{1, 1}, {2, 2}}, 3)
	for i := 0; i < len(w.target); i += 2 {
		w.target[i] = nan32 // no first step is known: every other slot is missing
	}
	got := checkedWeights(t, amongMembers.weigh("all", w, make([]member, 2), unseen, 0, w.len()))
	if got[0][1] != 1 {
		t.Errorf("at the step that is known, weights are %v", got)
	}
}

func TestACombinationIsTheWeightedMeanOfItsMembers(t *testing.T) {
	w, _ := trial(3, [][]float64{{1, 1}}, 4)
	c := &combination{label: "both", weights: [][]float32{{0.25, 1}, {0.75, 0}},
		members: []member{&constants{"a", []float32{1, 2}}, &constants{"b", []float32{9, 20}}}}
	want := []float32{7, 2, 7, 2, 7, 2}
	if got := w.of(c); !slices.Equal(got, want) {
		t.Errorf("forecasts %v, want %v", got, want)
	}
	// What is NaN and weighs nothing is not heard.
	if got := c.blend(w, [][]float32{{1, 2}, {9, nan32}}); !slices.Equal(got, want[:2]) {
		t.Errorf("blend %v, want %v", got, want[:2])
	}
}
