package server

import (
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/forescale/forescale/api/inference"
)

// The codec takes what the decoder of protocol buffers takes, but for messages of
// too many parts, and gives the same.
func FuzzBoundedCodec(f *testing.F) {
	raw, err := proto.Marshal(&inference.ModelInferRequest{ModelName: "m", Parameters: map[string]*inference.InferParameter{"p": {}},
		Inputs:  []*inference.ModelInferRequest_InferInputTensor{{Name: "x", Shape: []int64{1}, Contents: &inference.InferTensorContents{Fp32Contents: []float32{1}}}},
		Outputs: []*inference.ModelInferRequest_InferRequestedOutputTensor{{Name: "y"}}, RawInputContents: [][]byte{{1}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte("\x2a\x00\x2a\x80"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > maxParts { // a part takes two bytes
			return
		}
		var got, want inference.ModelInferRequest
		refused := 0
		errGot := newBoundedCodec(func() { refused++ }).Unmarshal(mem.BufferSlice{mem.SliceBuffer(raw)}, &got)
		errWant := proto.Unmarshal(raw, &want)
		if (errGot == nil) != (errWant == nil) || (errGot == nil) != (refused == 0) {
			t.Fatalf("%v, refused %d times, proto says %v", errGot, refused, errWant)
		}
		left := maxParts
		countParts(got.ProtoReflect().Descriptor(), raw, &left)
		if parts := maxParts - left; errWant == nil && parts < len(want.GetInputs())+len(want.GetOutputs())+len(want.GetParameters()) {
			t.Errorf("%d parts are counted of %v", parts, &want)
		}
		// NaN is not equal to itself, but its bytes are.
		a, errA := proto.MarshalOptions{Deterministic: true}.Marshal(&got)
		b, errB := proto.MarshalOptions{Deterministic: true}.Marshal(&want)
		if errGot == nil && (errA != nil || errB != nil || string(a) != string(b)) {
			t.Errorf("decoded as %v, proto has %v", &got, &want)
		}
	})
}
