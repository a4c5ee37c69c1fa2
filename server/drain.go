package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// listenerOnce is a listener that may be closed twice: by the drain, and by the end of
// the http.Server, to which a listener that is closed already is an error.
type listenerOnce struct {
	net.Listener
	once sync.Once
	err  error
}

func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &listenerOnce{Listener: l}, nil
}

// Close implements net.Listener.
func (l *listenerOnce) Close() error {
	l.once.Do(func() { l.err = l.Listener.Close() })
	return l.err
}

// countConnections implements http.Server.ConnState.
func (s *Server) countConnections(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.open.Add(-1)
	}
}

// drain stops both servers: not ready first, then no new connections, then the
// requests in progress end, by force when they take too long.
//
// A request may be on its way on any connection that is kept. So, for as long as the
// delay before, each gets the chance to bring it, and the answer ends the connection;
// only those that stayed idle are closed under their clients.
func (s *Server) drain(web *http.Server, listener net.Listener, endAll context.CancelFunc) error {
	s.draining.Store(true)
	if s.grpc != nil {
		s.grpc.announce()
	}
	time.Sleep(s.cfg.DrainDelay)
	s.live.Close() // streams have no end of their own, and come back to another server
	// In this order: who is asked to close must not find the listener open, whose queue
	// of connections the end of it resets.
	_ = listener.Close()
	s.closing.Store(true)
	for end := time.Now().Add(s.cfg.DrainDelay); s.open.Load() > 0 && time.Now().Before(end); {
		time.Sleep(min(10*time.Millisecond, s.cfg.DrainDelay))
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
	defer cancel()
	var both errgroup.Group
	if s.grpc != nil {
		both.Go(func() error { return s.grpc.drain(ctx) })
	}
	both.Go(func() error {
		err := web.Shutdown(ctx)
		if err != nil {
			endAll()
			_ = web.Close() // the listener is closed already
		}
		return err
	})
	switch err := both.Wait(); {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("drain: requests were still in progress after %s: %w", s.cfg.DrainTimeout, err)
	case err != nil:
		return fmt.Errorf("drain: %w", err)
	}
	s.deps.Log.Info("drained")
	return nil
}
