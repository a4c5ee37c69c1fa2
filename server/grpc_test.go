package server_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/forescale/forescale/api/inference"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/server"
	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/catalog"
	"github.com/forescale/forescale/server/tensor"
)

// startGRPC runs a server with gRPC and returns a connection to it, and its address.
func startGRPC(t testing.TB, registry catalog.Registry, change func(*server.Config, *server.Deps)) (*running, *grpc.ClientConn, string) {
	t.Helper()
	var address string
	r := start(t, registry, func(c *server.Config, d *server.Deps) {
		c.GRPCListen = "127.0.0.1:0"
		d.ListeningGRPC = func(a string) { address = a }
		if change != nil {
			change(c, d)
		}
	})
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return r, conn, address
}

type (
	inputTensor  = inference.ModelInferRequest_InferInputTensor
	wantedTensor = inference.ModelInferRequest_InferRequestedOutputTensor
)

func floats(name string, shape []int64, values ...float32) *inputTensor {
	return &inputTensor{Name: name, Datatype: "FP32", Shape: shape, Contents: &inference.InferTensorContents{Fp32Contents: values}}
}

func TestTheServerAnswersOverGRPCWhatItAnswersOverHTTP(t *testing.T) {
	registry := newShelf()
	registry.foreign("two", onnxtest.SumAndDifference())
	registry.foreign("corrupt", []byte("no model"))
	_, conn, _ := startGRPC(t, registry, nil)
	c, ctx := inference.NewGRPCInferenceServiceClient(conn), t.Context()
	eventually(t, "ready", func() bool {
		ready, err := c.ServerReady(ctx, &inference.ServerReadyRequest{})
		return err == nil && ready.GetReady()
	})
	live, err := c.ServerLive(ctx, &inference.ServerLiveRequest{})
	if err != nil || !live.GetLive() {
		t.Errorf("live: %v, %v", live, err)
	}
	about, err := c.ServerMetadata(ctx, &inference.ServerMetadataRequest{})
	if err != nil || about.GetName() != "forescale" || !reflect.DeepEqual(about.GetExtensions(), []string{"binary_tensor_data", "model_repository"}) {
		t.Errorf("metadata: %v, %v", about, err)
	}
	for model, want := range map[string]bool{"two": true, "corrupt": false} {
		if got, err := c.ModelReady(ctx, &inference.ModelReadyRequest{Name: model}); err != nil || got.GetReady() != want {
			t.Errorf("model %s ready: %v, %v", model, got, err)
		}
	}
	m, err := c.ModelMetadata(ctx, &inference.ModelMetadataRequest{Name: "two", Version: "1"})
	if err != nil || m.GetPlatform() != "onnxruntime_onnx" || !reflect.DeepEqual(m.GetVersions(), []string{"1"}) || len(m.GetInputs()) != 2 ||
		m.GetOutputs()[1].GetName() != "difference" || !reflect.DeepEqual(m.GetOutputs()[1].GetShape(), []int64{-1, 2}) || m.GetOutputs()[1].GetDatatype() != "FP32" {
		t.Errorf("metadata: %v, %v", m, err)
	}
	shape := []int64{1, 2}
	got, err := c.ModelInfer(ctx, &inference.ModelInferRequest{ModelName: "two", Id: "7",
		Inputs: []*inputTensor{floats("a", shape, 10, 20), floats("b", shape, 1, 2)}, Outputs: []*wantedTensor{{Name: "difference"}}})
	if err != nil || got.GetModelName() != "two" || got.GetModelVersion() != "1" || got.GetId() != "7" || len(got.GetOutputs()) != 1 ||
		!reflect.DeepEqual(got.GetOutputs()[0].GetContents().GetFp32Contents(), []float32{9, 18}) || got.GetRawOutputContents() != nil {
		t.Errorf("infer: %v, %v", got, err)
	}
}

func TestEveryDatatypeGoesThroughARealModelOverGRPC(t *testing.T) {
	registry := newShelf()
	for datatype, c := range elementTypes {
		registry.foreign(datatype, onnxtest.Identity(c.onnx))
	}
	_, conn, _ := startGRPC(t, registry, nil)
	c := inference.NewGRPCInferenceServiceClient(conn)
	for datatype, e := range elementTypes {
		got, err := c.ModelInfer(t.Context(), &inference.ModelInferRequest{ModelName: datatype,
			Inputs: []*inputTensor{{Name: "x", Datatype: datatype, Shape: []int64{2}}}, RawInputContents: [][]byte{[]byte(e.raw)}})
		if err != nil || len(got.GetRawOutputContents()) != 1 || string(got.GetRawOutputContents()[0]) != e.raw || got.GetOutputs()[0].GetDatatype() != datatype {
			t.Errorf("%s: %v, %v", datatype, got, err)
		}
	}
}

func TestAGRPCRequestAtFaultHasTheRightStatus(t *testing.T) {
	registry := newShelf()
	registry.foreign("two", onnxtest.SumAndDifference())
	registry.foreign("corrupt", []byte("no model"))
	r, conn, _ := startGRPC(t, registry, func(c *server.Config, _ *server.Deps) { c.BodyLimit = 4096 })
	c := inference.NewGRPCInferenceServiceClient(conn)
	a := floats("a", []int64{1, 2}, 1, 2)
	for name, test := range map[string]struct {
		request *inference.ModelInferRequest
		code    codes.Code
		want    string
	}{
		"an unknown model":          {&inference.ModelInferRequest{ModelName: "none", Inputs: []*inputTensor{a}}, codes.NotFound, `"none"`},
		"no model":                  {&inference.ModelInferRequest{Inputs: []*inputTensor{a}}, codes.NotFound, `""`},
		"an unknown version":        {&inference.ModelInferRequest{ModelName: "two", ModelVersion: "2", Inputs: []*inputTensor{a}}, codes.NotFound, "version 2"},
		"a model that cannot serve": {&inference.ModelInferRequest{ModelName: "corrupt", Inputs: []*inputTensor{a}}, codes.Unavailable, "cannot be served"},
		"a missing input":           {&inference.ModelInferRequest{ModelName: "two", Inputs: []*inputTensor{a}}, codes.InvalidArgument, `input "b": is missing`},
		"no inputs":                 {&inference.ModelInferRequest{ModelName: "two"}, codes.InvalidArgument, "inputs: is empty"},
		"a message over the limit":  {&inference.ModelInferRequest{ModelName: "two", Id: strings.Repeat("x", 5000)}, codes.ResourceExhausted, "larger than max"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.ModelInfer(t.Context(), test.request)
			if s := status.Convert(err); s.Code() != test.code || !strings.Contains(s.Message(), test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := c.RepositoryModelUnload(t.Context(), &inference.RepositoryModelUnloadRequest{ModelName: "two"}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("anybody may unload a model: %v", err)
	}
	if text := string(r.get("/metrics").body); !strings.Contains(text, `forescale_grpc_requests_total{code="NotFound",method="ModelInfer"} 3`) {
		t.Error("the requests are not counted")
	}
}

// paused is a session that runs until it is told to go on, or its context ends.
type paused struct {
	catalog.Session
	began chan struct{}
	on    chan struct{}
}

func (s *paused) Run(ctx context.Context, b batch.Batch) ([]tensor.Tensor, error) {
	s.began <- struct{}{}
	select {
	case <-s.on:
		return s.Session.Run(ctx, b)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// startPaused runs a server over gRPC whose only model waits in every run.
func startPaused(t *testing.T, change func(*server.Config)) (*running, *grpc.ClientConn, *paused, *inference.ModelInferRequest) {
	registry := newShelf()
	registry.foreign("two", onnxtest.SumAndDifference())
	held := &paused{began: make(chan struct{}, 100), on: make(chan struct{})}
	r, conn, _ := startGRPC(t, registry, func(c *server.Config, d *server.Deps) {
		d.Load = func(model []byte) (catalog.Session, error) {
			s, err := loadORT(model)
			held.Session = s
			return held, err
		}
		if change != nil {
			change(c)
		}
	})
	shape := []int64{1, 2}
	return r, conn, held, &inference.ModelInferRequest{ModelName: "two", Inputs: []*inputTensor{floats("a", shape, 1, 2), floats("b", shape, 1, 2)}}
}

func TestTheDrainAnswersWhatWasAcceptedAndEndsWatchers(t *testing.T) {
	r, conn, held, request := startPaused(t, nil)
	watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the health is SERVING", func() bool {
		got, err := watch.Recv()
		return err == nil && got.GetStatus() == healthpb.HealthCheckResponse_SERVING
	})
	describe, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := describe.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	services, err := describe.Recv()
	if err != nil || !strings.Contains(services.String(), "inference.GRPCInferenceService") {
		t.Fatalf("reflection: %v, %v", services, err)
	}
	var answers sync.WaitGroup
	answers.Go(func() {
		if _, err := inference.NewGRPCInferenceServiceClient(conn).ModelInfer(t.Context(), request); err != nil {
			t.Errorf("a request that was accepted fails: %v", err)
		}
	})
	<-held.began
	r.stop()
	if got, err := watch.Recv(); err != nil || got.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("the watcher learns %v, %v", got, err)
	}
	if _, err := describe.Recv(); err == nil {
		t.Error("the reflection goes on")
	}
	close(held.on)
	answers.Wait()
	if err := r.close(); err != nil {
		t.Errorf("the server ends with %v", err)
	}
}

func TestADrainThatTakesTooLongEndsByForce(t *testing.T) {
	r, conn, held, request := startPaused(t, func(c *server.Config) { c.DrainTimeout = 50 * time.Millisecond })
	failed := make(chan error, 1)
	go func() {
		_, err := inference.NewGRPCInferenceServiceClient(conn).ModelInfer(t.Context(), request)
		failed <- err
	}()
	<-held.began
	if err := r.close(); err == nil || !strings.Contains(err.Error(), "still in progress") {
		t.Errorf("the server ends with %v", err)
	}
	if err := <-failed; err == nil {
		t.Error("the request is answered")
	}
}

func TestAGRPCRequestEndsAtItsDeadline(t *testing.T) {
	_, conn, _, request := startPaused(t, func(c *server.Config) { c.RequestTimeout = 50 * time.Millisecond })
	c := inference.NewGRPCInferenceServiceClient(conn)
	if _, err := c.ModelInfer(t.Context(), request); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the server's own deadline: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.ModelInfer(ctx, request); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the client's deadline: %v", err)
	}
}

func TestAClientThatNeverSendsItsMessageIsTurnedAway(t *testing.T) {
	registry := newShelf()
	_, conn, _ := startGRPC(t, registry, func(c *server.Config, _ *server.Deps) {
		c.ReadTimeout, c.RequestTimeout = 50*time.Millisecond, 50*time.Millisecond
	})
	for _, method := range []string{inference.GRPCInferenceService_ModelInfer_FullMethodName,
		healthpb.Health_Check_FullMethodName, healthpb.Health_Watch_FullMethodName} {
		call, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, method)
		if err != nil {
			t.Fatal(err)
		}
		if err := call.RecvMsg(&inference.ModelInferResponse{}); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%s: got %v", method, err)
		}
	}
}

func TestWatchersOfTheHealthAreBounded(t *testing.T) {
	const most, each = 1024, 256 // of all connections, of one
	_, conn, address := startGRPC(t, newShelf(), nil)
	watch := func(conn *grpc.ClientConn, service string) error {
		stream, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil {
			return err
		}
		_, err = stream.Recv()
		return err
	}
	if err := watch(conn, strings.Repeat("x", 256)); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a watch of a long name: %v", err)
	}
	for range most / each {
		many, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer many.Close()
		for range each {
			if err := watch(many, ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := watch(conn, ""); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one more: %v", err)
	}
	if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("a check beside them: %v", err)
	}
}

func TestGRPCFramesThatAreWrongHarmNobodyElse(t *testing.T) {
	registry := newShelf()
	registry.foreign("two", onnxtest.SumAndDifference())
	_, conn, address := startGRPC(t, registry, nil)
	c := inference.NewGRPCInferenceServiceClient(conn)
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frame := func(length int, kind, flags byte, stream uint32, payload string) string {
		b := []byte{byte(length >> 16), byte(length >> 8), byte(length), kind, flags}
		return string(binary.BigEndian.AppendUint32(b, stream)) + payload
	}
	settings := frame(0, 4, 0, 0, "")
	for name, bytes := range map[string]string{
		"HTTP/1":                              "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"TLS":                                 "\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03",
		"noise":                               strings.Repeat("\x00\xff\x13", 1000),
		"a preface and no more":               preface,
		"half a preface":                      preface[:10],
		"a frame longer than is allowed":      preface + settings + frame(1<<24-1, 0, 0, 1, ""),
		"data on a stream that is not there":  preface + settings + frame(4, 0, 1, 5, "data"),
		"headers that are no HPACK":           preface + settings + frame(4, 1, 5, 1, "\xff\xff\xff\xff"),
		"a continuation of nothing":           preface + settings + frame(0, 9, 4, 1, ""),
		"settings of an odd length":           preface + frame(5, 4, 0, 0, "12345"),
		"a window that grows by nothing":      preface + settings + frame(4, 8, 0, 0, "\x00\x00\x00\x00"),
		"a frame of a kind that there is not": preface + settings + frame(3, 200, 255, 1, "abc"),
		"a frame that is cut off":             preface + settings + frame(100, 1, 4, 1, "abc"),
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			if _, err := raw.Write([]byte(bytes)); err != nil {
				t.Fatal(err)
			}
			_ = raw.(*net.TCPConn).CloseWrite() // the server may have hung up by now
			if err := raw.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, raw); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Error("the server keeps the connection")
			}
			if got, err := c.ModelReady(t.Context(), &inference.ModelReadyRequest{Name: "two"}); err != nil || !got.GetReady() {
				t.Errorf("another client is answered %v, %v", got, err)
			}
		})
	}
}

// unparsed sends bytes as a message, whatever they are.
type unparsed struct{}

func (unparsed) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (unparsed) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }
func (unparsed) Name() string                       { return "proto" }

func TestMessagesThatAreNoProtocolBuffersAreRefused(t *testing.T) {
	registry := newShelf()
	registry.foreign("two", onnxtest.SumAndDifference())
	r, conn, _ := startGRPC(t, registry, nil)
	for name, c := range map[string]struct{ message, want string }{
		"a million empty inputs":                 {strings.Repeat("\x2a\x00", 1<<20), "more than 8192 parts"},
		"a million empty parameters of an input": {"\x2a\x80\x80\x80\x01" + strings.Repeat("\x22\x00", 1<<20), "more than 8192 parts"},
		"noise":                                  {"\xff\xff\xff\xff", "unmarshal"},
		"a string that is cut off":               {"\x0a\x7fabc", "unmarshal"},
		"a string that is not UTF-8":             {"\x0a\x01\xff", "UTF-8"},
		"groups without an end":                  {strings.Repeat("\x0b", 20000), "unmarshal"},
	} {
		t.Run(name, func(t *testing.T) {
			in, out := []byte(c.message), []byte(nil)
			err := conn.Invoke(t.Context(), inference.GRPCInferenceService_ModelInfer_FullMethodName, &in, &out, grpc.ForceCodec(unparsed{}))
			if s := status.Convert(err); s.Code() != codes.Internal || !strings.Contains(s.Message(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	if got := r.metric(`forescale_request_errors_total{reason="bad_request"}`); !strings.HasSuffix(got, " 6") {
		t.Errorf("counted: %s", got)
	}
	if err := conn.Invoke(t.Context(), "/inference.GRPCInferenceService/ModelStreamInfer", &inference.ServerLiveRequest{}, &inference.ServerLiveResponse{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("a method that there is not: %v", err)
	}
}

func TestTheHealthIsThatOfTheRegistryAtTheStart(t *testing.T) {
	registry := newShelf()
	registry.setAway(io.ErrUnexpectedEOF)
	r, conn, _ := startGRPC(t, registry, nil)
	check := func(service string) healthpb.HealthCheckResponse_ServingStatus {
		got, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil {
			t.Fatal(err)
		}
		return got.GetStatus()
	}
	if got := check(""); got != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("without a registry: %s", got)
	}
	if got := r.do(http.MethodGet, "/v2/health/ready", nil, nil, true); got.status != http.StatusServiceUnavailable {
		t.Errorf("without a registry: status %d", got.status)
	}
	registry.setAway(nil)
	eventually(t, "serving", func() bool { return check("inference.GRPCInferenceService") == healthpb.HealthCheckResponse_SERVING })
}

func TestAnAddressForGRPCThatIsTakenIsAnError(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := server.Defaults()
	cfg.Listen, cfg.GRPCListen = "127.0.0.1:0", taken.Addr().String()
	s, err := server.New(cfg, server.Deps{Registry: newShelf(), Load: loadORT, Step: time.Minute, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "listen for gRPC") {
		t.Errorf("got %v", err)
	}
}
