package server

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/api/inference"
	"github.com/forescale/forescale/server/access"
	"github.com/forescale/forescale/server/session"
)

// needed says which rights let a request through, by the route: any of them does. A
// route that is not here needs some right, whichever: nobody else learns which
// paths there are. Health is for whoever starts and stops the process, and tells
// nothing but whether it can serve.
var needed = map[string]access.Rights{
	api.RouteHealth: 0, api.RouteReady: 0, v2Root + "/health/live": 0, v2Root + "/health/ready": 0,

	api.RoutePredict: access.Predict, v2Model + "/infer": access.Predict, v2Version + "/infer": access.Predict,
	v2Root: access.Predict | access.Read, v2Root + "/": access.Predict | access.Read,
	v2Model: access.Predict | access.Read, v2Version: access.Predict | access.Read,
	v2Model + "/ready": access.Predict | access.Read, v2Version + "/ready": access.Predict | access.Read,
	v2Root + "/repository/index": access.Read | access.Admin,
	v2Control + "/load":          access.Admin, v2Control + "/unload": access.Admin,
	api.RouteMetrics: access.Metrics,
	api.RouteModels:  access.Read, api.RouteModel + ":model": access.Read, api.RouteModel + ":model/:change": access.Admin,
	api.RouteGroups: access.Read, api.RouteGroup + ":group": access.Read, api.RouteFleet: access.Read,
	api.RouteBacktests: access.Read, api.RouteBacktest + ":report": access.Read,
	api.RouteStream: access.Read, api.RouteNotify: access.Notify,
	// The page itself holds nothing but the way to log in.
	api.RouteDashboard: 0,
}

// neededGRPC is the same by the method of the one service.
var neededGRPC = map[string]access.Rights{
	"ServerLive": 0, "ServerReady": 0,
	"ServerMetadata": access.Predict | access.Read, "ModelReady": access.Predict | access.Read, "ModelMetadata": access.Predict | access.Read,
	"ModelInfer": access.Predict, "RepositoryIndex": access.Read | access.Admin,
	"RepositoryModelLoad": access.Admin, "RepositoryModelUnload": access.Admin,
}

func rightsFor(route string) access.Rights {
	if need, known := needed[route]; known {
		return need
	}
	if strings.HasPrefix(route, "/dashboard/") { // the files of the page
		return 0
	}
	return access.All
}

func rightsForGRPC(method string) access.Rights {
	if need, known := neededGRPC[path.Base(method)]; known && path.Dir(method) == "/"+inference.GRPCInferenceService_ServiceDesc.ServiceName {
		return need
	}
	if strings.HasPrefix(method, "/"+healthpb.Health_ServiceDesc.ServiceName+"/") {
		return 0
	}
	return access.All
}

// gatekeeper lets requests in or tells why not, over HTTP and gRPC.
type gatekeeper struct {
	guard    *access.Guard
	certs    *access.Certificates // nil: there is no TLS
	sessions *session.Sessions
	log      *slog.Logger
	now      func() time.Time
	refused  *prometheus.CounterVec // reason
	reloads  *prometheus.CounterVec // result

	toldAt atomic.Int64 // Unix time of the last refusal in the log
	untold atomic.Int64 // refusals since
}

// refusalLog is how often refusals are logged, at most: whoever causes them must not
// be able to fill a disk.
const refusalLog = 10 * time.Second

// newGatekeeper reads the TLS files, and registers its metrics.
func newGatekeeper(cfg access.Config, log *slog.Logger, now func() time.Time, registry *prometheus.Registry) (*gatekeeper, error) {
	guard, err := access.New(cfg, now)
	if err != nil {
		return nil, err
	}
	g := &gatekeeper{guard: guard, sessions: session.New(now), log: log, now: now}
	g.refused = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "forescale", Name: "access_refused_total",
		Help: "Requests refused, by reason: unauthenticated, forbidden or limited."}, []string{"reason"})
	g.reloads = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "forescale", Name: "tls_reloads_total",
		Help: "New TLS files found, by result: ok or error."}, []string{"result"})
	for _, reason := range []access.Reason{access.Unauthenticated, access.Forbidden, access.Limited} {
		g.refused.WithLabelValues(string(reason))
	}
	registry.MustRegister(g.refused)
	if !cfg.Encrypts() {
		return g, nil
	}
	if g.certs, err = access.OpenTLS(cfg.TLS, now); err != nil {
		return nil, err
	}
	registry.MustRegister(g.reloads, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "forescale",
		Name: "tls_certificate_not_after_timestamp_seconds", Help: "Unix time at which the server's certificate runs out."},
		func() float64 { return float64(g.certs.NotAfter().Unix()) }))
	return g, nil
}

// run reads the TLS files again and again until ctx ends.
func (g *gatekeeper) run(ctx context.Context) {
	if g.certs != nil {
		g.certs.Run(ctx, g.log, func(err error) { g.reloads.WithLabelValues(result(err)).Inc() })
	}
}

// warn tells, once, what was allowed by name and should not be by accident.
func (g *gatekeeper) warn(cfg Config) {
	if loopback(cfg.Listen) && (cfg.GRPCListen == "" || loopback(cfg.GRPCListen)) {
		return
	}
	if !cfg.Authenticates() {
		g.log.Warn("everyone who can reach this server may do everything", "key", "server.allow_anonymous")
	} else if !cfg.Encrypts() {
		g.log.Warn("tokens and data travel in clear text, unless something else encrypts them", "key", "server.allow_plaintext")
	}
}

// admit returns who makes a request, or the *access.Refusal, which it has counted.
func (g *gatekeeper) admit(c access.Caller, need access.Rights, what string) (access.Known, error) {
	known, err := g.guard.Admit(c, need)
	if err != nil {
		g.refuse(c.Remote, err, what)
	}
	return known, err
}

// refuse counts a refusal, and logs it if it is time to.
func (g *gatekeeper) refuse(remote string, err error, what string) {
	var refusal *access.Refusal
	if !errors.As(err, &refusal) {
		return
	}
	g.refused.WithLabelValues(string(refusal.Reason)).Inc()
	g.untold.Add(1)
	last, now := g.toldAt.Load(), g.now().Unix()
	due := now-last >= int64(refusalLog/time.Second) || now < last // somebody has set the clock back
	if due && g.toldAt.CompareAndSwap(last, now) {
		g.log.Warn("requests refused", "count", g.untold.Swap(0), "newest", what, "remote", remote,
			"client", refusal.Client, "reason", refusal.Reason, "err", refusal.Detail)
	}
}

// shut are the headers that keep browsers from doing anything with an answer that it
// is not for: data must neither be run nor framed, nor kept. The pages set a policy of
// their own over it. The values are shared by all answers, which saves each of them
// an allocation a header; whoever changes one sets another value.
//
// Strict transport security is not among them: it would hold for every other port
// of the host.
var shut = http.Header{
	echo.HeaderContentSecurityPolicy: {"default-src 'none'; frame-ancestors 'none'"},
	echo.HeaderReferrerPolicy:        {"no-referrer"},
	echo.HeaderXFrameOptions:         {"DENY"},
	"Cross-Origin-Resource-Policy":   {"same-origin"},
	echo.HeaderCacheControl:          {"no-store"},
}

// guarded lets a request through that may be made, and shuts what it answers.
func (g *gatekeeper) guarded(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r, h := c.Request(), c.Response().Header()
		maps.Copy(h, shut)
		need := rightsFor(c.Path())
		if c.Path() == api.RouteSession && r.Method == http.MethodPost {
			need = 0 // whoever logs in is not known yet
		}
		if need == 0 {
			return next(c)
		}
		who := caller(r)
		var opened session.Session
		if len(who.Authorization) == 0 && len(r.Header[headerCookie]) > 0 {
			if one, ok := g.sessionOf(r); ok {
				opened, who.Session = one, one.Client
			}
		}
		known, err := g.admit(who, need, r.Method+" "+c.Path())
		if err == nil && known.Session {
			err = checkChange(r, opened)
		}
		if err != nil {
			challenge(h, r, err)
			return err
		}
		if need&access.Predict == 0 || need == access.All { // a forecast shall not cost the memory
			c.Set(knownKey, known)
		}
		return next(c)
	}
}

const headerCookie = "Cookie"

// caller returns what is known of who makes a request, but for its session.
func caller(r *http.Request) access.Caller {
	c := access.Caller{Remote: r.RemoteAddr, Authorization: r.Header[echo.HeaderAuthorization]}
	if r.TLS != nil {
		c.Chains = r.TLS.VerifiedChains
	}
	return c
}

// challenge sets the headers that tell a client what to do about a refusal. A
// browser that opens a page asks for a password then, which is the token, with any
// user. A page that asks for data does not let it: it has a login of its own.
//
// Source: Fetch Metadata Request Headers, section 2.1: Sec-Fetch-Dest is "empty" for
// what a script asks for.
func challenge(h http.Header, r *http.Request, err error) {
	var refusal *access.Refusal
	if !errors.As(err, &refusal) {
		return
	}
	switch refusal.Reason {
	case access.Unauthenticated:
		h.Add(echo.HeaderWWWAuthenticate, `Bearer realm="forescale"`)
		if r.Header.Get("Sec-Fetch-Dest") != "empty" {
			h.Add(echo.HeaderWWWAuthenticate, `Basic realm="forescale: the password is the token", charset="UTF-8"`)
		}
	case access.Limited:
		h.Set(echo.HeaderRetryAfter, strconv.Itoa(seconds(refusal.Wait)))
	}
}

// seconds rounds up.
func seconds(d time.Duration) int { return int(math.Ceil(min(d, time.Hour).Seconds())) }

// problemOfRefusal returns what a refused request is answered with.
func problemOfRefusal(r *access.Refusal) *api.Problem {
	code := map[access.Reason]int{access.Unauthenticated: http.StatusUnauthorized, access.Forbidden: http.StatusForbidden,
		access.Limited: http.StatusTooManyRequests}[r.Reason]
	return problem(code, "", "%s", r.Detail)
}

// admitGRPC is guarded for a call of gRPC, before its message is read. Its error is
// a status.
func (g *gatekeeper) admitGRPC(ctx context.Context, info *tap.Info) error {
	caller := access.Caller{Authorization: info.Header.Get("authorization")}
	if p, ok := peer.FromContext(ctx); ok {
		caller.Remote, caller.Chains = p.Addr.String(), chains(p.AuthInfo)
	}
	_, err := g.admit(caller, rightsForGRPC(info.FullMethodName), "gRPC")
	var refusal *access.Refusal
	if !errors.As(err, &refusal) {
		return err
	}
	code := map[access.Reason]codes.Code{access.Unauthenticated: codes.Unauthenticated, access.Forbidden: codes.PermissionDenied,
		access.Limited: codes.ResourceExhausted}[refusal.Reason]
	return status.Error(code, refusal.Detail)
}

func chains(auth credentials.AuthInfo) [][]*x509.Certificate {
	if secure, ok := auth.(credentials.TLSInfo); ok {
		return secure.State.VerifiedChains
	}
	return nil
}
