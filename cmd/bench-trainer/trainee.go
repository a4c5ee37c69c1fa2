package main

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/forescale/forescale/trainer/autodiff"
	"github.com/forescale/forescale/trainer/engine"
	"github.com/forescale/forescale/trainer/kernel"
	"github.com/forescale/forescale/trainer/nn"
	"github.com/forescale/forescale/trainer/optim"
)

// shapes are those of the peer's model.py.
var shapes = map[string]nn.Network{
	"A": {Lookback: 24, Channels: 4, Horizon: 1, Layers: 3, Hidden: 128, Head: 64, Dropout: 0.2},
	"B": {Lookback: 36, Channels: 16, Horizon: 1, Layers: 2, Hidden: 64, Head: 32, Dropout: 0.2, Attention: true},
}

// The settings of the peer's speed.py.
const (
	batchRows = 64
	batches   = 20 // of random data, used in turn
	rate      = 5e-4
	clipNorm  = 1
)

// shardRows is the shard size that was fastest on two cores.
const shardRows = 32

// trainee is a network in training on random data.
type trainee struct {
	shape   string
	threads int
	net     nn.Network
	x       []float32 // [batches, batchRows, lookback, channels]
	y       []float32 // [batches, batchRows]
	weight  []float32 // [batchRows]
	flat    []float32
	runner  *engine.Runner
	adam    *optim.Adam
	loss    engine.Loss
	steps   int
}

func newTrainee(shape string, threads, shard int) *trainee {
	rng := rand.New(rand.NewPCG(0, 0))
	random := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = rng.Float32()
		}
		return v
	}
	t := &trainee{shape: shape, threads: threads, net: shapes[shape]}
	t.x = random(batches * batchRows * t.net.Lookback * t.net.Channels)
	t.y = random(batches * batchRows)
	t.weight = slices.Repeat([]float32{1.0 / batchRows}, batchRows)
	t.flat = t.net.Init(0)
	t.runner = engine.New(len(t.flat), shard, threads)
	t.adam = optim.NewAdam(len(t.flat), 0, clipNorm)
	t.loss = t.lossOf
	return t
}

// step learns from the next batch.
func (t *trainee) step() error {
	t.steps++
	_, err := t.runner.Step(t.adam, t.flat, rate, batchRows, uint64(t.steps), t.loss)
	return err
}

// lossOf is the mean squared error of the present batch.
func (t *trainee) lossOf(s *engine.Shard) *autodiff.Node[float32] {
	T, C, n := t.net.Lookback, t.net.Channels, s.To-s.From
	first := t.steps%batches*batchRows + s.From
	x := s.Tape.Input(T*n, C)
	for b := range n {
		window := t.x[(first+b)*T*C:][:T*C]
		for step := range T {
			copy(x.Row(step*n+b), window[step*C:])
		}
	}
	y := nn.Forward(s.Tape, &t.net, t.flat, s.Grad, x, nil)
	return autodiff.Squared(s.Tape, y, t.y[first:first+n], t.weight[s.From:s.To])
}

// line says what a run with these times of a step and this processor time over
// all of them came to, s.
func (t *trainee) line(times []float64, cpu float64) string {
	return fmt.Sprintf("forescale %s %s threads=%d steps=%d samples_per_s=%.0f best=%.0f per_cpu_s=%.0f",
		kernel.Set(), t.shape, t.threads, len(times), batchRows/median(times), batchRows/slices.Min(times),
		batchRows*float64(len(times))/cpu)
}
