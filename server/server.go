package server

import (
	"context"
	"crypto/tls"
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
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/catalog"
	"github.com/forescale/forescale/server/dashboard"
	"github.com/forescale/forescale/server/live"
	"github.com/forescale/forescale/server/manual"
	"github.com/forescale/forescale/server/shadow"
	"github.com/forescale/forescale/server/view"
)

// Deps are what the server works with. All are required, but for Samples, Journal,
// Calendar, Models and Backtests, without which there is less to show.
type Deps struct {
	Registry catalog.Registry
	Load     catalog.Load // makes a session from a model file; ort.Load in production
	Samples  Samples      // a Marker too, if it can tell when there is something new
	Journal  Journal
	Calendar Calendar
	// Models is the registry beyond serving; with server.model_control requests may
	// change it.
	Models    Models
	Backtests Backtests
	Step      time.Duration // length of a slot
	Log       *slog.Logger
	Now       func() time.Time
	// Listening is called once with the base URL when the server accepts
	// connections, and ListeningGRPC before it with the address, if there is gRPC.
	// Both may be nil.
	Listening     func(url string)
	ListeningGRPC func(address string)
}

// Server is the inference server.
type Server struct {
	cfg     Config
	deps    Deps
	catalog *catalog.Catalog
	gate    *batch.Gate
	metrics *metrics
	mirror  *shadow.Mirror
	// shadowLog bounds what is logged of shadows that fail, faultLog of runs that do.
	shadowLog, faultLog *rate.Limiter
	access              *accessLog
	tracer              trace.Tracer // set by Run before it serves
	view                *view.View
	answers             answers // of what pages ask
	live                *live.Hub
	handler             http.Handler
	grpc                *grpcServer // nil: there is none
	draining            atomic.Bool
	closing             atomic.Bool  // every answer over HTTP ends its connection
	open                atomic.Int64 // connections over HTTP
	keeper              *gatekeeper
}

// New returns a server that Run starts. The configuration must be valid.
func New(cfg Config, deps Deps) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Step <= 0 {
		return nil, fmt.Errorf("step %s is not positive", deps.Step)
	}
	s := &Server{cfg: cfg, deps: deps, access: newAccessLog(cfg.AccessLog, deps.Log), tracer: noTracer}
	s.gate = batch.NewGate(cfg.workers(), cfg.Queue, deps.Now, runs{s})
	s.metrics = newMetrics(s.gate, deps.Now)
	s.catalog = catalog.New(
		catalog.Config{Reload: cfg.Reload, MemoryBudget: cfg.memoryBudget(), LoadTimeout: cfg.LoadTimeout, Latest: cfg.Latest, LoadAhead: cfg.LoadAhead},
		catalog.Deps{Registry: deps.Registry, Load: deps.Load, Observer: observer{s.metrics, s}, Log: deps.Log, Now: deps.Now,
			Idle: func() bool { return s.gate.Running() == 0 }})
	s.metrics.registry.MustRegister(newModelMetrics(s.catalog.Status))
	s.shadowLog, s.faultLog = rate.NewLimiter(rate.Every(10*time.Second), 1), rate.NewLimiter(1, 20)
	s.mirror = shadow.New(observer{s.metrics, s}, func() bool { return s.gate.Waiting() > 0 }, deps.Now)
	s.view = newView(cfg, deps, standings{s.catalog})
	s.live = s.newLive()
	var err error
	if s.keeper, err = newGatekeeper(cfg.Config, deps.Log, deps.Now, s.metrics.registry); err != nil {
		return nil, err
	}
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
	stopTracing, err := s.startTracing(ctx)
	if err != nil {
		return err
	}
	defer stopTracing()
	listener, err := listen(s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	group, work := errgroup.WithContext(ctx)
	// A request outlives the signal to stop; it ends with the drain.
	base, endAll := context.WithCancel(context.WithoutCancel(ctx))
	defer endAll()
	web := s.web(base)
	if err := s.serveProfiles(work, group); err != nil {
		_ = listener.Close()
		return err
	}
	if s.grpc != nil {
		if err := s.serveGRPC(group); err != nil {
			_ = listener.Close()
			return err
		}
	}
	s.keeper.warn(s.cfg)
	group.Go(func() error { return s.catalog.Run(work) })
	group.Go(func() error { return s.mirror.Run(work) })
	group.Go(func() error { return s.watch(work) })
	group.Go(func() error { s.keeper.run(work); return nil })
	url := "http://" + listener.Addr().String()
	if certs := s.keeper.certs; certs != nil {
		url = "https://" + listener.Addr().String()
		// HTTP/1.1 alone, as without TLS: the time limits above are made for it.
		listener = tls.NewListener(listener, certs.Config("http/1.1"))
	}
	group.Go(func() error {
		if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) && !s.draining.Load() {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-work.Done()
		return s.drain(web, listener, endAll)
	})
	s.deps.Log.Info("listening", "url", url)
	if s.deps.Listening != nil {
		s.deps.Listening(url)
	}
	return group.Wait()
}

// web returns the server over HTTP. The contexts of its requests end with base.
func (s *Server) web(base context.Context) *http.Server {
	return &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: min(5*time.Second, s.cfg.ReadTimeout),
		ReadTimeout:       s.cfg.ReadTimeout,
		WriteTimeout:      s.cfg.WriteTimeout,
		IdleTimeout:       s.cfg.IdleTimeout,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnState:         s.countConnections,
		ErrorLog:          slog.NewLogLogger(s.deps.Log.Handler(), slog.LevelDebug), // clients' mistakes
	}
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

// routes builds the handler.
func (s *Server) routes() http.Handler {
	e := echo.New()
	e.HTTPErrorHandler = s.answerError
	e.Use(except(api.RouteStream, s.observe, s.observeStream), s.keeper.guarded, newBodies(s.cfg.BodyLimit).bounded)
	e.POST(api.RoutePredict, s.predict)
	e.POST(api.RouteModel+":model/:change", s.changeModel)
	e.POST(api.RouteNotify, s.notify)
	e.POST(api.RouteSession, s.login)
	e.DELETE(api.RouteSession, s.logout)
	e.GET(api.RouteStream, s.stream)
	for path, handler := range map[string]echo.HandlerFunc{
		api.RouteHealth:               s.health,
		api.RouteReady:                s.ready,
		api.RouteMetrics:              echo.WrapHandler(promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{})),
		api.RouteOpenAPI:              func(c echo.Context) error { return c.Blob(http.StatusOK, "application/yaml", api.OpenAPI) },
		api.RouteModels:               s.showModels,
		api.RouteModel + ":model":     s.showModel,
		api.RouteGroups:               s.showGroups,
		api.RouteGroup + ":group":     s.showGroup,
		api.RouteFleet:                s.showFleet,
		api.RouteSession:              s.showSession,
		api.RouteBacktests:            s.showBacktests,
		api.RouteBacktest + ":report": s.showBacktest,
	} {
		e.GET(path, handler)
		e.HEAD(path, handler)
	}
	s.routeV2(e)
	dashboard.Register(e)
	manual.Register(e)
	return e
}

// observe bounds the time of a request, counts it, and turns a panic into an error.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		started := s.deps.Now()
		s.metrics.inFlight.Inc()
		r := c.Request()
		ctx, span := s.span(r.Context(), propagation.HeaderCarrier(r.Header), method(r.Method)+" "+c.Path())
		ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
		c.SetRequest(r.WithContext(ctx))
		c.Response().Header().Set(echo.HeaderXContentTypeOptions, "nosniff")
		if s.closing.Load() {
			c.Response().Header().Set(echo.HeaderConnection, "close")
		}
		defer func() {
			if p := recover(); p != nil {
				s.metrics.panics.Inc()
				s.deps.Log.Error("handler panicked", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				err = errors.New("handler panicked")
			}
			if err != nil {
				s.metrics.errors.WithLabelValues(reasonOf(err)).Inc()
				c.Error(err) // answers now, so that the status can be counted
			}
			cancel()
			s.metrics.inFlight.Dec()
			route := c.Path()
			if status := c.Response().Status; route == "" || status == http.StatusNotFound && route == "/*" {
				route = "none"
			}
			took, status := s.deps.Now().Sub(started), c.Response().Status
			s.metrics.requests.WithLabelValues(route, method(r.Method), strconv.Itoa(status)).Inc()
			s.metrics.duration.WithLabelValues(route).Observe(took.Seconds())
			span.SetAttributes(attribute.String("http.request.method", method(r.Method)), attribute.String("http.route", route), attribute.Int("http.response.status_code", status))
			failed := status >= http.StatusInternalServerError
			endSpan(span, failed, err)
			s.access.note(ctx, visit{"http", method(r.Method), route, strconv.Itoa(status), r.RemoteAddr, c.Response().Size, took, failed, err})
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
