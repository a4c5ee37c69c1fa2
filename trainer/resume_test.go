package trainer

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/forescale/forescale/trainer/checkpoint"
	"github.com/forescale/forescale/trainer/nn"
)

// dirOf opens a checkpoint directory as a command does, to go on if there is
// something to go on with.
func dirOf(t *testing.T, path string) *checkpoint.Dir {
	t.Helper()
	d, err := checkpoint.Open(path, checkpoint.Identity{Program: "test"}, true, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// slow is a preset's configuration with epochs enough to be interrupted in.
func slow(t *testing.T, preset string) Config {
	t.Helper()
	quickRecipe(t, preset)
	r := presets[preset]
	for i := range r.networks {
		r.networks[i].schedule.epochSteps = 6
	}
	presets[preset] = r
	c := quick(preset)
	c.Epochs = 4
	return c
}

// interrupted trains until a number of steps is done, or the training.
func interrupted(c Config, d Data, steps int) (*Result, error) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	c.Progress = func(p Progress) {
		if p.Network == nil {
			return
		}
		if steps--; steps <= 0 {
			stop()
		}
	}
	return Train(ctx, c, d)
}

func TestATrainingThatIsInterruptedAgainAndAgainGivesTheSameBytes(t *testing.T) {
	for _, preset := range []string{PresetDefault, PresetReference, PresetFast} {
		for _, workers := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d workers", preset, workers), func(t *testing.T) {
				c := slow(t, preset)
				c.Workers = workers
				d := Data{Grid: history(5, 70)}
				want := train(t, c, d.Grid)
				rng := rand.New(rand.NewPCG(uint64(workers), 70))
				path := filepath.Join(t.TempDir(), "checkpoint")
				var got *Result
				cuts := 0
				for got == nil {
					c.Checkpoint = dirOf(t, path)
					// At least an epoch of every network that runs at a time, or nothing
					// would ever be kept.
					atOnce := min(workers, len(presets[preset].networks)*presets[preset].networks[0].seeds)
					r, err := interrupted(c, d, 6*atOnce+2+rng.IntN(10))
					switch {
					case errors.Is(err, context.Canceled):
						cuts++
					case err != nil:
						t.Fatal(err)
					default:
						got = r
					}
					if cuts > 100 {
						t.Fatal("no training ever ends")
					}
				}
				if cuts == 0 {
					t.Error("the training was never interrupted")
				}
				if !bytes.Equal(got.Model, want.Model) {
					t.Errorf("interrupted %d times, the model is another", cuts)
				}
				if g, w := got.Report.Training.Epochs, want.Report.Training.Epochs; g != w {
					t.Errorf("%d epochs are reported, %d were done", g, w)
				}
			})
		}
	}
}

func TestATrainingThatWasDoneIsNotDoneAgain(t *testing.T) {
	c := slow(t, PresetDefault)
	d := Data{Grid: history(5, 71)}
	c.Checkpoint = dirOf(t, filepath.Join(t.TempDir(), "checkpoint"))
	want := train(t, c, d.Grid)
	c.Progress = func(p Progress) {
		if p.Network != nil {
			t.Errorf("a step of %s, epoch %d, is done again", p.Network.Name, p.Network.Epoch)
		}
	}
	if got := train(t, c, d.Grid); !bytes.Equal(got.Model, want.Model) {
		t.Error("continued from its end, the model is another")
	}
}

// cut is a checkpoint in memory that fails from a number of saves on.
type cut struct {
	mu     sync.Mutex
	states map[string][]byte
	left   int
}

var errFull = errors.New("no space left")

func (c *cut) Load(stage string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.states[stage], nil
}

func (c *cut) Save(stage string, state []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left < 0 {
		return errFull
	}
	c.states[stage] = bytes.Clone(state)
	return nil
}

func TestACheckpointThatCannotBeSavedEndsTheTrainingAndIsNoLoss(t *testing.T) {
	c := slow(t, PresetDefault)
	d := Data{Grid: history(5, 72)}
	want := train(t, c, d.Grid)
	kept := &cut{states: map[string][]byte{}}
	c.Checkpoint = kept
	for n := 1; ; n += 4 {
		kept.left = n
		r, err := Train(context.Background(), c, d)
		if err == nil {
			if !bytes.Equal(r.Model, want.Model) {
				t.Error("after failures, the model is another")
			}
			return
		}
		if !errors.Is(err, errFull) || !strings.Contains(err.Error(), "network ") {
			t.Fatalf("error %v, want %v and the network", err, errFull)
		}
		if n > 200 {
			t.Fatal("no training ever ends")
		}
	}
}

func TestACheckpointOfAnotherNetworkIsRefused(t *testing.T) {
	c := slow(t, PresetReference)
	d := Data{Grid: history(5, 73)}
	kept := &cut{states: map[string][]byte{}, left: 1 << 30}
	c.Checkpoint = kept
	train(t, c, d.Grid)
	sound := kept.states["network lstm 1"]
	if sound == nil {
		t.Fatalf("stages %v", kept.states)
	}
	var st fitState
	if err := gob.NewDecoder(bytes.NewReader(sound)).Decode(&st); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(){
		"of more parameters":        func() { c.Hidden = 9 },
		"that is no state":          func() { kept.states["network lstm 1"] = []byte("noise") },
		"that is cut short":         func() { kept.states["network lstm 1"] = sound[:len(sound)/2] },
		"without the best":          func() { kept.states["network lstm 1"] = encoded(t, st, func(s *fitState) { s.Best = nil }) },
		"with half an optimiser":    func() { kept.states["network lstm 1"] = encoded(t, st, func(s *fitState) { s.Adam.M = s.Adam.M[1:] }) },
		"of less than no epoch":     func() { kept.states["network lstm 1"] = encoded(t, st, func(s *fitState) { s.Epoch = -1 }) },
		"of more epochs than there": func() { kept.states["network lstm 1"] = encoded(t, st, func(s *fitState) { s.Epoch = 5 }) },
	} {
		t.Run(name, func(t *testing.T) {
			before, states := c, kept.states["network lstm 1"]
			defer func() { c, kept.states["network lstm 1"] = before, states }()
			change()
			if _, err := Train(context.Background(), c, d); err == nil || !strings.Contains(err.Error(), "checkpoint") || !strings.Contains(err.Error(), "network lstm 1") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func encoded(t *testing.T, st fitState, change func(*fitState)) []byte {
	t.Helper()
	change(&st)
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(st); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAStateKeepsItsAdamAndItsWatch(t *testing.T) {
	net := nn.Network{Lookback: 3, Channels: 1, Horizon: 1, Layers: 1, Hidden: 3, Head: 2}
	s := schedule{loss: lossSquared, batch: 8, epochs: 6, rate: 0.05, clip: 1, plateau: 1, patience: 3}
	l := &lesson{steps: 3, channels: 1, horizon: 1}
	rng := rand.New(rand.NewPCG(1, 74))
	for range 64 {
		a, b := float32(rng.NormFloat64()), float32(rng.NormFloat64())
		l.x, l.want, l.weight = append(l.x, a, b, a*b), append(l.want, a+b+float32(rng.NormFloat64())), append(l.weight, 1)
	}
	var states [][]byte
	run := func(from []byte) []float32 {
		f := newFit(net, s, 3, 1)
		f.keep = func(st fitState) error {
			states = append(states, encoded(t, st, func(*fitState) {}))
			return nil
		}
		if from != nil {
			var st fitState
			if err := gob.NewDecoder(bytes.NewReader(from)).Decode(&st); err != nil {
				t.Fatal(err)
			}
			if err := f.resume(st); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.run(context.Background(), l.slice(0, 48), l.slice(48, 64)); err != nil {
			t.Fatal(err)
		}
		return f.state.Params
	}
	want := fmt.Sprint(run(nil))
	whole := states
	for i, state := range whole {
		states = nil
		if got := fmt.Sprint(run(state)); got != want {
			t.Errorf("from epoch %d on, the parameters are others", i+1)
		}
		if n := len(whole) - i - 1; len(states) != n || n > 0 && !bytes.Equal(states[n-1], whole[len(whole)-1]) {
			t.Errorf("from epoch %d on, %d states are kept, want %d, and the last the same", i+1, len(states), n)
		}
	}
}
