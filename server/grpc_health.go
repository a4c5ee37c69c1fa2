package server

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// The health is for everyone, with a token or not, and a watch of it has no end. What
// strangers can hold by it is bounded apart from all else.
const (
	maxWatchers    = 1024 // watches at once, of all clients; each takes about 12 KB
	maxServiceName = 255  // bytes; a watch keeps it
)

// healthTime bounds the call of a check, and how long a watch may take to say what it
// is for: some bytes, which come with the header.
func (g *grpcServer) healthTime() time.Duration { return min(grpcHandshake, g.server.cfg.ReadTimeout) }

// watch serves a watch of the health, unless there are too many.
func (g *grpcServer) watch(srv any, stream grpc.ServerStream, handler grpc.StreamHandler) error {
	defer g.watchers.Add(-1)
	if g.watchers.Add(1) > maxWatchers {
		return status.Errorf(codes.ResourceExhausted, "there are %d watchers of the health already; ask with Check", maxWatchers)
	}
	return handler(srv, &watchStream{stream, g.healthTime()})
}

// watchStream is a stream whose one message must be there within a time, and small.
type watchStream struct {
	grpc.ServerStream
	within time.Duration
}

// RecvMsg implements grpc.ServerStream.
func (s *watchStream) RecvMsg(m any) error {
	received := make(chan error, 1)
	go func() { received <- s.ServerStream.RecvMsg(m) }() // ends with the call at the latest
	late := time.NewTimer(s.within)
	defer late.Stop()
	select {
	case err := <-received:
		if w, ok := m.(*healthpb.HealthCheckRequest); ok && err == nil && len(w.GetService()) > maxServiceName {
			return status.Errorf(codes.InvalidArgument, "service: longer than %d bytes", maxServiceName)
		}
		return err
	case <-late.C:
		return status.FromContextError(context.DeadlineExceeded).Err()
	}
}
