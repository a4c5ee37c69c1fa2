package trainer

import (
	"context"
	"fmt"
	"math"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/feature"
	"github.com/forescale/forescale/trainer/linear"
)

// Ablation says what each part of a model is worth: the model as it is, and
// variants of it, all scored on the same slots of the test part. It chooses
// nothing: weights, regularisation and offsets of every variant come from the
// training and the validation part, as those of the model do.
type Ablation struct {
	Report   score.Report `json:"report"` // of the whole model; Members is empty
	Variants []Variant    `json:"variants"`
	Notes    []string     `json:"notes,omitempty"`
}

// Variant is a model that lacks a part or is put together in another way.
type Variant struct {
	Kind string `json:"kind"` // one of the Kind constants
	Name string `json:"name"`
	// Against is the name of the variant of KindMode that this one is to be compared
	// with; empty: the whole model.
	Against string `json:"against,omitempty"`
	// Weights has, of KindAlone, the member's share in the whole model, by horizon.
	Weights []float64 `json:"weights,omitempty"`
	// Horizons has the scores by horizon, without baselines; with those of quantiles
	// for KindSpread only.
	Horizons []models.HorizonScore `json:"horizons"`
}

// The kinds of variants.
const (
	KindAlone    = "alone"    // one member as it is, and no other
	KindWithout  = "without"  // the combination without one member
	KindWeights  = "weights"  // the same members, weighed in another way
	KindMode     = "mode"     // the linear member in one mode of its features
	KindFeatures = "features" // the same without a group of features
	KindGuard    = "guard"    // the same combination, less well guarded
	KindSpread   = "spread"   // the same points with other quantiles
)

// SpreadConstant names the variant whose quantiles lie at distances that do not
// depend on the window.
const SpreadConstant = "constant spread"

// Ablate trains a model as Train does and scores it beside its variants. Networks
// and trees are fitted once: a combination without a member is weighed again, but
// what corrects the linear members still corrects them in a model that leaves
// them out. Only linear members are fitted again, without a group of features
// each. Errors are those of Train.
func Ablate(ctx context.Context, c Config, d Data) (*Ablation, error) {
	s, whole, err := trained(ctx, c, d)
	if err != nil {
		return nil, err
	}
	a := &Ablation{Report: whole.Report, Notes: whole.Notes}
	a.Report.Members = nil
	x := ablating{study: s, exam: s.asked, Ablation: a}
	x.scoreMembers()
	x.scoreWeights()
	x.scoreGuards()
	x.scoreSpread()
	if err := x.scoreLinear(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// ablating is an ablation on its way.
type ablating struct {
	*study
	exam *exam
	*Ablation
}

// add scores the forecasts [N, horizon] that a variant makes of the exam's
// windows.
func (x *ablating) add(v Variant, forecasts []float32) {
	v.Horizons = x.exam.gradeAlone(x.floored(forecasts))
	x.Variants = append(x.Variants, v)
}

// scoreMembers adds each member alone, and the combination without each.
func (x *ablating) scoreMembers() {
	for m, c := range x.members {
		x.add(Variant{Kind: KindAlone, Name: c.late.name(), Weights: widen(x.final.weights[m])}, x.exam.w.of(c.late))
	}
	if len(x.members) < 2 {
		return
	}
	for m, c := range x.members {
		x.add(Variant{Kind: KindWithout, Name: c.late.name()}, x.guarded(x.recombined(m, amongMembers)))
	}
}

// recombined returns the late members but one, -1 for all of them, weighed by
// their errors on the validation part.
func (x *ablating) recombined(leaveOut int, by selection) *combination {
	var late []member
	var unseen [][]float32
	for m, c := range x.members {
		if m != leaveOut {
			late, unseen = append(late, c.late), append(unseen, c.unseen)
		}
	}
	c := by.weigh(x.final.label, x.w, late, unseen, x.judgeRows[0], x.judgeRows[1])
	c.spread = x.final.spread
	return c
}

// guarded returns the forecasts [N, horizon] of a combination in the exam's
// windows, held as those of the model are.
func (x *ablating) guarded(c *combination) []float32 {
	f := c.predict(x.exam.w)
	if x.guard != nil {
		f = x.guard.hold(x.exam.w, f)
	}
	return f
}

// scoreGuards adds the combination without what holds it when the load does what
// it never did.
func (x *ablating) scoreGuards() {
	free := *x.final
	free.spread = nil
	if x.final.spread != nil {
		x.add(Variant{Kind: KindGuard, Name: "members not held near their median"}, x.guarded(&free))
	}
	if x.guard != nil {
		x.add(Variant{Kind: KindGuard, Name: "no guard against shifts of the level"}, x.exam.w.of(x.final))
		if x.final.spread != nil {
			x.add(Variant{Kind: KindGuard, Name: "neither"}, free.predict(x.exam.w))
		}
	}
}

// onlyBest is a sharpness at which the member with the least error has all the
// weight.
const onlyBest = 1e9

// scoreWeights adds the combination with other weights.
func (x *ablating) scoreWeights() {
	if len(x.members) < 2 {
		return
	}
	all, own := math.Inf(1), amongMembers
	for _, v := range []struct {
		name string
		by   selection
	}{
		{"plain mean of all members", selection{gate: all}},
		{"no gate", selection{gate: all, sharpness: own.sharpness}},
		{"plain mean of those let in", selection{gate: own.gate}},
		{"half as sharp", selection{own.gate, own.sharpness / 2}},
		{"twice as sharp", selection{own.gate, own.sharpness * 2}},
		{"the best member on validation data only", selection{own.gate, onlyBest}},
	} {
		x.add(Variant{Kind: KindWeights, Name: v.name}, x.guarded(x.recombined(-1, v.by)))
	}
}

// scoreSpread adds quantiles without a learned spread.
func (x *ablating) scoreSpread() {
	if x.spread == nil {
		return
	}
	points := x.forecasts(x.exam.w).Forecast
	flat := constantSpread(x.sets[feature.Raw], x.spec.Horizon)
	flat.calibrate(x.w, x.spec.Quantiles, x.unseen, x.judgeRows[0], x.judgeRows[1])
	v := Variant{Kind: KindSpread, Name: SpreadConstant,
		Horizons: x.exam.grade(x.floored(points), x.floored(flat.quantiles(x.exam.w, points)))}
	for i := range v.Horizons {
		v.Horizons[i].Baselines = nil
	}
	x.Variants = append(x.Variants, v)
}

// constantSpread returns an interval, yet to be calibrated, whose spread is 1 in
// physical units whatever the window; set must be of mode Raw.
func constantSpread(set *feature.Set, horizon int) *interval {
	t := &interval{set: set, limits: make([][2]float32, horizon)}
	for k := range horizon {
		t.models = append(t.models, linear.Model{Coef: make([]float64, 2*len(set.Columns(k+1)))})
	}
	return t
}

// scoreLinear adds the linear member of each mode, and that of the best mode without
// each group of features that the data has.
func (x *ablating) scoreLinear(ctx context.Context) error {
	if len(x.recipe.modes) == 0 {
		return nil
	}
	modes := x.members[0].late.(*combination) // as addLinear adds it
	for _, m := range modes.members {
		x.add(Variant{Kind: KindMode, Name: m.name()}, x.exam.w.of(m))
	}
	mode := x.bestMode(x.recipe.modes...)
	against := (&linearMember{set: x.sets[mode]}).name()
	for _, group := range feature.Groups {
		set := feature.New(x.spec, mode, x.recipe.window)
		n, err := set.Without(group)
		if err != nil {
			return err
		}
		if n == 0 || set.Len() == 0 {
			continue
		}
		wide, extra := widths(x.spec)
		set.Fit(x.w.series[:x.fitRows[1]*wide], x.w.context[:x.fitRows[1]*extra], x.fitRows[1])
		f, err := fitLinear(ctx, x.w, set, x.folds, x.whole)
		if err != nil {
			return fmt.Errorf("without %s: %w", group, err)
		}
		x.add(Variant{Kind: KindFeatures, Name: group, Against: against}, f.late.predict(x.exam.w))
	}
	return nil
}
