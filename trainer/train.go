package trainer

import (
	"context"
	"fmt"
	"time"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/feature"
)

// Result is a trained model with all that is known of it.
type Result struct {
	Model       []byte          // model.onnx
	Manifest    models.Manifest // without Name and Version, which the registry's user decides
	Report      score.Report
	Predictions score.Predictions
	// Notes says, for people, what was left out, filled in or mended.
	Notes []string
}

// study is a training: the windows, the parts, and the members as they come.
type study struct {
	config Config
	recipe recipe
	spec   models.Spec
	split  score.Split
	w      *windows
	folds  []fold
	train  span
	valid  span
	whole  span
	sets   map[feature.Mode]*feature.Set

	linears []*linearFits
	// early members saw nothing of the validation part; late ones take their place
	// in the model.
	early, late []member
	unseen      [][]float32
	final       *combination
	timing      []string
}

func newStudy(ctx context.Context, c Config, d Data) (*study, error) {
	r := c.recipe()
	spec, _, err := c.spec(r, d)
	if err != nil {
		return nil, err
	}
	w, split, err := prepare(ctx, spec, d, c.Workers)
	if err != nil {
		return nil, err
	}
	s := &study{config: c, recipe: r, spec: spec, split: split, w: w, sets: map[feature.Mode]*feature.Set{}}
	n70, n80 := split.ValidationStart(), split.TestStart()
	s.train, s.valid, s.whole = span{0, n70}, span{n70, n80}, span{0, n80}
	a, b := n80*11/16, n80*25/32 // .55 and .625 of all
	s.folds = []fold{{span{0, a}, span{a, b}}, {span{0, b}, span{b, n70}}, {span{0, n70}, span{n70, n80}}}
	_, last := w.rows(s.train, spec.Horizon)
	wide, extra := widths(spec)
	for _, mode := range r.modes {
		set := feature.New(spec, mode)
		set.Fit(w.series[:last*wide], w.context[:last*extra], last)
		s.sets[mode] = set
	}
	return s, nil
}

func (s *study) clock(name string, started time.Time) {
	s.timing = append(s.timing, fmt.Sprintf("%s %.1fs", name, time.Since(started).Seconds()))
}

func (s *study) fit(ctx context.Context) error {
	t0 := time.Now()
	var linE, linL []member
	var unseen [][]float32
	for _, mode := range s.recipe.modes {
		f, err := fitLinear(ctx, s.w, s.sets[mode], s.folds, s.whole)
		if err != nil {
			return err
		}
		s.linears = append(s.linears, f)
		linE, linL, unseen = append(linE, f.early), append(linL, f.member), append(unseen, f.unseen)
	}
	lin := weigh("linear", s.w, linE, unseen, 0, s.w.len())
	late := &combination{label: "linear", members: linL, weights: lin.weights}
	s.add(lin, late, lin.blend(unseen))
	s.clock("linear", t0)
	H := s.spec.Horizon
	a, b := s.w.rows(s.train, H)
	c, e := s.w.rows(s.valid, H)
	pers, _ := newNaive(score.Persistence, s.spec, 0)
	s.add(&pers, &pers, nil)
	for label, p := range map[string]int{"seasonal_naive_day": int(24 * time.Hour / s.spec.Step()), "seasonal_naive_week": int(7 * 24 * time.Hour / s.spec.Step())} {
		if n, ok := newNaive(label, s.spec, p); ok {
			s.add(&n, &n, nil)
		}
	}
	for _, nr := range s.recipe.networks {
		t0 := time.Now()
		var base, lateBase member = &pers, &pers
		if nr.residual {
			base, lateBase = lin, late
		}
		mode := s.bestMode()
		rd := newCorrection(s.w, s.sets[mode], base, a, b)
		seeds := []uint64{}
		for i := range nr.seeds {
			seeds = append(seeds, s.config.Seed+uint64(i)*1000)
		}
		net, f, err := fitNetwork(ctx, s.w, nr, rd, [2]int{a, b}, [2]int{c, e}, seeds, s.config.Workers, nil)
		if err != nil {
			return err
		}
		lr := *rd
		lr.base = lateBase
		ln := *net
		ln.reader = &lr
		s.add(net, &ln, nil)
		s.clock(fmt.Sprintf("%s %s epoch %d of %d", nr.name, mode, f.state.Watch.Epoch-1, f.state.Epoch), t0)
	}
	return nil
}

func (s *study) add(early, late member, unseen []float32) {
	if unseen == nil {
		unseen = s.w.of(early)
	}
	s.early, s.late, s.unseen = append(s.early, early), append(s.late, late), append(s.unseen, unseen)
}

// bestMode returns the mode whose linear member had the least error on the folds.
func (s *study) bestMode() feature.Mode {
	best, mode := 1e300, feature.Raw
	for _, f := range s.linears {
		sum := 0.0
		for k := range s.spec.Horizon {
			sum += meanErrors(s.w, [][]float32{f.unseen}, 0, s.w.len(), k)[0] / meanErrors(s.w, [][]float32{s.linears[0].unseen}, 0, s.w.len(), k)[0]
		}
		if sum < best {
			best, mode = sum, f.member.set.Mode()
		}
	}
	return mode
}

func Train(ctx context.Context, c Config, d Data) (*Result, error) { return nil, nil }
