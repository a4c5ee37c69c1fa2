package server

import (
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/forescale/forescale/server/live"
)

// late is a listener whose Accept notices the end only when the http.Server closes it.
type late struct {
	net.Listener
	accepting, closed chan struct{}
}

func (l late) Accept() (net.Conn, error) {
	close(l.accepting)
	<-l.closed
	return l.Listener.Accept()
}

func (l late) Close() error {
	defer close(l.closed)
	return l.Listener.Close()
}

func TestADrainThatIsQuickerThanTheListenerNoticesIsNoFault(t *testing.T) {
	listener, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := late{listener, make(chan struct{}), make(chan struct{})}
	web, served := &http.Server{}, make(chan error, 1)
	go func() { served <- web.Serve(l) }()
	<-l.accepting
	s := &Server{cfg: Config{DrainTimeout: time.Minute}, deps: Deps{Log: slog.New(slog.DiscardHandler)}, live: live.New(time.Now, nil)}
	if err := s.drain(web, listener, func() { t.Error("requests were ended by force") }); err != nil {
		t.Error(err)
	}
	if err := <-served; err != http.ErrServerClosed {
		t.Error(err)
	}
}
