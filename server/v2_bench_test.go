package server_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/api/inference"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/server/oip"
)

// BenchmarkInference is the cost of one request by each way in, one after the
// other over loopback, with 96 numbers in and out and a model that does nothing.
func BenchmarkInference(b *testing.B) {
	const n = 96
	registry := newShelf()
	registry.foreign("same", onnxtest.Identity(onnxtest.TypeFloat))
	r, conn, _ := startGRPC(b, registry, nil)
	var raw []byte
	numbers := make([]string, n)
	for i := range numbers {
		v := float32(i) + .125
		numbers[i] = fmt.Sprint(v)
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	list := strings.Join(numbers, ",")
	head := fmt.Sprintf(`{"inputs":[{"name":"x","shape":[%d],"datatype":"FP32","parameters":{"binary_data_size":%d}}],"parameters":{"binary_data_output":true}}`, n, len(raw))
	for name, c := range map[string]struct{ path, body, header string }{
		"predict":   {api.RoutePredict, `{"model":"same","instances":[` + list + `]}`, ""},
		"v2-json":   {"/v2/models/same/infer", fmt.Sprintf(`{"inputs":[{"name":"x","shape":[%d],"datatype":"FP32","data":[%s]}]}`, n, list), ""},
		"v2-binary": {"/v2/models/same/infer", head + string(raw), strconv.Itoa(len(head))},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				req, err := http.NewRequest(http.MethodPost, r.url+c.path, bytes.NewReader([]byte(c.body)))
				if err != nil {
					b.Fatal(err)
				}
				if c.header != "" {
					req.Header.Set(oip.HeaderLength, c.header)
				}
				response, err := http.DefaultClient.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				answer, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || response.StatusCode != http.StatusOK {
					b.Fatalf("status %d: %s (%v)", response.StatusCode, answer, err)
				}
			}
		})
	}
	b.Run("grpc-raw", func(b *testing.B) {
		b.ReportAllocs()
		client := inference.NewGRPCInferenceServiceClient(conn)
		for b.Loop() {
			if _, err := client.ModelInfer(b.Context(), &inference.ModelInferRequest{ModelName: "same", RawInputContents: [][]byte{raw},
				Inputs: []*inputTensor{{Name: "x", Datatype: "FP32", Shape: []int64{n}}}}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
