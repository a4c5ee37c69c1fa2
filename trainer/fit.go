package trainer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/forescale/forescale/trainer/autodiff"
	"github.com/forescale/forescale/trainer/engine"
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

// The losses of a network.
const (
	lossAbsolute = "absolute"
	lossHuber    = "huber"
	lossSquared  = "squared"
	lossPinball  = "pinball"
)

var losses = []string{lossAbsolute, lossHuber, lossSquared, lossPinball}

// huberDelta is the error from which on the Huber loss grows in a line, in units
// of the usual change.
const huberDelta = 1

// schedule says how a network is trained.
type schedule struct {
	loss       string  // see losses
	level      float64 // of the pinball loss
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

// fit is a network being fitted, or one that answers. It is owned by the
// goroutine that uses it.
type fit struct {
	schedule schedule
	net      nn.Network
	seed     uint64
	runner   *engine.Runner
	adam     *optim.Adam
	last     int // epochs to be done, of those that the schedule is made for
	// each, when set, is called after every step.
	each func(NetworkProgress)
	// keep, when set, is called with the state after every epoch.
	keep func(fitState) error

	state fitState
	seen  int // windows learned from, repetitions included
}

// fitState is all that training knows between two epochs.
type fitState struct {
	Params   []float32
	Best     []float32 // those with the best validation loss
	Adam     optim.State
	Watch    optim.Watch
	Epoch    int     // epochs done
	Stopped  bool    // no epoch is to follow
	Rejected int     // steps not taken, and epochs taken back
	Failing  int     // of them, those since the last good step
	Slowed   float64 // factor on the learning rate after them
	Loss     float64 // on the validation part after the last epoch
}

func newFit(net nn.Network, s schedule, seed uint64, workers int) *fit {
	f := &fit{schedule: s, net: net, seed: seed}
	f.state.Params = net.Init(seed)
	f.state.Slowed, f.state.Loss = 1, math.NaN()
	f.state.Watch = optim.Watch{Rate: s.rate, Plateau: s.plateau, Patience: s.patience}
	f.adam, f.last = optim.NewAdam(len(f.state.Params), s.decay, s.clip), s.epochs
	f.runner = engine.New(len(f.state.Params), shardRows, workers)
	return f
}

// resume goes on from a state that keep was given by a fit of the same network.
func (f *fit) resume(s fitState) error {
	if len(s.Params) != len(f.state.Params) || len(s.Best) != len(s.Params) {
		return fmt.Errorf("the checkpoint is of a network with %d parameters, this one has %d", len(s.Params), len(f.state.Params))
	}
	if s.Epoch < 0 || s.Epoch > f.last {
		return fmt.Errorf("the checkpoint is of %d epochs, there are %d", s.Epoch, f.last)
	}
	if err := f.adam.Restore(s.Adam); err != nil {
		return fmt.Errorf("the checkpoint's optimiser: %w", err)
	}
	f.state = s
	return nil
}

// run fits the parameters to train and leaves those with the best loss on valid
// in f.state.Params. Without a valid lesson the last are taken.
func (f *fit) run(ctx context.Context, train, valid *lesson) error {
	if valid == nil {
		return f.runAll(ctx, train)
	}
	if f.state.Best == nil {
		f.state.Best = slices.Clone(f.state.Params)
		f.state.Watch.Observe(f.loss(valid)) // no epoch counts that is worse than the start
	}
	for epoch := f.state.Epoch; epoch < f.last && !f.state.Stopped; epoch++ {
		if err := f.epoch(ctx, train, epoch); err != nil {
			return err
		}
		f.judge(valid)
		if err := f.save(); err != nil {
			return err
		}
	}
	if f.state.Watch.Epoch == 0 {
		return fmt.Errorf("%w: the validation loss was never finite", ErrDiverged)
	}
	copy(f.state.Params, f.state.Best)
	return nil
}

// runAll does every epoch and judges none.
func (f *fit) runAll(ctx context.Context, train *lesson) error {
	f.state.Best = f.state.Params
	for epoch := f.state.Epoch; epoch < f.last; epoch++ {
		if err := f.epoch(ctx, train, epoch); err != nil {
			return err
		}
		if err := f.save(); err != nil {
			return err
		}
	}
	return nil
}

// save keeps the state after an epoch.
func (f *fit) save() error {
	if f.keep == nil {
		return nil
	}
	f.state.Adam = f.adam.State()
	return f.keep(f.state)
}

// epoch learns from every batch once.
func (f *fit) epoch(ctx context.Context, train *lesson, epoch int) error {
	s, st := f.schedule, &f.state
	batches := f.batches(train, epoch)
	for i, batch := range batches {
		if err := ctx.Err(); err != nil {
			return err
		}
		number := epoch*len(batches) + i
		rate := st.Watch.Rate * st.Slowed
		if s.anneal {
			rate *= optim.OneCycle(float64(number) / float64(s.epochs*len(batches)))
		}
		loss, err := f.step(train, batch, number, rate)
		if err != nil {
			return err
		}
		if f.each != nil {
			f.each(NetworkProgress{Epoch: epoch + 1, Epochs: s.epochs, Step: i + 1, Steps: len(batches),
				Loss: loss, Validation: st.Loss, Rate: rate, RejectedUpdates: st.Rejected})
		}
	}
	st.Epoch++
	return nil
}

// judge takes the loss after an epoch: it keeps the best parameters, goes back to
// them from a loss that is not finite, and says whether to go on.
func (f *fit) judge(valid *lesson) {
	st := &f.state
	st.Loss = f.loss(valid)
	improved, stop := st.Watch.Observe(st.Loss)
	switch {
	case improved:
		copy(st.Best, st.Params)
	case math.IsNaN(st.Loss) || math.IsInf(st.Loss, 0):
		copy(st.Params, st.Best)
		st.Slowed /= 2
		st.Rejected++
	}
	st.Stopped = stop
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
func (f *fit) step(train *lesson, batch []int, number int, rate float64) (loss float64, err error) {
	norm := train.norm(batch)
	if norm == 0 {
		return 0, nil
	}
	key := autodiff.Mix(f.seed ^ autodiff.Mix(uint64(number)))
	st := &f.state
	loss, err = f.runner.Step(f.adam, st.Params, rate, len(batch), key, func(s *engine.Shard) *autodiff.Node[float32] {
		return f.lossOf(s, train, batch[s.From:s.To], norm)
	})
	f.seen += len(batch)
	if err == nil {
		st.Failing = 0
		return loss, nil
	}
	st.Rejected++
	st.Failing++
	st.Slowed /= 2
	if st.Failing >= maxRejected {
		return loss, fmt.Errorf("%w: %d steps in a row without a finite gradient; check the data for absurd values or lower the rate", ErrDiverged, st.Failing)
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

// lossOf computes the loss of some windows on a shard's tape.
func (f *fit) lossOf(s *engine.Shard, l *lesson, batch []int, norm float32) *autodiff.Node[float32] {
	y := f.outputs(s, l, batch)
	H := l.horizon
	want, weight := s.Tape.Input(y.Rows, H).Value, s.Tape.Input(y.Rows, H).Value
	for b, i := range batch {
		copy(want[b*H:][:H], l.want[i*H:])
		for k, v := range l.weight[i*H:][:H] {
			weight[b*H+k] = norm * v
		}
	}
	switch f.schedule.loss {
	case lossSquared:
		return autodiff.Squared(s.Tape, y, want, weight)
	case lossHuber:
		return autodiff.Huber(s.Tape, y, want, weight, huberDelta)
	case lossPinball:
		return autodiff.Pinball(s.Tape, y, want, weight, float32(f.schedule.level))
	}
	return autodiff.Absolute(s.Tape, y, want, weight)
}

// outputs runs the network on some windows: [len(batch), horizon].
func (f *fit) outputs(s *engine.Shard, l *lesson, batch []int) *autodiff.Node[float32] {
	x := s.Tape.Input(l.steps*len(batch), l.channels)
	extra := s.Tape.Input(len(batch), l.extra)
	for b, i := range batch {
		for t := range l.steps { // time-major
			l.xs.apply(x.Row(t*len(batch)+b), l.x[(i*l.steps+t)*l.channels:][:l.channels])
		}
		l.fs.apply(extra.Row(b), l.f[i*l.extra:][:l.extra])
	}
	return nn.Forward(s.Tape, &f.net, f.state.Params, s.Grad, x, extra)
}

// loss returns the mean loss over all windows, without dropout.
func (f *fit) loss(l *lesson) float64 {
	all := iota(l.len())
	norm := l.norm(all)
	return f.runner.Loss(len(all), func(s *engine.Shard) *autodiff.Node[float32] {
		return f.lossOf(s, l, all[s.From:s.To], norm)
	})
}

// answers returns what a network with these parameters says of all windows:
// [N, horizon].
func answers(net nn.Network, params []float32, l *lesson, workers int) []float32 {
	N := len(l.x) / (l.steps * l.channels)
	f := fit{net: net, state: fitState{Params: params}}
	out, all := make([]float32, N*l.horizon), iota(N)
	var packs autodiff.Packs[float32]
	var tapes sync.Pool // one for each goroutine, whose memory serves all of its shards
	parallel(workers, (N+shardRows-1)/shardRows, func(c int) {
		from, to := c*shardRows, min(N, (c+1)*shardRows)
		tape, _ := tapes.Get().(*autodiff.Tape[float32])
		if tape == nil {
			tape = &autodiff.Tape[float32]{}
			tape.Share(&packs)
		}
		defer tapes.Put(tape)
		tape.Reset(0, false)
		shard := engine.Shard{From: from, To: to, Tape: tape}
		copy(out[from*l.horizon:], f.outputs(&shard, l, all[from:to]).Value)
	})
	return out
}

func iota(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}
