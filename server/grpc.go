package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/forescale/forescale/api/inference"
)

// gRPC has a port of its own: on the port of HTTP it would have to go through
// net/http's HTTP/2, which has neither a policy for keepalive nor an end for idle
// connections, and takes more of the processor for each message.

// Bounds of a gRPC connection. What a client may ping is what the common clients do.
const (
	grpcStreams      = 256 // requests at once
	grpcHeaders      = 64 << 10
	grpcHandshake    = 5 * time.Second
	grpcPingEvery    = time.Minute      // is a silent client still there?
	grpcPingTimeout  = 20 * time.Second // for its answer
	grpcClientPings  = 10 * time.Second // a client that pings more often is cut off
	grpcBufferGrowth = 16 << 10
)

// grpcServer serves the protocol over gRPC. Run's goroutines own it.
type grpcServer struct {
	server *Server
	rpc    *grpc.Server
	health *health.Server
	// ending ends the calls that would otherwise go on for as long as the client
	// likes: to watch the health, to reflect.
	ending context.Context
	end    context.CancelFunc
	// base ends every call, when the drain has taken too long.
	base   context.Context
	endAll context.CancelFunc
	once   sync.Once // marks the server as serving
	// watchers counts the watches of the health that go on.
	watchers atomic.Int64
}

func newGRPC(s *Server) *grpcServer {
	g := &grpcServer{server: s, health: health.NewServer()}
	g.ending, g.end = context.WithCancel(context.Background())
	g.base, g.endAll = context.WithCancel(context.Background())
	secure := grpc.Creds(insecure.NewCredentials())
	if certs := s.keeper.certs; certs != nil {
		secure = grpc.Creds(credentials.NewTLS(certs.Config("h2")))
	}
	g.rpc = grpc.NewServer(
		secure,
		grpc.MaxRecvMsgSize(int(s.cfg.BodyLimit)), grpc.ForceServerCodecV2(newBoundedCodec(func() { s.metrics.errors.WithLabelValues("bad_request").Inc() })),
		grpc.MaxConcurrentStreams(grpcStreams),
		grpc.MaxHeaderListSize(grpcHeaders),
		grpc.ConnectionTimeout(min(grpcHandshake, s.cfg.ReadTimeout)),
		grpc.ReadBufferSize(grpcBufferGrowth), grpc.WriteBufferSize(grpcBufferGrowth),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: s.cfg.IdleTimeout, Time: grpcPingEvery, Timeout: grpcPingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: grpcClientPings, PermitWithoutStream: true}),
		grpc.InTapHandle(g.bound), grpc.UnaryInterceptor(g.unary), grpc.StreamInterceptor(g.stream),
	)
	inference.RegisterGRPCInferenceServiceServer(g.rpc, &inferenceService{server: s})
	healthpb.RegisterHealthServer(g.rpc, g.health)
	reflection.Register(g.rpc)
	g.setHealth(healthpb.HealthCheckResponse_NOT_SERVING)
	return g
}

// setHealth sets the health of the server and of its one service.
func (g *grpcServer) setHealth(s healthpb.HealthCheckResponse_ServingStatus) {
	g.health.SetServingStatus("", s)
	g.health.SetServingStatus(inference.GRPCInferenceService_ServiceDesc.ServiceName, s)
}

// ready marks the server as serving, the first time that the registry could be
// read. It does nothing once the drain has begun.
func (g *grpcServer) ready() {
	g.once.Do(func() { g.setHealth(healthpb.HealthCheckResponse_SERVING) })
}

// serve serves until the drain.
func (g *grpcServer) serve(listener net.Listener) error {
	if err := g.rpc.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve gRPC: %w", err)
	}
	return nil
}

// announce tells those who watch the health that the end is near.
func (g *grpcServer) announce() { g.health.Shutdown() }

// drain lets the calls in progress end, by force when ctx ends first.
func (g *grpcServer) drain(ctx context.Context) error {
	g.end()
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.rpc.GracefulStop()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		g.endAll()
		g.rpc.Stop() // GracefulStop returns then, too
		<-done
		return context.Cause(ctx)
	}
}

// bound admits a call, and bounds its time from its header on: the interceptor sees a
// call only when its message is there, which a client may never finish.
func (g *grpcServer) bound(ctx context.Context, info *tap.Info) (context.Context, error) {
	if err := g.server.keeper.admitGRPC(ctx, info); err != nil {
		g.server.refusedCall(info.FullMethodName, err)
		return ctx, err
	}
	limit := g.server.cfg.ReadTimeout + g.server.cfg.RequestTimeout
	switch name := info.FullMethodName; {
	case strings.HasPrefix(name, "/"+inference.GRPCInferenceService_ServiceDesc.ServiceName+"/"):
	case name == healthpb.Health_Check_FullMethodName, name == healthpb.Health_List_FullMethodName:
		limit = g.healthTime()
	default:
		return ctx, nil // a watch and reflection go on for as long as the client likes
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	context.AfterFunc(ctx, cancel) // when the call has ended
	return bounded, nil
}

// refusedCall counts a call that no interceptor sees. Its method may be any text.
func (s *Server) refusedCall(method string, err error) {
	name, reason := path.Base(method), "forbidden"
	if _, known := neededGRPC[name]; !known {
		name = "other"
	}
	if status.Code(err) == codes.ResourceExhausted {
		reason = "too_many"
	}
	s.metrics.calls.WithLabelValues(name, status.Code(err).String()).Inc()
	s.metrics.errors.WithLabelValues(reason).Inc()
}

// unary bounds the time of a call, counts it, and turns errors and panics into a
// status.
func (g *grpcServer) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	s := g.server
	started := s.deps.Now()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	stop := context.AfterFunc(g.base, cancel)
	defer stop()
	name := path.Base(info.FullMethod)
	headers, _ := metadata.FromIncomingContext(ctx)
	ctx, span := s.span(ctx, metadataCarrier(headers), strings.TrimPrefix(info.FullMethod, "/"))
	defer func() {
		if p := recover(); p != nil {
			s.metrics.panics.Inc()
			s.deps.Log.Error("handler panicked", "method", name, "panic", p, "stack", string(debug.Stack()))
			answer, err = nil, status.Error(codes.Internal, "the server could not answer; its log says why")
		}
		code, took := status.Code(err), s.deps.Now().Sub(started)
		s.metrics.calls.WithLabelValues(name, code.String()).Inc()
		s.metrics.callTime.WithLabelValues(name).Observe(took.Seconds())
		span.SetAttributes(attribute.String("rpc.system", "grpc"), attribute.String("rpc.method", name), attribute.Int("rpc.grpc.status_code", int(code)))
		failed := code == codes.Internal || code == codes.Unavailable || code == codes.DeadlineExceeded
		endSpan(span, failed, err)
		address := ""
		if from, ok := peer.FromContext(ctx); ok {
			address = from.Addr.String()
		}
		s.access.note(ctx, visit{"grpc", name, info.FullMethod, code.String(), address, -1, took, failed, err})
	}()
	answer, err = handler(ctx, req)
	if err != nil {
		s.metrics.errors.WithLabelValues(reasonOf(err)).Inc()
	}
	return answer, s.grpcError(name, err)
}

// stream ends a call with many messages when the drain begins.
func (g *grpcServer) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	stop := context.AfterFunc(g.ending, cancel)
	defer stop()
	stream = &endingStream{stream, ctx}
	if info.FullMethod == healthpb.Health_Watch_FullMethodName {
		return g.watch(srv, stream, handler)
	}
	return handler(srv, stream)
}

// endingStream is a stream whose receiving ends with a context of its own.
type endingStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (s *endingStream) Context() context.Context { return s.ctx }

// RecvMsg implements grpc.ServerStream.
func (s *endingStream) RecvMsg(m any) error {
	received := make(chan error, 1)
	go func() { received <- s.ServerStream.RecvMsg(m) }() // ends with the call at the latest
	select {
	case err := <-received:
		return err
	case <-s.ctx.Done():
		return status.Error(codes.Unavailable, "the server is shutting down")
	}
}

// grpcError turns the error of a handler into a status, by the same rules as
// problemOf.
func (s *Server) grpcError(method string, err error) error {
	if _, already := status.FromError(err); err == nil || already {
		return err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, "the request was not done in time")
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, "the request was cancelled")
	}
	p := problemOf(err)
	text := p.Detail
	if p.Field != "" {
		text = p.Field + ": " + text
	}
	code, known := map[int]codes.Code{
		http.StatusBadRequest: codes.InvalidArgument, http.StatusUnprocessableEntity: codes.InvalidArgument,
		http.StatusForbidden: codes.PermissionDenied, http.StatusNotFound: codes.NotFound,
		http.StatusTooManyRequests: codes.ResourceExhausted, http.StatusServiceUnavailable: codes.Unavailable,
	}[p.Status]
	if !known {
		code = codes.Internal
		s.deps.Log.Error("request failed", "method", method, "err", err)
	}
	return status.Error(code, text)
}
