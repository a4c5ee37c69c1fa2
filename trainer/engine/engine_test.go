package engine_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/forescale/forescale/trainer/autodiff"
	"github.com/forescale/forescale/trainer/engine"
	"github.com/forescale/forescale/trainer/nn"
	"github.com/forescale/forescale/trainer/optim"
)

// task is a network with data to learn from.
type task struct {
	net    nn.Network
	x      []float32 // [rows, lookback, channels]
	y      []float32 // [rows, horizon]
	weight []float32 // [rows, horizon]
	flat   []float32
}

func newTask(net nn.Network, rows int) *task {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = rng.Float32()
		}
		return v
	}
	k := &task{net: net, x: random(rows * net.Lookback * net.Channels), y: random(rows * net.Horizon), flat: net.Init(3)}
	k.weight = make([]float32, len(k.y))
	for i := range k.weight {
		k.weight[i] = 1 / float32(len(k.weight))
	}
	return k
}

// loss is the mean squared error.
func (k *task) loss(s *engine.Shard) *autodiff.Node[float32] {
	n, T, C, H := s.To-s.From, k.net.Lookback, k.net.Channels, k.net.Horizon
	x := s.Tape.Input(T*n, C)
	for b := range n {
		for t := range T {
			copy(x.Row(t*n+b), k.x[((s.From+b)*T+t)*C:])
		}
	}
	y := nn.Forward(s.Tape, &k.net, k.flat, s.Grad, x, nil)
	return autodiff.Squared(s.Tape, y, k.y[s.From*H:s.To*H], k.weight[s.From*H:s.To*H])
}

// small has every part that a network can have, and more parameters than are
// added up as one piece of work.
var small = nn.Network{Lookback: 5, Channels: 3, Horizon: 2, Layers: 2, Hidden: 72, Head: 9, Dropout: 0.2, Attention: true, Linear: true}

func TestTheBytesDoNotDependOnTheNumberOfWorkers(t *testing.T) {
	const rows = 37 // the last shard is not full
	var want string
	for _, workers := range []int{1, 2, 3, 16} {
		k := newTask(small, rows)
		r, adam := engine.New(len(k.flat), 8, workers), optim.NewAdam(len(k.flat), 1e-3, 1)
		var losses []float64
		for step := range 4 {
			l, err := r.Step(adam, k.flat, 1e-3, rows-step, uint64(step), k.loss)
			if err != nil {
				t.Fatal(err)
			}
			losses = append(losses, l)
		}
		losses = append(losses, r.Loss(rows, k.loss))
		if got := fmt.Sprint(losses, k.flat); want == "" {
			want = got
		} else if got != want {
			t.Errorf("with %d workers the result is another", workers)
		}
	}
}

func TestTheGradientOfABatchIsThatOfOneTape(t *testing.T) {
	net := small
	net.Dropout = 0
	const rows = 21
	k := newTask(net, rows)
	one, many := engine.New(len(k.flat), rows, 1), engine.New(len(k.flat), 4, 2)
	wantLoss, want := one.Gradient(rows, 0, k.loss)
	gotLoss, got := many.Gradient(rows, 0, k.loss)
	largest := 0.0
	for _, g := range want {
		largest = max(largest, math.Abs(float64(g)))
	}
	if math.Abs(gotLoss-wantLoss) > 1e-6*wantLoss || largest == 0 {
		t.Errorf("loss %v in shards, %v in one", gotLoss, wantLoss)
	}
	for i := range want {
		if math.Abs(float64(got[i]-want[i])) > 1e-6*largest {
			t.Fatalf("gradient %d is %v in shards, %v in one", i, got[i], want[i])
		}
	}
}

func TestAStepIsThatOfAdam(t *testing.T) {
	const rows = 16
	k := newTask(small, rows)
	want := slices.Clone(k.flat)
	r := engine.New(len(k.flat), 8, 2)
	a, b := optim.NewAdam(len(k.flat), 0.01, 0.1), optim.NewAdam(len(k.flat), 0.01, 0.1)
	for step := range 3 {
		_, gradient := r.Gradient(rows, uint64(step), k.loss)
		norm, err := b.Step(want, gradient, 1e-2)
		if err != nil || norm == 0 {
			t.Fatal(norm, err)
		}
		if _, err := r.Step(a, k.flat, 1e-2, rows, uint64(step), k.loss); err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if math.Abs(float64(k.flat[i]-want[i])) > 1e-6 {
				t.Fatalf("step %d: parameter %d is %v, want %v", step, i, k.flat[i], want[i])
			}
		}
	}
}

func TestAGradientThatIsNotFiniteChangesNoParameter(t *testing.T) {
	const rows = 16
	k := newTask(small, rows)
	k.x[5] = float32(math.NaN())
	before := slices.Clone(k.flat)
	r := engine.New(len(k.flat), 8, 2)
	if _, err := r.Step(optim.NewAdam(len(k.flat), 0, 1), k.flat, 1e-2, rows, 1, k.loss); !errors.Is(err, optim.ErrNotFinite) {
		t.Errorf("error %v, want ErrNotFinite", err)
	}
	if !slices.Equal(before, k.flat) {
		t.Error("parameters have moved")
	}
}

func TestTrainingLearns(t *testing.T) {
	const rows = 32
	k := newTask(small, rows)
	r, adam := engine.New(len(k.flat), 16, 2), optim.NewAdam(len(k.flat), 0, 1)
	before := r.Loss(rows, k.loss)
	for step := range 150 {
		if _, err := r.Step(adam, k.flat, 3e-3, rows, uint64(step), k.loss); err != nil {
			t.Fatal(err)
		}
	}
	if after := r.Loss(rows, k.loss); after > before/3 {
		t.Errorf("the loss went from %v to %v", before, after)
	}
}

func TestAStepDoesNotAllocate(t *testing.T) {
	const rows = 40
	k := newTask(small, rows)
	for _, workers := range []int{1, 2} {
		r, adam := engine.New(len(k.flat), 16, workers), optim.NewAdam(len(k.flat), 0, 1)
		loss := k.loss // a method value is an allocation
		step := func() {
			if _, err := r.Step(adam, k.flat, 1e-3, rows, 1, loss); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 { // any worker may take any shard, so all need to have had one
			step()
		}
		if n := testing.AllocsPerRun(20, step); n > 0 {
			t.Errorf("%v allocations a step with %d workers, want none", n, workers)
		}
	}
}

// shapes are those of the PyTorch peer.
var shapes = map[string]nn.Network{
	"A": {Lookback: 24, Channels: 4, Horizon: 1, Layers: 3, Hidden: 128, Head: 64, Dropout: 0.2},
	"B": {Lookback: 36, Channels: 16, Horizon: 1, Layers: 2, Hidden: 64, Head: 32, Dropout: 0.2, Attention: true},
}

func BenchmarkStep(b *testing.B) {
	const rows = 64
	for _, shape := range []string{"A", "B"} {
		for _, workers := range []int{1, 2} {
			for _, shardRows := range []int{16, 32, 64} {
				b.Run(fmt.Sprintf("%s/workers=%d/shard=%d", shape, workers, shardRows), func(b *testing.B) {
					k := newTask(shapes[shape], rows)
					r, adam, loss := engine.New(len(k.flat), shardRows, workers), optim.NewAdam(len(k.flat), 0, 1), k.loss
					key := uint64(0)
					step := func() {
						key++
						if _, err := r.Step(adam, k.flat, 5e-4, rows, key, loss); err != nil {
							b.Fatal(err)
						}
					}
					step() // takes its memory
					for b.Loop() {
						step()
					}
					b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
					b.ReportAllocs()
				})
			}
		}
	}
}
