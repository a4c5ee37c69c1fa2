package trainer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/autodiff"
	"github.com/forescale/forescale/trainer/nn"
	"github.com/forescale/forescale/trainer/optim"
)

// shardRows is the number of windows in a shard. It is fixed, so that the sums
// of a batch do not depend on how many workers share it.
const shardRows = 16

// maxRejected is how many steps in a row may fail to have a finite gradient
// before training gives up.
const maxRejected = 20

// ErrDiverged means that the loss stayed infinite or undefined even as the
// learning rate was lowered.
var ErrDiverged = errors.New("training diverged")

// fit is a network being fitted. It is owned by the goroutine that runs it;
// during a step each shard and each workspace is owned by one worker.
type fit struct {
	config Config
	recipe recipe
	spec   models.Spec
	net    nn.Network
	scale  *scaling
	parts  *parts
	weight []float32 // [horizon], of each step ahead in the loss

	flat   []float32    // parameters
	grads  [][]float32  // of each shard of a batch; the first then takes their sum
	spaces []*workspace // one per worker

	rejected  int     // steps not taken, and epochs taken back
	failing   int     // of them, those since the last good step
	slowed    float64 // factor on the learning rate after them
	epochsRun int
	seen      int // windows learned from, repetitions included
}

// workspace is the memory that a worker computes in. What was in it before has
// no influence on a result.
type workspace struct {
	tape   autodiff.Tape[float32]
	target []float32
	weight []float32
}

// newFit readies a network for the parts. The scaling is fitted here.
func newFit(c Config, r recipe, spec models.Spec, p *parts) (*fit, error) {
	f := &fit{config: c, recipe: r, spec: spec, net: r.network, parts: p, slowed: 1}
	f.scale = fitScaling(spec, r, p.train)
	f.net.Lookback, f.net.Channels, f.net.Horizon = spec.Lookback, spec.Channels(), spec.Horizon
	f.net.Features = len(f.scale.context.center)
	if r.recent {
		f.net.Features += spec.Lookback
	}
	if err := f.net.Validate(); err != nil {
		return nil, err
	}
	f.weight = horizonWeights(r, spec, p.train)
	f.flat = f.net.Init(c.Seed)
	for range (r.batch + shardRows - 1) / shardRows {
		f.grads = append(f.grads, make([]float32, len(f.flat)))
	}
	return f, nil
}

// horizonWeights returns the weight of each step ahead in the loss, 1 on
// average: with the absolute error, each in units of what persistence makes
// there, so that the far and noisy steps do not drown the near ones.
func horizonWeights(r recipe, spec models.Spec, s *samples) []float32 {
	errs := persistenceErrors(s, spec.Lookback, spec.Channels(), spec.Horizon)
	inverse, sum := make([]float64, len(errs)), 0.0
	for k, e := range errs {
		inverse[k] = 1
		if inv := 1 / e; r.absolute && inv <= math.MaxFloat64 { // false for NaN and infinity
			inverse[k] = inv
		}
		sum += inverse[k]
	}
	w := make([]float32, len(errs))
	for k, inv := range inverse {
		w[k] = float32(inv * float64(len(w)) / sum)
	}
	return w
}

// run fits the parameters and leaves those with the best validation loss in
// f.flat.
func (f *fit) run(ctx context.Context) error {
	adam := optim.NewAdam(len(f.flat), f.recipe.decay, f.recipe.clip)
	watch := optim.Watch{Rate: f.recipe.rate, Plateau: f.recipe.plateau, Patience: f.recipe.patience}
	best := slices.Clone(f.flat)
	watch.Observe(f.loss(f.parts.validation)) // no epoch counts that is worse than the start
	validation := math.NaN()
	var started time.Time
	if f.config.Now != nil {
		started = f.config.Now()
	}
	for epoch := range f.recipe.epochs {
		batches := f.batches(epoch)
		for i, batch := range batches {
			if err := ctx.Err(); err != nil {
				return err
			}
			rate := watch.Rate
			if f.recipe.anneal {
				rate *= optim.OneCycle(float64(epoch*len(batches)+i) / float64(f.recipe.epochs*len(batches)))
			}
			loss, err := f.step(adam, batch, epoch*len(batches)+i, rate*f.slowed)
			if err != nil {
				return err
			}
			f.report(Progress{Epoch: epoch + 1, Epochs: f.recipe.epochs, Step: i + 1, Steps: len(batches),
				Loss: loss, Validation: validation, Rate: rate * f.slowed, RejectedUpdates: f.rejected}, started)
		}
		f.epochsRun++
		validation = f.loss(f.parts.validation)
		improved, stop := watch.Observe(validation)
		switch {
		case improved:
			copy(best, f.flat)
		case math.IsNaN(validation) || math.IsInf(validation, 0):
			copy(f.flat, best)
			f.slowed /= 2
			f.rejected++
		}
		if stop {
			break
		}
	}
	if watch.Epoch == 0 {
		return fmt.Errorf("%w: the validation loss was never finite", ErrDiverged)
	}
	copy(f.flat, best)
	return nil
}

// report calls the progress function with an estimate of the time left.
func (f *fit) report(p Progress, started time.Time) {
	if f.config.Progress == nil {
		return
	}
	if f.config.Now != nil {
		done := float64((p.Epoch-1)*p.Steps+p.Step) / float64(p.Epochs*p.Steps)
		p.Left = time.Duration(float64(f.config.Now().Sub(started)) * (1/done - 1))
	}
	f.config.Progress(p)
}

// batches returns the training windows of an epoch in a random order.
func (f *fit) batches(epoch int) [][]int {
	order := rand.New(rand.NewPCG(f.config.Seed, uint64(epoch))).Perm(f.parts.train.len())
	size := f.recipe.batch
	if most := f.recipe.epochSteps * size; most > 0 && most < len(order) {
		order = order[:most]
	}
	return slices.Collect(slices.Chunk(order, size))
}

// step learns from one batch and returns its mean loss. A step whose gradient is
// not finite is not taken and halves the learning rate for all that follow.
func (f *fit) step(adam *optim.Adam, batch []int, number int, rate float64) (loss float64, err error) {
	norm := f.norm(f.parts.train, batch)
	if norm == 0 {
		return 0, nil
	}
	n := (len(batch) + shardRows - 1) / shardRows
	losses := make([]float64, n)
	f.parallel(n, func(i int, w *workspace) {
		clear(f.grads[i])
		w.tape.Reset(autodiff.Mix(f.config.Seed^autodiff.Mix(uint64(number)<<20|uint64(i))), true)
		l := f.forward(w, f.parts.train, batch[i*shardRows:min(len(batch), (i+1)*shardRows)], norm, f.grads[i])
		w.tape.Backward(l)
		losses[i] = float64(l.Value[0])
	})
	total := f.grads[0]
	for i := range n { // in this order, always
		loss += losses[i]
		if i > 0 {
			for j, g := range f.grads[i] {
				total[j] += g
			}
		}
	}
	f.seen += len(batch)
	if _, err := adam.Step(f.flat, total, rate); err == nil {
		f.failing = 0
		return loss, nil
	}
	f.rejected++
	f.failing++
	f.slowed /= 2
	if f.failing >= maxRejected {
		return loss, fmt.Errorf("%w: %d steps in a row without a finite gradient; check the data for absurd values or lower the rate", ErrDiverged, f.failing)
	}
	return loss, nil
}

// norm returns 1 over the number of known targets of a batch, 0 without any.
func (f *fit) norm(s *samples, batch []int) float32 {
	known := 0
	for _, i := range batch {
		for _, y := range s.target[i*f.spec.Horizon:][:f.spec.Horizon] {
			if isKnown(y) {
				known++
			}
		}
	}
	if known == 0 {
		return 0
	}
	return 1 / float32(known)
}

// forward computes the loss of some windows of s on w's tape. grad may be nil.
func (f *fit) forward(w *workspace, s *samples, windows []int, norm float32, grad []float32) *autodiff.Node[float32] {
	y := f.outputs(w, s, windows, grad)
	H := f.spec.Horizon
	w.target, w.weight = resized(w.target, len(y.Value)), resized(w.weight, len(y.Value))
	for b, i := range windows {
		for k := range H {
			w.target[b*H+k], w.weight[b*H+k] = 0, 0
			if v := s.target[i*H+k]; isKnown(v) {
				w.target[b*H+k] = f.scale.target(s, i, v)
				w.weight[b*H+k] = norm * f.weight[k]
			}
		}
	}
	lossOf := autodiff.Squared[float32]
	if f.recipe.absolute {
		lossOf = autodiff.Absolute[float32]
	}
	return lossOf(&w.tape, y, w.target, w.weight)
}

// outputs runs the network on some windows: [len(windows), horizon], normalised.
func (f *fit) outputs(w *workspace, s *samples, windows []int, grad []float32) *autodiff.Node[float32] {
	x := w.tape.Input(f.spec.Lookback*len(windows), f.net.Channels)
	features := w.tape.Input(len(windows), f.net.Features)
	for b, i := range windows {
		f.scale.load(s, i, x, features, b)
	}
	return nn.Forward(&w.tape, &f.net, f.flat, grad, x, features)
}

// loss returns the mean loss over all windows of s, without dropout.
func (f *fit) loss(s *samples) float64 {
	all := make([]int, s.len())
	for i := range all {
		all[i] = i
	}
	norm := f.norm(s, all)
	chunks := slices.Collect(slices.Chunk(all, shardRows))
	losses := make([]float64, len(chunks))
	f.parallel(len(chunks), func(i int, w *workspace) {
		w.tape.Reset(0, false)
		losses[i] = float64(f.forward(w, s, chunks[i], norm, nil).Value[0])
	})
	sum := 0.0
	for _, l := range losses {
		sum += l
	}
	return sum
}

// forecasts returns the physical forecasts [N, horizon] of the forward pass.
func (f *fit) forecasts(s *samples) []float32 {
	H := f.spec.Horizon
	out := make([]float32, s.len()*H)
	n := (s.len() + shardRows - 1) / shardRows
	f.parallel(n, func(c int, w *workspace) {
		var windows []int
		for i := c * shardRows; i < min(s.len(), (c+1)*shardRows); i++ {
			windows = append(windows, i)
		}
		w.tape.Reset(0, false)
		y := f.outputs(w, s, windows, nil)
		for b, i := range windows {
			for k := range H {
				out[i*H+k] = f.scale.forecast(s, i, y.Row(b)[k])
			}
		}
	})
	return out
}

// parallel calls work for 0 … n-1, each with the workspace of the goroutine that
// it runs on, on the configured number of goroutines.
func (f *fit) parallel(n int, work func(i int, w *workspace)) {
	workers := f.config.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	workers = max(1, min(workers, n))
	for len(f.spaces) < workers {
		f.spaces = append(f.spaces, &workspace{})
	}
	var next atomic.Int64
	drain := func(w *workspace) {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			work(i, w)
		}
	}
	var wg sync.WaitGroup
	for _, w := range f.spaces[1:workers] {
		wg.Go(func() { drain(w) })
	}
	drain(f.spaces[0])
	wg.Wait()
}

func resized(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}
