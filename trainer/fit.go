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

	"github.com/forescale/forescale/trainer/autodiff"
	"github.com/forescale/forescale/trainer/nn"
	"github.com/forescale/forescale/trainer/optim"
)

// shardRows is the number of windows in a shard. It is fixed, so that the sums
// of a batch do not depend on how many workers share it.
const shardRows = 32

// maxRejected is how many steps in a row may fail to have a finite gradient
// before training gives up.
const maxRejected = 20

// ErrDiverged means that the loss stayed infinite or undefined even as the
// learning rate was lowered.
var ErrDiverged = errors.New("training diverged")

// schedule says how a network is trained.
type schedule struct {
	squared    bool // squared error; otherwise the absolute one
	batch      int
	epochs     int
	epochSteps int // at most so many steps an epoch; 0: all windows
	rate       float64
	decay      float64
	clip       float64
	plateau    int // epochs without improvement before the rate is halved; 0: never
	patience   int // epochs without improvement before training stops
	// anneal lets the rate rise over the first tenth of the steps and fall to zero
	// along a cosine until the last.
	anneal bool
}

// fit is a network being fitted. It is owned by the goroutine that runs it;
// during a step each shard and each workspace is owned by one worker.
type fit struct {
	schedule schedule
	net      nn.Network
	seed     uint64
	workers  int
	progress func(epoch, step, steps int, loss, validation, rate float64, rejected int)

	flat   []float32    // parameters
	grads  [][]float32  // of each shard of a batch; the first then takes their sum
	spaces []*workspace // one per worker

	state fitState
	seen  int // windows learned from, repetitions included
}

// fitState is what training knows between two epochs, beside the parameters.
type fitState struct {
	Epoch    int     // epochs done
	Rejected int     // steps not taken, and epochs taken back
	Failing  int     // of them, those since the last good step
	Slowed   float64 // factor on the learning rate after them
	Best     []float32
	Watch    optim.Watch
}

// workspace is the memory that a worker computes in. What was in it before has
// no influence on a result.
type workspace struct {
	tape   autodiff.Tape[float32]
	want   []float32
	weight []float32
}

func newFit(net nn.Network, s schedule, seed uint64, workers int) *fit {
	f := &fit{schedule: s, net: net, seed: seed, workers: workers}
	f.flat = net.Init(seed)
	f.state.Slowed = 1
	for range (s.batch + shardRows - 1) / shardRows {
		f.grads = append(f.grads, make([]float32, len(f.flat)))
	}
	return f
}

// run fits the parameters to train and leaves those with the best loss on valid
// in f.flat.
func (f *fit) run(ctx context.Context, train, valid *lesson) error {
	s := f.schedule
	adam := optim.NewAdam(len(f.flat), s.decay, s.clip)
	watch := &f.state.Watch
	*watch = optim.Watch{Rate: s.rate, Plateau: s.plateau, Patience: s.patience}
	f.state.Best = slices.Clone(f.flat)
	watch.Observe(f.loss(valid)) // no epoch counts that is worse than the start
	validation := math.NaN()
	for epoch := f.state.Epoch; epoch < s.epochs; epoch++ {
		batches := f.batches(train, epoch)
		for i, batch := range batches {
			if err := ctx.Err(); err != nil {
				return err
			}
			rate := watch.Rate
			if s.anneal {
				rate *= optim.OneCycle(float64(epoch*len(batches)+i) / float64(s.epochs*len(batches)))
			}
			loss, err := f.step(adam, train, batch, epoch*len(batches)+i, rate*f.state.Slowed)
			if err != nil {
				return err
			}
			if f.progress != nil {
				f.progress(epoch+1, i+1, len(batches), loss, validation, rate*f.state.Slowed, f.state.Rejected)
			}
		}
		f.state.Epoch++
		validation = f.loss(valid)
		improved, stop := watch.Observe(validation)
		switch {
		case improved:
			copy(f.state.Best, f.flat)
		case math.IsNaN(validation) || math.IsInf(validation, 0):
			copy(f.flat, f.state.Best)
			f.state.Slowed /= 2
			f.state.Rejected++
		}
		if stop {
			break
		}
	}
	if watch.Epoch == 0 {
		return fmt.Errorf("%w: the validation loss was never finite", ErrDiverged)
	}
	copy(f.flat, f.state.Best)
	return nil
}

// batches returns the training windows of an epoch in a random order.
func (f *fit) batches(train *lesson, epoch int) [][]int {
	order := rand.New(rand.NewPCG(f.seed, uint64(epoch))).Perm(train.len())
	size := f.schedule.batch
	if most := f.schedule.epochSteps * size; most > 0 && most < len(order) {
		order = order[:most]
	}
	return slices.Collect(slices.Chunk(order, size))
}

// step learns from one batch and returns its mean loss. A step whose gradient is
// not finite is not taken and halves the learning rate for all that follow.
func (f *fit) step(adam *optim.Adam, train *lesson, batch []int, number int, rate float64) (loss float64, err error) {
	norm := train.norm(batch)
	if norm == 0 {
		return 0, nil
	}
	n := (len(batch) + shardRows - 1) / shardRows
	losses := make([]float64, n)
	f.parallel(n, func(i int, w *workspace) {
		clear(f.grads[i])
		w.tape.Reset(autodiff.Mix(f.seed^autodiff.Mix(uint64(number)<<20|uint64(i))), true)
		l := f.forward(w, train, batch[i*shardRows:min(len(batch), (i+1)*shardRows)], norm, f.grads[i])
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
		f.state.Failing = 0
		return loss, nil
	}
	f.state.Rejected++
	f.state.Failing++
	f.state.Slowed /= 2
	if f.state.Failing >= maxRejected {
		return loss, fmt.Errorf("%w: %d steps in a row without a finite gradient; check the data for absurd values or lower the rate", ErrDiverged, f.state.Failing)
	}
	return loss, nil
}

// norm returns 1 over the number of known targets of a batch, 0 without any.
func (l *lesson) norm(batch []int) float32 {
	known := 0
	for _, i := range batch {
		for _, w := range l.weight[i*l.horizon:][:l.horizon] {
			if w != 0 {
				known++
			}
		}
	}
	if known == 0 {
		return 0
	}
	return 1 / float32(known)
}

// forward computes the loss of some windows on w's tape. grad may be nil.
func (f *fit) forward(w *workspace, l *lesson, batch []int, norm float32, grad []float32) *autodiff.Node[float32] {
	y := f.outputs(w, l, batch, grad)
	H := l.horizon
	w.want, w.weight = resized(w.want, len(y.Value)), resized(w.weight, len(y.Value))
	for b, i := range batch {
		copy(w.want[b*H:][:H], l.want[i*H:])
		for k, v := range l.weight[i*H:][:H] {
			w.weight[b*H+k] = norm * v
		}
	}
	if f.schedule.squared {
		return autodiff.Squared(&w.tape, y, w.want, w.weight)
	}
	return autodiff.Absolute(&w.tape, y, w.want, w.weight)
}

// outputs runs the network on some windows: [len(batch), horizon].
func (f *fit) outputs(w *workspace, l *lesson, batch []int, grad []float32) *autodiff.Node[float32] {
	x := w.tape.Input(l.steps*len(batch), l.channels)
	extra := w.tape.Input(len(batch), l.extra)
	for b, i := range batch {
		for t := range l.steps { // time-major
			copy(x.Row(t*len(batch)+b), l.x[(i*l.steps+t)*l.channels:][:l.channels])
		}
		copy(extra.Row(b), l.f[i*l.extra:][:l.extra])
	}
	return nn.Forward(&w.tape, &f.net, f.flat, grad, x, extra)
}

// loss returns the mean loss over all windows, without dropout.
func (f *fit) loss(l *lesson) float64 {
	all := make([]int, l.len())
	for i := range all {
		all[i] = i
	}
	norm := l.norm(all)
	chunks := slices.Collect(slices.Chunk(all, shardRows))
	losses := make([]float64, len(chunks))
	f.parallel(len(chunks), func(i int, w *workspace) {
		w.tape.Reset(0, false)
		losses[i] = float64(f.forward(w, l, chunks[i], norm, nil).Value[0])
	})
	sum := 0.0
	for _, l := range losses {
		sum += l
	}
	return sum
}

// answers returns what the network says of all windows: [N, horizon].
func (f *fit) answers(l *lesson) []float32 {
	H, N := l.horizon, len(l.x)/(l.steps*l.channels)
	out := make([]float32, N*H)
	f.parallel((N+shardRows-1)/shardRows, func(c int, w *workspace) {
		var batch []int
		for i := c * shardRows; i < min(N, (c+1)*shardRows); i++ {
			batch = append(batch, i)
		}
		w.tape.Reset(0, false)
		copy(out[c*shardRows*H:], f.outputs(w, l, batch, nil).Value)
	})
	return out
}

// parallel calls work for 0 … n-1, each with the workspace of the goroutine that
// it runs on, on the configured number of goroutines.
func (f *fit) parallel(n int, work func(i int, w *workspace)) {
	workers := f.workers
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
