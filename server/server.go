package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/catalog"
	"github.com/forescale/forescale/server/dashboard"
)

// Deps are what the server works with. All are required, but for Samples and
// Journal, without which there is nothing to show.
type Deps struct {
	Registry catalog.Registry
	Load     catalog.Load // makes a session from a model file; ort.Load in production
	Samples  Samples
	Journal  Journal
	Step     time.Duration // length of a slot
	Log      *slog.Logger
	Now      func() time.Time
	// Listening is called once with the base URL when the server accepts
	// connections, and ListeningGRPC before it with the address, if there is gRPC.
	// Both may be nil.
	Listening     func(url string)
	ListeningGRPC func(address string)
}

// Server is the inference server.
type Server struct {
	cfg      Config
	deps     Deps
	catalog  *catalog.Catalog
	gate     *batch.Gate
	metrics  *metrics
	history  *history
	handler  http.Handler
	grpc     *grpcServer // nil: there is none
	draining atomic.Bool
}

// New returns a server that Run starts. The configuration must be valid.
func New(cfg Config, deps Deps) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Step <= 0 {
		return nil, fmt.Errorf("step %s is not positive", deps.Step)
	}
	if deps.Samples == nil {
		deps.Samples = noSamples{}
	}
	if deps.Journal == nil {
		deps.Journal = noJournal{}
	}
	s := &Server{cfg: cfg, deps: deps}
	s.gate = batch.NewGate(cfg.workers(), cfg.Queue, deps.Now, func(r batch.Report) { s.metrics.ran(r) })
	s.metrics = newMetrics(s.gate, deps.Now)
	s.catalog = catalog.New(
		catalog.Config{Reload: cfg.Reload, MemoryBudget: cfg.memoryBudget(), LoadTimeout: cfg.LoadTimeout, LoadAhead: cfg.LoadAhead},
		catalog.Deps{Registry: deps.Registry, Load: deps.Load, Observer: observer{s.metrics, s}, Log: deps.Log, Now: deps.Now,
			Idle: func() bool { return s.gate.Running() == 0 }})
	s.history = &history{samples: deps.Samples, journal: deps.Journal, target: s.catalog.Target, now: deps.Now,
		step: deps.Step, replay: cfg.Replay, newest: map[string]arrival{}}
	s.handler = s.routes()
	if cfg.GRPCListen != "" {
		s.grpc = newGRPC(s)
	}
	return s, nil
}

// observer is the metrics, and tells the health of gRPC that the registry was read.
type observer struct {
	*metrics
	server *Server
}

// RegistryRead implements catalog.Observer.
func (o observer) RegistryRead(err error) {
	o.metrics.RegistryRead(err)
	if g := o.server.grpc; err == nil && g != nil {
		g.ready()
	}
}

// Run listens and serves until ctx ends, drains, and returns nil. Any other
// return is an error.
func (s *Server) Run(ctx context.Context) error {
	defer s.catalog.Close()
	listener, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	group, work := errgroup.WithContext(ctx)
	// A request outlives the signal to stop; it ends with the drain.
	base, endAll := context.WithCancel(context.WithoutCancel(ctx))
	defer endAll()
	web := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: min(5*time.Second, s.cfg.ReadTimeout),
		ReadTimeout:       s.cfg.ReadTimeout,
		WriteTimeout:      s.cfg.WriteTimeout,
		IdleTimeout:       s.cfg.IdleTimeout,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(s.deps.Log.Handler(), slog.LevelDebug), // clients' mistakes
	}
	if s.grpc != nil {
		if err := s.serveGRPC(group); err != nil {
			_ = listener.Close()
			return err
		}
	}
	group.Go(func() error { return s.catalog.Run(work) })
	group.Go(func() error {
		if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-work.Done()
		return s.drain(web, endAll)
	})
	url := "http://" + listener.Addr().String()
	s.deps.Log.Info("listening", "url", url)
	if s.deps.Listening != nil {
		s.deps.Listening(url)
	}
	return group.Wait()
}

// serveGRPC listens for gRPC and serves it until the drain.
func (s *Server) serveGRPC(group *errgroup.Group) error {
	listener, err := net.Listen("tcp", s.cfg.GRPCListen)
	if err != nil {
		return fmt.Errorf("listen for gRPC: %w", err)
	}
	group.Go(func() error { return s.grpc.serve(listener) })
	address := listener.Addr().String()
	s.deps.Log.Info("listening for gRPC", "address", address)
	if s.deps.ListeningGRPC != nil {
		s.deps.ListeningGRPC(address)
	}
	return nil
}

// drain stops both servers: not ready first, then no new connections, then the
// requests in progress end, by force when they take too long.
func (s *Server) drain(web *http.Server, endAll context.CancelFunc) error {
	s.draining.Store(true)
	web.SetKeepAlivesEnabled(false)
	if s.grpc != nil {
		s.grpc.announce()
	}
	time.Sleep(s.cfg.DrainDelay)
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
	if err := both.Wait(); err != nil {
		return fmt.Errorf("drain: requests were still in progress after %s: %w", s.cfg.DrainTimeout, err)
	}
	s.deps.Log.Info("drained")
	return nil
}

// routes builds the handler.
func (s *Server) routes() http.Handler {
	e := echo.New()
	e.HTTPErrorHandler = s.answerError
	e.Use(s.observe)
	e.POST(api.RoutePredict, s.predict)
	for path, handler := range map[string]echo.HandlerFunc{
		api.RouteHealth:           s.health,
		api.RouteReady:            s.ready,
		api.RouteMetrics:          echo.WrapHandler(promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{})),
		api.RouteOpenAPI:          func(c echo.Context) error { return c.Blob(http.StatusOK, "application/yaml", api.OpenAPI) },
		api.RouteModels:           s.showModels,
		api.RouteGroups:           s.showGroups,
		api.RouteGroup + ":group": s.showGroup,
	} {
		e.GET(path, handler)
		e.HEAD(path, handler)
	}
	s.routeV2(e)
	dashboard.Register(e)
	return e
}

// observe bounds the time of a request, counts it, and turns a panic into an error.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		started := s.deps.Now()
		s.metrics.inFlight.Inc()
		r := c.Request()
		ctx, cancel := context.WithTimeout(r.Context(), s.cfg.RequestTimeout)
		c.SetRequest(r.WithContext(ctx))
		c.Response().Header().Set(echo.HeaderXContentTypeOptions, "nosniff")
		defer func() {
			if p := recover(); p != nil {
				s.metrics.panics.Inc()
				s.deps.Log.Error("handler panicked", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				err = errors.New("handler panicked")
			}
			if err != nil {
				c.Error(err) // answers now, so that the status can be counted
			}
			cancel()
			s.metrics.inFlight.Dec()
			route := c.Path()
			if status := c.Response().Status; route == "" || status == http.StatusNotFound && route == "/*" {
				route = "none"
			}
			s.metrics.requests.WithLabelValues(route, method(r.Method), strconv.Itoa(c.Response().Status)).Inc()
			s.metrics.duration.WithLabelValues(route).Observe(s.deps.Now().Sub(started).Seconds())
		}()
		return next(c)
	}
}

// method keeps what a client invents out of the metrics.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch:
		return m
	}
	return "other"
}

// answerError answers with the problem for an error. It is called for what the
// router refuses, too.
func (s *Server) answerError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	p := problemOf(err)
	if p.Status == http.StatusInternalServerError {
		var known *api.Problem
		if !errors.As(err, &known) {
			s.deps.Log.Error("request failed", "path", c.Request().URL.Path, "err", err)
		}
	}
	write := writeProblem
	if isV2(c.Request().URL.Path) {
		write = writeV2Error
	}
	if err := write(c.Response(), p); err != nil {
		s.deps.Log.Debug("answer not sent", "err", err)
	}
}

// health says that the process lives.
func (s *Server) health(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string]string{"status": "ok"})
}

// ready says whether the server can serve.
func (s *Server) ready(c echo.Context) error {
	if err := s.readiness(); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]string{"status": "ready"})
}

// modelList answers GET /api/v1/models.
type modelList struct {
	Registry catalog.RegistryStatus `json:"registry"`
	Models   []catalog.Status       `json:"models"`
}

func (s *Server) showModels(c echo.Context) error {
	list, registry := s.catalog.Status()
	return c.JSON(http.StatusOK, modelList{registry, list})
}

// noSamples and noJournal stand in for stores that are not configured.
type (
	noSamples struct{}
	noJournal struct{}
)

func (noSamples) Scan(context.Context, string, time.Time, time.Time) ([]api.Sample, error) {
	return nil, nil
}

func (noSamples) Groups(context.Context, time.Time, time.Time) ([]string, error) { return nil, nil }

func (noJournal) Scan(context.Context, time.Time, time.Time) ([]api.TickRecord, error) {
	return nil, nil
}

func (noJournal) Latest(context.Context, time.Time) (api.TickRecord, bool, error) {
	return api.TickRecord{}, false, nil
}
