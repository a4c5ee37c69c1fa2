package ort

import (
	"context"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/server/tensor"
)

// session loads a model.
func session(t testing.TB, model []byte) *Session {
	t.Helper()
	path, err := Find(os.Getenv("FORESCALE_ONNXRUNTIME"))
	if err == nil {
		err = Open(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := Load(model, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestTheCapIsTheSmallestNumberWithNearlyTheBestThroughput(t *testing.T) {
	for name, c := range map[string]struct {
		took func(n int) time.Duration
		most int
		want int
	}{
		"every row costs the same":    {func(n int) time.Duration { return time.Duration(n) * time.Millisecond }, 64, 1},
		"a run has a cost of its own": {func(n int) time.Duration { return time.Duration(n)*time.Millisecond + 200*time.Microsecond }, 64, 10},
		"the best is in the middle": {func(n int) time.Duration {
			return time.Duration(n)*time.Millisecond + 2*time.Millisecond + time.Duration(n*n)*20*time.Microsecond
		}, 64, 8},
		"the room ends before":    {func(n int) time.Duration { return time.Millisecond }, 9, 8},
		"the time ends at once":   {func(n int) time.Duration { return -1 }, 64, 1},
		"the time ends half-way":  {func(n int) time.Duration { return map[bool]time.Duration{true: time.Millisecond, false: -1}[n <= 6] }, 64, 6},
		"no time at all is spent": {func(n int) time.Duration { return 0 }, 64, 64},
	} {
		t.Run(name, func(t *testing.T) {
			got := choose(c.most, func(n int) (time.Duration, bool) { return c.took(n), c.took(n) >= 0 })
			if got != c.want {
				t.Errorf("%d rows, want %d", got, c.want)
			}
		})
	}
}

func TestALaneRunsItsFirstRows(t *testing.T) {
	s := session(t, onnxtest.Foreign())
	if s.MaxRows() < 1 || s.MaxRows() > maxRows {
		t.Fatalf("a cap of %d rows", s.MaxRows())
	}
	l, err := s.Lane()
	if err != nil {
		t.Fatal(err)
	}
	in := l.Inputs()[0]
	for n := range min(3, s.MaxRows()) {
		for row := range n + 1 {
			copy(in.Float32s()[3*row:], []float32{float32(row + 1), 2, 4})
		}
		out, err := l.Run(t.Context(), n+1)
		var want []float32
		for row := range n + 1 {
			want = append(want, float32(row+1)+6.25, 16-float32(row+1)-1)
		}
		if err != nil || !reflect.DeepEqual(out, []tensor.Tensor{tensor.New(want, int64(n+1), 2)}) {
			t.Errorf("%d rows: %v, %v", n+1, out, err)
		}
	}
	for _, n := range []int{0, -1, maxRows + 1} {
		if _, err := l.Run(t.Context(), n); err == nil {
			t.Errorf("%d rows were run", n)
		}
	}
	ended, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := l.Run(ended, 1); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	if _, err := l.Run(t.Context(), 1); err != nil {
		t.Errorf("a lane cannot be used after a run that ended early: %v", err)
	}
	s.Close()
	if _, err := l.Run(t.Context(), 1); err != nil {
		t.Errorf("a lane does not keep its session: %v", err)
	}
	l.Free()
	if _, err := s.Lane(); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestModelsOfTheSameRowsShareRoomsAndTheLastOneOutDestroysThem(t *testing.T) {
	a, b, other := session(t, onnxtest.Foreign()), session(t, onnxtest.Foreign()), session(t, onnxtest.Identity(onnxtest.TypeInt64))
	if a.rooms != b.rooms || a.rooms == nil {
		t.Error("two sessions of one kind have rooms of their own")
	}
	if other.rooms == a.rooms {
		t.Error("two kinds share rooms")
	}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 50 {
				l, err := a.Lane()
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := l.Run(t.Context(), 1); err != nil {
					t.Error(err)
				}
				l.Free()
			}
		})
	}
	wait.Wait()
	kind := a.rooms.kind
	a.Close()
	if l, err := b.Lane(); err != nil {
		t.Error(err)
	} else {
		l.Free()
	}
	b.Close()
	shared.Lock()
	defer shared.Unlock()
	if shared.rooms[kind] != nil {
		t.Error("rooms are left without a session")
	}
}

func TestModelsWhoseRowsCannotShareARunHaveNoLanes(t *testing.T) {
	fixed := onnxtest.Model(onnxtest.Graph(onnxtest.Node("Neg", "", []string{"x"}, []string{"y"}), onnxtest.Input("x", 2, 3), onnxtest.Output("y", 2, 3)), nil)
	// The file says that the output has as many rows as the input. It has one.
	liar := onnxtest.Model(onnxtest.Graph(onnxtest.Node("ReduceMax", "", []string{"x"}, []string{"y"}, onnxtest.IntsAttribute("axes", 0), onnxtest.IntAttribute("keepdims", 1)),
		onnxtest.InputOf(onnxtest.TypeFloat, "x", "n", 3), onnxtest.OutputOf(onnxtest.TypeFloat, "y", "n", 3)), nil)
	for name, model := range map[string][]byte{
		"a batch of one length": fixed, "strings": onnxtest.Identity(onnxtest.TypeString), "halves": onnxtest.Identity(onnxtest.TypeFloat16), "an output that is not as declared": liar,
	} {
		t.Run(name, func(t *testing.T) {
			if s := session(t, model); s.MaxRows() != 0 {
				t.Errorf("a cap of %d rows", s.MaxRows())
			}
		})
	}
}

func TestTheStructureOfAModelIsThatOfItsSpeedAndNotOfItsWeights(t *testing.T) {
	affine := func(lookback int, factor float32) []byte {
		_, model := onnxtest.Persistence(onnxtest.Spec(lookback, 3, .5), factor)
		return model
	}
	if structure(affine(4, 1)) != structure(affine(4, 7)) {
		t.Error("other weights make another structure")
	}
	if structure(affine(4, 1)) == structure(affine(5, 1)) {
		t.Error("inputs of another length make no other structure")
	}
	renamed := strings.ReplaceAll(string(onnxtest.Foreign()), "sum", "mus")
	if structure([]byte(renamed)) != structure(onnxtest.Foreign()) {
		t.Error("other names inside make another structure")
	}
	if structure([]byte(strings.ReplaceAll(string(onnxtest.Foreign()), "Relu", "Tanh"))) == structure(onnxtest.Foreign()) {
		t.Error("another operator makes no other structure")
	}
}

// TestTheReaderOfGraphsAgreesWithONNXRuntime holds what is read from a file to what the
// library says of it.
func TestTheReaderOfGraphsAgreesWithONNXRuntime(t *testing.T) {
	_, ours := onnxtest.Persistence(onnxtest.Spec(4, 3, .1, .9), 1)
	for name, model := range map[string][]byte{"ours": ours, "foreign": onnxtest.Foreign(), "trees": onnxtest.Trees(), "two inputs": onnxtest.SumAndDifference()} {
		t.Run(name, func(t *testing.T) {
			s := session(t, model)
			ins, outs, ok := readGraph(model).infos()
			if !ok {
				t.Fatal("not everything is declared")
			}
			slow := &Session{}
			if err := slow.ask(model, readGraph(model)); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(plain(ins), plain(slow.inputs)) || !reflect.DeepEqual(plain(outs), plain(slow.outputs)) {
				t.Errorf("read %v, %v; the library has %v, %v", ins, outs, slow.inputs, slow.outputs)
			}
			if !reflect.DeepEqual(s.inputs, ins) {
				t.Errorf("the session has %v", s.inputs)
			}
		})
	}
}

// plain makes axes without names the same however they are written.
func plain(infos []tensor.Info) []tensor.Info {
	out := slices.Clone(infos)
	for i := range out {
		if !slices.ContainsFunc(out[i].Axes, func(name string) bool { return name != "" }) {
			out[i].Axes = nil
		}
	}
	return out
}

func FuzzReadGraph(f *testing.F) {
	_, ours := onnxtest.Persistence(onnxtest.Spec(4, 3, .1, .9), 1)
	for _, model := range [][]byte{ours, onnxtest.Foreign(), onnxtest.Trees(), onnxtest.SumAndDifference(), onnxtest.Identity(onnxtest.TypeBool)} {
		f.Add(model)
	}
	f.Fuzz(func(t *testing.T, model []byte) {
		ins, outs, ok := readGraph(model).infos()
		for _, info := range slices.Concat(ins, outs) {
			if info.Name == "" || info.Type == "" || len(info.Axes) != len(info.Shape) {
				t.Errorf("read %+v", info)
			}
		}
		if ok && (len(ins) == 0 || len(outs) == 0) {
			t.Error("nothing to read or to answer")
		}
		structure(model)
	})
}

func BenchmarkLoad(b *testing.B) {
	_, small := onnxtest.Persistence(onnxtest.Spec(24, 12, .1, .5, .9), 1)
	session(b, small)
	for b.Loop() {
		s, err := Load(small, Options{})
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
