package ort_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/ort"
	"github.com/forescale/forescale/server/tensor"
)

var update = flag.Bool("update", false, "rewrite the generated files in testdata")

const foreignFile = "testdata/foreign.onnx"

var openOnce = sync.OnceValue(func() error {
	path, err := ort.Find(os.Getenv("FORESCALE_ONNXRUNTIME"))
	if err != nil {
		return err
	}
	return ort.Open(path)
})

// open loads ONNX Runtime or fails the test with what to do.
func open(t testing.TB) {
	t.Helper()
	if err := openOnce(); err != nil {
		t.Fatal(err)
	}
}

func load(t testing.TB, model []byte) *ort.Session {
	t.Helper()
	open(t)
	s, err := ort.Load(model, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func foreignBatch(rows ...[3]float32) batch.Batch {
	var data []float32
	for _, r := range rows {
		data = append(data, r[:]...)
	}
	return batch.Batch{Rows: len(rows), Inputs: []tensor.Tensor{tensor.New(data, int64(len(rows)), 3)}}
}

func TestTheCommittedForeignModelIsWhatItsGeneratorWrites(t *testing.T) {
	if *update {
		if err := os.WriteFile(foreignFile, onnxtest.Foreign(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(foreignFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, onnxtest.Foreign()) {
		t.Error("run the test with -update and commit the file")
	}
}

func TestASessionDescribesAndRunsItsModel(t *testing.T) {
	model, err := os.ReadFile(foreignFile)
	if err != nil {
		t.Fatal(err)
	}
	s := load(t, model)
	if in, out := s.Inputs(), s.Outputs(); len(in) != 1 || len(out) != 1 ||
		in[0].String() != "input float32 [?, 3]" || out[0].String() != "output float32 [?, 2]" {
		t.Fatalf("inputs %v, outputs %v", in, out)
	}
	outputs, err := s.Run(context.Background(), foreignBatch([3]float32{1, 2, 4}, [3]float32{-1, 0, 0}))
	if err != nil {
		t.Fatal(err)
	}
	// 1+4+2+.25 = 7.25, -1+0+16-1 = 14; -1+.25 < 0, 1-1 = 0.
	if got := string(outputs[0].AppendJSON(nil)); got != "[[7.25,14],[0,0]]" {
		t.Errorf("answer %s", got)
	}
}

func TestTreesOfASecondOperatorDomainRun(t *testing.T) {
	s := load(t, onnxtest.Trees())
	// Of each split both sides, and the thresholds themselves.
	outputs, err := s.Run(context.Background(), foreignBatch([3]float32{0.5, 9, 3}, [3]float32{0.51, 9, 3.01}, [3]float32{-7, 9, 100}))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(outputs[0].AppendJSON(nil)); got != "[[10,-1],[20,1],[10,1]]" {
		t.Errorf("answer %s", got)
	}
}

func TestASessionReadsTheMetadataOfItsModel(t *testing.T) {
	spec := onnxtest.Spec(4, 2)
	_, model := onnxtest.Persistence(spec, 1)
	if got := load(t, model).Metadata()["forescale.spec"]; !strings.Contains(got, `"lookback":4`) {
		t.Errorf("metadata %q", got)
	}
}

func TestRunRefusesWhatDoesNotFitAndGoesOn(t *testing.T) {
	s := load(t, onnxtest.Foreign())
	for name, b := range map[string]batch.Batch{
		"no input":           {},
		"a wrong last axis":  {Rows: 1, Inputs: []tensor.Tensor{tensor.New(make([]float32, 4), 1, 4)}},
		"a wrong rank":       {Rows: 1, Inputs: []tensor.Tensor{tensor.New(make([]float32, 3), 3)}},
		"a wrong type":       {Rows: 1, Inputs: []tensor.Tensor{{Shape: []int64{1, 3}, Data: make([]int64, 3)}}},
		"too little data":    {Rows: 2, Inputs: []tensor.Tensor{tensor.New(make([]float32, 3), 2, 3)}},
		"no elements at all": {Rows: 1, Inputs: []tensor.Tensor{{Shape: []int64{1, 3}}}},
	} {
		if _, err := s.Run(context.Background(), b); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := s.Run(context.Background(), foreignBatch([3]float32{})); err != nil {
		t.Error(err)
	}
}

func TestManyRunsGoOnAtOnceAndCloseWaitsForThem(t *testing.T) {
	open(t)
	s, err := ort.Load(onnxtest.Foreign(), ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Retain() {
		t.Fatal("an open session cannot be retained")
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 200 {
				outputs, err := s.Run(context.Background(), foreignBatch([3]float32{float32(i), 0, 0}))
				if err != nil {
					t.Error(err)
					return
				}
				if got, want := outputs[0].Float32s()[0], float32(i)+.25; got != want {
					t.Errorf("run of %d answered %v", i, got)
				}
			}
		})
	}
	s.Close()
	s.Close() // does nothing
	wg.Wait()
	if _, err := s.Run(context.Background(), foreignBatch([3]float32{})); err != nil {
		t.Errorf("held after Close: %v", err)
	}
	s.Release()
	if _, err := s.Run(context.Background(), foreignBatch([3]float32{})); !errors.Is(err, ort.ErrClosed) {
		t.Errorf("after the last release: %v", err)
	}
	if s.Retain() {
		t.Error("a destroyed session was retained")
	}
}

// spin returns a model whose Loop does nothing for a very long time, while its
// condition stays true.
func spin() []byte {
	body := onnxtest.Graph(
		onnxtest.Node("Identity", "", []string{"go"}, []string{"goon"}),
		onnxtest.Node("Sin", "", []string{"x"}, []string{"y"}),
	).Bytes(11, scalar("i", 7)).Bytes(11, scalar("go", 9)).
		Bytes(12, scalar("goon", 9))
	body = append(append(body, onnxtest.Input("x", -1, 3)...), onnxtest.Output("y", -1, 3)...)
	return onnxtest.Model(onnxtest.Graph(
		onnxtest.Node("Loop", "", []string{"trips", "", "input"}, []string{"output"},
			onnxtest.Message(nil).Text(1, "body").Bytes(6, body).Int(20, 5)),
		onnxtest.Ints("trips", nil, 1<<40),
		onnxtest.Input("input", -1, 3), onnxtest.Output("output", -1, 3)), nil)
}

// scalar is a ValueInfoProto of the given element type without axes.
func scalar(name string, elem int64) onnxtest.Message {
	return onnxtest.Message(nil).Text(1, name).Bytes(2, onnxtest.Message(nil).Bytes(1, onnxtest.Message(nil).Int(1, elem).Bytes(2, nil)))
}

func TestARunEndsWithItsContext(t *testing.T) {
	s := load(t, spin())
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Run(ctx, foreignBatch([3]float32{1, 2, 3})); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestUnsafeAndBrokenModelsAreRefusedWithTheReason(t *testing.T) {
	open(t)
	secret := filepath.Join(t.TempDir(), "weights.bin")
	if err := os.WriteFile(secret, make([]byte, 24), 0o600); err != nil {
		t.Fatal(err)
	}
	nodes := onnxtest.Node("Gemm", "", []string{"input", "w"}, []string{"output"})
	in, out := onnxtest.Input("input", -1, 3), onnxtest.Output("output", -1, 2)
	external := onnxtest.External("w", []int64{3, 2}, secret)
	// The constant of a node and a tensor in a nested graph are other places for the
	// same thing.
	inNode := onnxtest.Node("Constant", "", nil, []string{"w"}, onnxtest.Message(nil).Text(1, "value").Bytes(5, externalTensor(secret)).Int(20, 4))
	nested := onnxtest.Node("If", "", []string{"input"}, []string{"output"},
		onnxtest.Message(nil).Text(1, "then_branch").Bytes(6, onnxtest.Graph(external)).Int(20, 5))
	for name, c := range map[string]struct {
		model []byte
		want  error
		text  string
	}{
		"external data in an initializer":       {onnxtest.Model(onnxtest.Graph(nodes, external, in, out), nil), ort.ErrExternalData, "external data"},
		"external data in a constant":           {onnxtest.Model(onnxtest.Graph(nodes, inNode, in, out), nil), ort.ErrExternalData, "external data"},
		"external data in a nested graph":       {onnxtest.Model(onnxtest.Graph(nested, in, out), nil), ort.ErrExternalData, "external data"},
		"an operator of a custom domain":        {onnxtest.Model(onnxtest.Graph(onnxtest.Node("Spy", "evil.example", []string{"input"}, []string{"output"}), in, out), nil, "evil.example"), ort.ErrCustomOperator, "evil.example"},
		"an unknown standard operator":          {onnxtest.Model(onnxtest.Graph(onnxtest.Node("Nonsense", "", []string{"input"}, []string{"output"}), in, out), nil), ort.ErrCorrupt, "Nonsense"},
		"an empty file":                         {nil, ort.ErrCorrupt, "empty"},
		"text":                                  {[]byte("hello, this is not a model"), ort.ErrCorrupt, "not a valid ONNX model"},
		"a model without a graph":               {onnxtest.Message(nil).Int(1, 8), ort.ErrCorrupt, "no graph"},
		"a model without inputs":                {onnxtest.Model(onnxtest.Graph(onnxtest.Floats("output", []int64{1}, 1), onnxtest.Output("output", 1)), nil), ort.ErrCorrupt, "0 inputs"},
		"half a model":                          {onnxtest.Foreign()[:len(onnxtest.Foreign())/2], ort.ErrCorrupt, ""},
		"ONNX Runtime's own format":             {append([]byte("\x18\x00\x00\x00ORTM"), make([]byte, 100)...), ort.ErrCorrupt, ".ort"},
		"graphs nested beyond any reason":       {nest(5000), ort.ErrCorrupt, "nested deeper"},
		"a tensor that is shorter than it says": {onnxtest.Model(onnxtest.Graph(nodes, onnxtest.Floats("w", []int64{300, 2}, 1), in, out), nil), ort.ErrCorrupt, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := ort.Load(c.model, ort.Options{})
			if err == nil {
				s.Close()
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func externalTensor(location string) onnxtest.Message {
	return onnxtest.Message(nil).Int(2, 1).Text(8, "t").Bytes(13, onnxtest.Message(nil).Text(1, "location").Text(2, location)).Int(14, 1)
}

// nest returns a model with graphs in attributes of nodes in graphs, n deep.
func nest(n int) []byte {
	g := onnxtest.Graph()
	for range n {
		g = onnxtest.Node("If", "", nil, nil, onnxtest.Message(nil).Bytes(6, g))
	}
	return onnxtest.Message(nil).Bytes(7, g)
}

func TestNoDamageToAModelFileAbortsTheProcess(t *testing.T) {
	open(t)
	_, model := onnxtest.Persistence(onnxtest.Spec(3, 2, .1, .5, .9), 1)
	try := func(model []byte) {
		if s, err := ort.Load(model, ort.Options{}); err == nil {
			s.Close()
		}
	}
	for n := 0; n < len(model); n += 7 {
		try(model[:n])
	}
	for i := range model {
		damaged := bytes.Clone(model)
		damaged[i] ^= byte(1 << (i % 8))
		try(damaged)
	}
}

func FuzzCheck(f *testing.F) {
	_, own := onnxtest.Persistence(onnxtest.Spec(3, 2, .1, .5, .9), 1)
	f.Add(own)
	f.Add(onnxtest.Foreign())
	f.Add(nest(40))
	f.Fuzz(func(t *testing.T, model []byte) {
		if err := ort.Check(model); err != nil && !errors.Is(err, ort.ErrCorrupt) &&
			!errors.Is(err, ort.ErrExternalData) && !errors.Is(err, ort.ErrCustomOperator) {
			t.Errorf("an error without a kind: %v", err)
		}
	})
}
