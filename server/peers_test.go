//go:build peers

package server_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/forescale/forescale/models"
)

func TestTheModelsThatPyTorchExportedAgreeWithPyTorch(t *testing.T) {
	peers := os.Getenv("FORESCALE_PEERS")
	registry := newShelf()
	names := []string{"pytorch_lstm_a", "pytorch_lstm_b"}
	for _, name := range names {
		model, err := os.ReadFile(filepath.Join(peers, "models", name+".onnx"))
		if err != nil {
			t.Fatal(err)
		}
		registry.put(name, models.Manifest{}, model)
	}
	r := start(t, registry, nil)
	for _, name := range names {
		arrays := readNPZ(t, filepath.Join(peers, "models", name+".io.npz"))
		x, y := arrays["x"], arrays["y"]
		body, err := json.Marshal(map[string]any{"model": name, "instances": x.nested(t)})
		if err != nil {
			t.Fatal(err)
		}
		var answer struct{ Predictions [][]float64 }
		got := r.post(string(body))
		if err := json.Unmarshal(got.body, &answer); err != nil || got.status != http.StatusOK {
			t.Fatalf("%s: %d %s (%v)", name, got.status, got.body, err)
		}
		if len(y.values) == 0 {
			t.Fatal("no expected outputs")
		}
		for i, want := range y.values {
			if have := answer.Predictions[i/y.shape[1]][i%y.shape[1]]; math.Abs(have-want) > 1e-5*max(1, math.Abs(want)) {
				t.Errorf("%s: output %d is %v, PyTorch had %v", name, i, have, want)
			}
		}
	}
}

// array is an array of a NumPy file.
type array struct {
	shape  []int
	values []float64
}

// nested returns the array as nested slices.
func (a array) nested(t *testing.T) any {
	t.Helper()
	if len(a.shape) == 1 {
		return a.values
	}
	out, stride := make([]any, a.shape[0]), len(a.values)/a.shape[0]
	for i := range out {
		out[i] = array{a.shape[1:], a.values[i*stride : (i+1)*stride]}.nested(t)
	}
	return out
}

// readNPZ reads the little-endian float32 arrays of an .npz file: a zip of .npy
// files (numpy.lib.format, version 1.0).
func readNPZ(t *testing.T, path string) map[string]array {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	arrays := map[string]array{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(b, []byte("\x93NUMPY\x01\x00")) {
			t.Fatalf("%s: not a version 1.0 array", f.Name)
		}
		n := 10 + int(binary.LittleEndian.Uint16(b[8:]))
		header, data := string(b[10:n]), b[n:]
		if !strings.Contains(header, "'descr': '<f4'") || !strings.Contains(header, "'fortran_order': False") {
			t.Fatalf("%s: %s", f.Name, header)
		}
		_, rest, _ := strings.Cut(header, "'shape': (")
		shape, _, _ := strings.Cut(rest, ")")
		var a array
		for axis := range strings.SplitSeq(strings.Trim(shape, ", "), ",") {
			var n int
			if _, err := fmt.Sscan(axis, &n); err != nil {
				t.Fatalf("%s: %s: %v", f.Name, header, err)
			}
			a.shape = append(a.shape, n)
		}
		for ; len(data) > 0; data = data[4:] {
			a.values = append(a.values, float64(math.Float32frombits(binary.LittleEndian.Uint32(data))))
		}
		arrays[strings.TrimSuffix(f.Name, ".npy")] = a
	}
	return arrays
}
