package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/api/inference"
	"github.com/forescale/forescale/internal/certtest"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/server"
	"github.com/forescale/forescale/server/access"
)

// shelfWithForeign is a registry with the model foreign.
func shelfWithForeign() *shelf {
	registry := newShelf()
	registry.foreign("foreign", onnxtest.Foreign())
	return registry
}

// oneTokenEach configures a client for each right and returns their tokens, by right.
func oneTokenEach(cfg *server.Config) map[string]string {
	tokens := map[string]string{}
	for _, right := range []string{"predict", "read", "metrics", "admin", "notify"} {
		token, hash := access.NewToken()
		tokens[right] = token
		cfg.Clients = append(cfg.Clients, access.Client{Name: "the " + right, Token: hash, Rights: []string{right}})
	}
	return tokens
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func TestEachPathOfTheInterfaceNeedsARight(t *testing.T) {
	var tokens map[string]string
	r := start(t, shelfWithForeign(), func(cfg *server.Config, _ *server.Deps) { tokens = oneTokenEach(cfg); cfg.ModelControl = true })
	eventually(t, "ready", func() bool { return r.get(api.RouteReady).status == http.StatusOK })
	anyone := []string{"predict", "read", "metrics", "admin", "notify"}
	// Those who may, by method and path; nobody listed: everyone. openapi.yaml has the others.
	want := map[string][]string{"GET /": nil, "GET /dashboard/icon.svg": nil, "GET /nothing/here": anyone, "GET /dashboards": anyone}
	doc, err := openapi3.NewLoader().LoadFromData(api.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			var rights []string
			if list, given := operation.Extensions["x-rights"].([]interface{}); given {
				for _, right := range list {
					rights = append(rights, right.(string))
				}
			}
			open := strings.Contains(path, "/health") || path == api.RouteReady || operation.OperationID == "login"
			if open != (rights == nil) || method != http.MethodHead && rights != nil && operation.Responses.Status(http.StatusUnauthorized) == nil {
				t.Errorf("%s %s: the rights are %v", method, path, rights)
			}
			want[method+" "+path] = rights
		}
	}
	fill := strings.NewReplacer("{model}", "foreign", "{version}", "1", "{group}", "web", "{change}", "promote", "{report}", "none")
	for operation, may := range want {
		method, path, _ := strings.Cut(fill.Replace(operation), " ")
		if path == api.RouteStream { // which does not end for those who may; they are looked at elsewhere
			if opens := whoOpensTheStream(r, tokens); !slices.Equal(opens, may) {
				t.Errorf("%s is opened by %v", operation, opens)
			}
			continue
		}
		got := r.do(method, path, nil, nil, true)
		if refused := got.status == http.StatusUnauthorized; refused != (may != nil) {
			t.Errorf("%s %s without a token: status %d", method, path, got.status)
		}
		if may != nil && len(got.header.Values("WWW-Authenticate")) != 2 {
			t.Errorf("%s %s does not say how to show a token: %v", method, path, got.header)
		}
		for right, token := range tokens {
			got := r.do(method, path, nil, bearer(token), true)
			lacks := strings.Contains(string(got.body), "lacks the right")
			if refused := got.status == http.StatusForbidden && lacks; refused == (may == nil || slices.Contains(may, right)) {
				t.Errorf("%s %s with the right %s: status %d: %s", method, path, right, got.status, got.body)
			}
			if got.status == http.StatusUnauthorized || strings.Contains(string(got.body), token) {
				t.Errorf("%s %s with the right %s: status %d: %s", method, path, right, got.status, got.body)
			}
		}
	}
	metrics := string(r.do(http.MethodGet, "/metrics", nil, bearer(tokens["metrics"]), false).body)
	for _, reason := range []string{"unauthenticated", "forbidden"} {
		if strings.Contains(metrics, `access_refused_total{reason="`+reason+`"} 0`) || !strings.Contains(metrics, `access_refused_total{reason="`+reason) {
			t.Errorf("%s requests are not counted", reason)
		}
	}
	if n := strings.Count(r.logs.String(), "requests refused"); n != 1 {
		t.Errorf("refusals take %d lines of the log within ten seconds", n)
	}
	for _, token := range tokens {
		if strings.Contains(r.logs.String(), token) || strings.Contains(metrics, token) {
			t.Error("a token is in the log or the metrics")
		}
	}
}

// whoOpensTheStream returns the rights with which the stream of news opens, and "" if
// it does without any.
func whoOpensTheStream(r *running, tokens map[string]string) (rights []string) {
	r.t.Helper()
	headers := map[string]http.Header{"": {}}
	for right, token := range tokens {
		headers[right] = bearer(token)
	}
	for right, header := range headers {
		if response := r.openStream(header); response.StatusCode == http.StatusOK {
			rights = append(rights, right)
		}
	}
	return rights
}

// openStream asks for the stream of news, which ends with the test.
func (r *running) openStream(header http.Header) *http.Response {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+api.RouteStream, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header = header
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { response.Body.Close() })
	return response
}

func TestABrowserShowsItsTokenAsAPassword(t *testing.T) {
	var tokens map[string]string
	r := start(t, shelfWithForeign(), func(cfg *server.Config, _ *server.Deps) { tokens = oneTokenEach(cfg) })
	basic := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+tokens["read"]))}}
	for _, path := range []string{"/", "/dashboard/app.js", "/api/v1/models", "/docs"} {
		if got := r.do(http.MethodGet, path, nil, basic, true); got.status != http.StatusOK {
			t.Errorf("%s: status %d", path, got.status)
		}
	}
}

func TestEveryAnswerForbidsABrowserWhatItIsNotFor(t *testing.T) {
	r := start(t, shelfWithForeign(), nil)
	for _, path := range []string{"/", "/docs", "/openapi.yaml", "/api/v1/models", "/metrics", "/v2", "/v2/models/none", "/nothing"} {
		h := r.do(http.MethodGet, path, nil, nil, true).header
		for key, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin", "Content-Security-Policy": "default-src 'none'"} {
			if !strings.HasPrefix(h.Get(key), want) {
				t.Errorf("%s: %s is %q", path, key, h.Get(key))
			}
		}
		if !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") || strings.Contains(h.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%s: %s", path, h.Get("Content-Security-Policy"))
		}
	}
}

func TestAClientThatAsksTooOftenIsToldWhenToComeBack(t *testing.T) {
	now := time.Now()
	r := start(t, shelfWithForeign(), func(cfg *server.Config, deps *server.Deps) {
		cfg.RateLimit, cfg.RateBurst = 0.25, 2
		deps.Now = func() time.Time { return now }
	})
	for range 2 {
		if got := r.get("/api/v1/models"); got.status != http.StatusOK {
			t.Fatal(got.status)
		}
	}
	if got := r.get("/api/v1/models"); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "4" {
		t.Errorf("status %d, Retry-After %q", got.status, got.header.Get("Retry-After"))
	}
	for range 5 {
		if got := r.get(api.RouteHealth); got.status != http.StatusOK {
			t.Errorf("who asks whether the process lives gets %d", got.status)
		}
	}
}

// grpcTo connects to the address with the given credentials.
func grpcTo(t *testing.T, address string, creds credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestRightsHoldOverGRPCToo(t *testing.T) {
	var tokens map[string]string
	addresses := make(chan string, 1)
	r := start(t, shelfWithForeign(), func(cfg *server.Config, deps *server.Deps) {
		tokens = oneTokenEach(cfg)
		cfg.ModelControl, cfg.GRPCListen = true, "127.0.0.1:0"
		deps.ListeningGRPC = func(a string) { addresses <- a }
	})
	eventually(t, "ready", func() bool { return r.get(api.RouteReady).status == http.StatusOK })
	conn := grpcTo(t, <-addresses, insecure.NewCredentials())
	client := inference.NewGRPCInferenceServiceClient(conn)
	for name, c := range map[string]struct {
		call func(context.Context) error
		may  []string
	}{
		"ServerReady": {func(ctx context.Context) error {
			_, err := client.ServerReady(ctx, &inference.ServerReadyRequest{})
			return err
		}, nil},
		"Health": {func(ctx context.Context) error {
			_, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
			return err
		}, nil},
		"ServerMetadata": {func(ctx context.Context) error {
			_, err := client.ServerMetadata(ctx, &inference.ServerMetadataRequest{})
			return err
		}, []string{"predict", "read"}},
		"ModelInfer": {func(ctx context.Context) error {
			_, err := client.ModelInfer(ctx, &inference.ModelInferRequest{ModelName: "foreign"})
			return err
		}, []string{"predict"}},
		"RepositoryIndex": {func(ctx context.Context) error {
			_, err := client.RepositoryIndex(ctx, &inference.RepositoryIndexRequest{})
			return err
		}, []string{"read", "admin"}},
		"RepositoryModelUnload": {func(ctx context.Context) error {
			_, err := client.RepositoryModelUnload(ctx, &inference.RepositoryModelUnloadRequest{ModelName: "none"})
			return err
		}, []string{"admin"}},
		"a method that does not exist": {func(ctx context.Context) error {
			return conn.Invoke(ctx, "/x.Y/Z", &inference.ServerReadyRequest{}, &inference.ServerReadyResponse{})
		}, []string{"predict", "read", "metrics", "admin", "notify"}},
	} {
		code := func(ctx context.Context) codes.Code { return status.Code(c.call(ctx)) }
		if got := code(t.Context()); (got == codes.Unauthenticated) != (c.may != nil) {
			t.Errorf("%s without a token: %s", name, got)
		}
		for right, token := range tokens {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
			if got := code(ctx); got == codes.Unauthenticated || (got == codes.PermissionDenied) != (c.may != nil && !slices.Contains(c.may, right)) {
				t.Errorf("%s with the right %s: %s", name, right, got)
			}
		}
	}
	metrics := string(r.do(http.MethodGet, "/metrics", nil, bearer(tokens["metrics"]), false).body)
	for _, series := range []string{`forescale_grpc_requests_total{code="Unauthenticated",method="ModelInfer"} 1`, `forescale_grpc_requests_total{code="PermissionDenied",method="ModelInfer"} 4`,
		`forescale_grpc_requests_total{code="Unauthenticated",method="other"} 1`} {
		if !strings.Contains(metrics, series) {
			t.Errorf("the metrics lack %s", series)
		}
	}
}

func TestTLSIsSpokenOverBothProtocolsAndRenewedWhileTheServerRuns(t *testing.T) {
	ca, stranger := certtest.New(t, "site"), certtest.New(t, "stranger")
	dir := t.TempDir()
	addresses := make(chan string, 1)
	var certFile, keyFile string
	r := start(t, shelfWithForeign(), func(cfg *server.Config, deps *server.Deps) {
		certFile, keyFile = ca.IssueFiles(dir, "server")
		cfg.TLS = access.TLS{CertFile: certFile, KeyFile: keyFile, ClientCAFile: filepath.Join(dir, "ca.crt"), Reload: 10 * time.Millisecond}
		certtest.Write(t, cfg.TLS.ClientCAFile, ca.PEM)
		cfg.Clients = []access.Client{{Name: "ops", Certificate: "ops", Rights: []string{"read", "metrics"}}}
		cfg.GRPCListen = "127.0.0.1:0"
		deps.ListeningGRPC = func(a string) { addresses <- a }
	})
	grpcAddress := <-addresses
	if !strings.HasPrefix(r.url, "https://") {
		t.Fatalf("listens on %s", r.url)
	}
	get := func(cfg *tls.Config, path string) (*http.Response, string, error) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true, ForceAttemptHTTP2: true}}
		response, err := client.Get(r.url + path)
		if err != nil {
			return nil, "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return response, string(body), err
	}
	ops := ca.Client("ops", ca)
	if response, _, err := get(ops, "/api/v1/models"); err != nil || response.StatusCode != http.StatusOK || response.ProtoMajor != 1 {
		t.Fatalf("%+v, %v", response, err)
	}
	if response, _, err := get(ca.Client("guest", ca), "/api/v1/models"); err != nil || response.StatusCode != http.StatusUnauthorized {
		t.Errorf("a certificate that nobody has listed: %+v, %v", response, err)
	}
	for name, cfg := range map[string]*tls.Config{"none": ca.Client("ops", nil), "a stranger's": ca.Client("ops", stranger)} {
		if _, _, err := get(cfg, "/healthz"); err == nil {
			t.Errorf("%s certificate is let in", name)
		}
	}
	u, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := http.Get("http://" + u.Host + "/healthz"); err != nil || response.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP on the port of TLS: %v, %v", response, err)
	}
	index := func(cfg *tls.Config) error {
		_, err := inference.NewGRPCInferenceServiceClient(grpcTo(t, grpcAddress, credentials.NewTLS(cfg))).RepositoryIndex(t.Context(), &inference.RepositoryIndexRequest{})
		return err
	}
	if err := index(ops); err != nil {
		t.Errorf("gRPC: %v", err)
	}
	if err := index(ca.Client("guest", ca)); status.Code(err) != codes.Unauthenticated {
		t.Errorf("gRPC with a certificate that nobody has listed: %v", err)
	}
	if err := index(ca.Client("ops", nil)); status.Code(err) != codes.Unavailable {
		t.Errorf("gRPC without a certificate: %v", err)
	}

	before, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	certtest.Write(t, certFile, []byte("broken"))
	eventually(t, "a broken file is told of", func() bool { return strings.Contains(r.logs.String(), "new TLS certificate refused") })
	if _, body, err := get(ops, "/metrics"); err != nil || !strings.Contains(body, `forescale_tls_reloads_total{result="error"} 1`) {
		t.Errorf("with a broken file the old one serves: %v\n%s", err, body)
	}
	renewed, key := ca.Issue("renewed", time.Now().Add(time.Hour))
	certtest.Write(t, keyFile, key)
	certtest.Write(t, certFile, renewed)
	eventually(t, "the renewed certificate serves", func() bool {
		response, _, err := get(ops, "/healthz")
		return err == nil && response.TLS.PeerCertificates[0].Subject.CommonName == "renewed"
	})
	if bytes.Equal(before, renewed) {
		t.Error("nothing was renewed")
	}
	if err := index(ops); err != nil {
		t.Errorf("gRPC after the renewal: %v", err)
	}
}

func TestTheServerDoesNotStartWithoutItsCertificate(t *testing.T) {
	cfg := server.Defaults()
	cfg.TLS = access.TLS{CertFile: "/nonexistent/c", KeyFile: "/nonexistent/k"}
	if _, err := server.New(cfg, server.Deps{Registry: newShelf(), Step: time.Minute, Now: time.Now}); err == nil || !strings.Contains(fmt.Sprint(err), "server.tls.cert_file") {
		t.Error(err)
	}
}
