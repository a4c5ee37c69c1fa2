//go:build system && peers

package nn

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/forescale/forescale/trainer/autodiff"
)

// TestSystemTheNetworkAgreesWithPyTorch needs the PyTorch peer and python3-torch.
func TestSystemTheNetworkAgreesWithPyTorch(t *testing.T) {
	for shape, n := range map[string]Network{
		"A": {Lookback: 24, Channels: 4, Horizon: 1, Layers: 3, Hidden: 128, Head: 64},
		"B": {Lookback: 36, Channels: 16, Horizon: 1, Layers: 2, Hidden: 64, Head: 32, Attention: true},
	} {
		t.Run(shape, func(t *testing.T) {
			torch := runTorch(t, shape)
			flat, want := torch.parameters(t, n, ""), torch.parameters(t, n, "grad ")
			xs, target := torch["x"], torch["y"]
			batch := len(target)
			weight := make([]float32, batch)
			for i := range weight {
				weight[i] = 1 / float32(batch)
			}
			grad := make([]float32, n.Size())
			var tape autodiff.Tape[float32]
			x := tape.Input(n.Lookback*batch, n.Channels)
			for b := range batch {
				for s := range n.Lookback {
					copy(x.Row(s*batch+b), xs[(b*n.Lookback+s)*n.Channels:])
				}
			}
			y := Forward(&tape, &n, flat, grad, x, nil)
			loss := autodiff.Squared(&tape, y, target, weight)
			tape.Backward(loss)
			compare(t, "output", y.Value, torch["output"])
			compare(t, "loss", loss.Value, torch["loss"])
			for _, p := range n.Params() {
				compare(t, "gradient of "+p.Name, grad[p.Offset:p.Offset+p.Len()], want[p.Offset:p.Offset+p.Len()])
			}
		})
	}
}

// compare wants two arrays to differ by at most 1e-5 of the largest element.
func compare(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, PyTorch has %d", what, len(got), len(want))
	}
	largest, apart := 0.0, 0.0
	for i, w := range want {
		largest = max(largest, math.Abs(float64(w)))
		apart = max(apart, math.Abs(float64(got[i]-w)))
	}
	t.Logf("%s: apart by %.1e of the largest element", what, apart/largest)
	if !(apart <= 1e-5*largest) || largest == 0 {
		t.Errorf("%s: apart by %g where the largest element is %g", what, apart, largest)
	}
}

// arrays is what the script wrote, by name.
type arrays map[string][]float32

// runTorch runs PyTorch with the system's Python, for which Debian packages it.
func runTorch(t *testing.T, shape string) arrays {
	t.Helper()
	python := os.Getenv("FORESCALE_PYTHON")
	if python == "" {
		python = "/usr/bin/python3"
	}
	out, err := exec.Command(python, filepath.Join("testdata", "torch_gradients.py"), shape).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w\n%s", err, exit.Stderr)
		}
		t.Fatalf("PyTorch (Debian package python3-torch): %v", err)
	}
	head, body, _ := bytes.Cut(out, []byte("\n"))
	var list [][2]json.RawMessage
	if err := json.Unmarshal(head, &list); err != nil {
		t.Fatal(err)
	}
	all := arrays{}
	for _, item := range list {
		var name string
		var dims []int
		if err := errors.Join(json.Unmarshal(item[0], &name), json.Unmarshal(item[1], &dims)); err != nil {
			t.Fatal(err)
		}
		n := 1
		for _, d := range dims {
			n *= d
		}
		values := make([]float32, n)
		used, err := binary.Decode(body, binary.LittleEndian, values)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body = body[used:]
		all[name] = values
	}
	return all
}

// parameters returns the arrays of the peer's parameters, or with the prefix
// "grad " of their gradients, in the order and layout of a network.
func (a arrays) parameters(t *testing.T, n Network, prefix string) []float32 {
	t.Helper()
	get := func(name string) []float32 {
		v, ok := a[prefix+name]
		if !ok {
			t.Fatalf("PyTorch has no %q", prefix+name)
		}
		return v
	}
	flat := make([]float32, n.Size())
	for _, p := range n.Params() {
		out := flat[p.Offset : p.Offset+p.Len()]
		layer, part, _ := strings.Cut(strings.TrimPrefix(p.Name, "lstm"), ".")
		switch {
		case p.Name == "attention.v":
			copy(out, get("score.weight"))
		case p.Name == "head.w1":
			copy(out, transposed(get("head.0.weight"), p.Cols, p.Rows))
		case p.Name == "head.b1":
			copy(out, get("head.0.bias"))
		case p.Name == "head.w2":
			copy(out, transposed(get("head.3.weight"), p.Cols, p.Rows))
		case p.Name == "head.b2":
			copy(out, get("head.3.bias"))
		case part == "w":
			copy(out, transposed(inOurOrder(get("recurrent.weight_ih_l"+layer)), p.Cols, p.Rows))
		case part == "r":
			copy(out, transposed(inOurOrder(get("recurrent.weight_hh_l"+layer)), p.Cols, p.Rows))
		case part == "b": // PyTorch has two that are added, so each has our gradient
			copy(out, inOurOrder(get("recurrent.bias_ih_l"+layer)))
			if prefix == "" {
				for i, v := range inOurOrder(get("recurrent.bias_hh_l" + layer)) {
					out[i] += v
				}
			}
		default:
			t.Fatalf("the peer has no parameter for %q", p.Name)
		}
	}
	return flat
}

// inOurOrder returns the blocks of four gates, which PyTorch has as i, f, g, o, as
// i, o, f, g.
func inOurOrder(m []float32) []float32 {
	gate := len(m) / 4
	i, f, g, o := m[:gate], m[gate:2*gate], m[2*gate:3*gate], m[3*gate:]
	out := append([]float32(nil), i...)
	return append(append(append(out, o...), f...), g...)
}
