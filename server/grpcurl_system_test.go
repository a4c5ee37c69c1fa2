//go:build system

package server_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/onnxtest"
)

// grpcurl knows nothing of the protocol but what the server tells by reflection.
func TestSystemGrpcurlFindsAndUsesTheService(t *testing.T) {
	program := os.Getenv("FORESCALE_GRPCURL")
	if program == "" {
		t.Fatal("FORESCALE_GRPCURL does not name grpcurl; use make test-system")
	}
	registry := newShelf()
	registry.foreign("two", onnxtest.SumAndDifference())
	_, _, address := startGRPC(t, registry, nil)
	call := func(stdin string, args ...string) string {
		t.Helper()
		cmd := exec.Command(program, append([]string{"-plaintext"}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		var out, complaint bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &complaint
		if err := cmd.Run(); err != nil {
			return err.Error() + ": " + complaint.String()
		}
		return out.String()
	}
	eventually(t, "the health is SERVING", func() bool {
		return strings.Contains(call("", address, "grpc.health.v1.Health/Check"), "SERVING")
	})
	services := call("", address, "list")
	for _, want := range []string{"inference.GRPCInferenceService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"} {
		if !strings.Contains(services, want+"\n") {
			t.Errorf("no %s among\n%s", want, services)
		}
	}
	for request, want := range map[string]string{
		`{"model_name":"two","id":"1","inputs":[{"name":"a","datatype":"FP32","shape":[1,2],"contents":{"fp32_contents":[1,2]}},{"name":"b","datatype":"FP32","shape":[1,2],"contents":{"fp32_contents":[10,20]}}],"outputs":[{"name":"sum"}]}`: `{"modelName":"two","modelVersion":"1","id":"1","outputs":[{"name":"sum","datatype":"FP32","shape":["1","2"],"contents":{"fp32Contents":[11,22]}}]}`,
		`{"model_name":"two","inputs":[{"name":"a","datatype":"FP32","shape":[1,2]},{"name":"b","datatype":"FP32","shape":[1,2]}],"outputs":[{"name":"sum"}],"raw_input_contents":["AACAPwAAAEA=","AAAgQQAAoEE="]}`:                             `{"modelName":"two","modelVersion":"1","outputs":[{"name":"sum","datatype":"FP32","shape":["1","2"]}],"rawOutputContents":["AAAwQQAAsEE="]}`,
	} {
		text := call(request, "-d", "@", address, "inference.GRPCInferenceService/ModelInfer")
		var got, wanted any
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%s", text)
		} else if err := json.Unmarshal([]byte(want), &wanted); err != nil || !reflect.DeepEqual(got, wanted) {
			t.Errorf("got %s (%v)", text, err)
		}
	}
	if text := call(`{"name":"none"}`, "-d", "@", address, "inference.GRPCInferenceService/ModelMetadata"); !strings.Contains(text, "NotFound") {
		t.Errorf("an unknown model: %s", text)
	}
}
