package kube

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// account fills a folder like the one that the kubelet mounts.
func (f *fake) account(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})))
	write(t, dir, "token", fakeToken)
	return dir
}

func (f *fake) address(t *testing.T) (host, port string) {
	t.Helper()
	u, err := url.Parse(f.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Hostname(), u.Port()
}

func TestInAClusterTheServiceAccountIsUsed(t *testing.T) {
	f, _ := world(t)
	host, port := f.address(t)
	dir := f.account(t)
	target, err := Open(Config{Host: host, Port: port, ServiceAccount: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := target.Scale(t.Context(), web, 6); err != nil || f.replicas(webScale) != 6 {
		t.Errorf("got %v", err)
	}
	f.token = "rotated"
	write(t, dir, "token", "rotated")
	if got, err := one(t.Context(), target, web); err != nil || got.Desired != 6 {
		t.Errorf("after the rotation: %+v, %v", got, err)
	}
}

func TestAServiceAccountThatIsNotWholeIsNamed(t *testing.T) {
	f, _ := world(t)
	for _, c := range []struct {
		name, want string
		spoil      func(*Config)
	}{
		{"outside of a cluster", "kubernetes.kubeconfig", func(c *Config) { c.Host = "" }},
		{"without a port", "KUBERNETES_SERVICE_PORT", func(c *Config) { c.Port = "" }},
		{"no folder", "ca.crt", func(c *Config) { c.ServiceAccount += "/none" }},
		{"no token", "token", func(c *Config) { os.Remove(filepath.Join(c.ServiceAccount, "token")) }},
		{"an empty token", "is empty", func(c *Config) { write(t, c.ServiceAccount, "token", "\n") }},
		{"no certificate", "holds no certificate", func(c *Config) { write(t, c.ServiceAccount, "ca.crt", "nothing") }},
		{"a context without a kubeconfig", "kubernetes.context", func(c *Config) { c.Context = "prod" }},
		{"fewer than no replicas", "kubernetes.max_replicas", func(c *Config) { c.MaxReplicas = -1 }},
		{"more replicas than there can be", "kubernetes.max_replicas", func(c *Config) { c.MaxReplicas = limitMaxReplicas + 1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Config{ServiceAccount: f.account(t)}
			cfg.Host, cfg.Port = f.address(t)
			c.spoil(&cfg)
			if _, err := Open(cfg, nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	if len(f.calls) > 0 {
		t.Errorf("opening makes calls: %q", f.calls)
	}
}

// A server with another certificate never sees the token.
func TestAServerOfAnotherCertificateIsNotSpokenTo(t *testing.T) {
	f, _ := world(t)
	_, port := f.address(t)
	cert, _ := selfSigned(t, "other")
	dir := f.account(t)
	write(t, dir, "ca.crt", string(cert))
	target, err := Open(Config{Host: "127.0.0.1", Port: port, ServiceAccount: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	target.client.sleep = func(context.Context, time.Duration) bool { return false }
	if _, err := one(t.Context(), target, web); err == nil || !strings.Contains(err.Error(), "unknown authority") || len(f.calls) > 0 {
		t.Errorf("got %v, %q", err, f.calls)
	}
}

const contexts = "contexts: [{name: a, context: {cluster: c, user: u}}, {name: anonymous, context: {cluster: c}}, {name: lost, context: {cluster: none, user: u}}, {name: nobody, context: {cluster: c, user: none}}]\n"

func TestAKubeconfigThatCannotBeUsedSaysWhy(t *testing.T) {
	self, key := selfSigned(t, "me")
	inlined := base64.StdEncoding.EncodeToString
	for _, c := range []struct{ name, cluster, user, context, want string }{
		{"no context of that name", "{server: https://h}", "{}", "prod", `no context "prod", only ["a" "anonymous" "lost" "nobody"]`},
		{"no cluster of that name", "{server: https://h}", "{}", "lost", `no cluster "none"`},
		{"no user of that name", "{server: https://h}", "{}", "nobody", `no user "none"`},
		{"no server", "{}", "{}", "a", "server:"},
		{"a server without a scheme", "{server: 'h:6443'}", "{}", "a", "no http or https URL"},
		{"a token in the clear", "{server: http://h}", "{token: secret-1234}", "a", "in the clear"},
		{"a certificate in the clear", "{server: http://h}", fmt.Sprintf("{client-certificate-data: %s, client-key-data: %s}", inlined(self), inlined(key)), "a", "in the clear"},
		{"a CA that is no base64", "{server: https://h, certificate-authority-data: '%%%'}", "{}", "a", "not base64"},
		{"a CA that is none", "{server: https://h, certificate-authority-data: " + inlined([]byte("x")) + "}", "{}", "a", "no certificate in PEM"},
		{"a CA file that is not there", "{server: https://h, certificate-authority: none.crt}", "{}", "a", "none.crt"},
		{"a CA that would not be used", "{server: https://h, insecure-skip-tls-verify: true, certificate-authority: x}", "{}", "a", "exclude each other"},
		{"a proxy that is none", "{server: https://h, proxy-url: 'secret-1234'}", "{}", "a", "proxy-url"},
		{"a password", "{server: https://h}", "{username: me, password: secret-1234}", "a", "no longer by Kubernetes"},
		{"an auth provider", "{server: https://h}", "{auth-provider: {name: gcp}}", "a", "auth-provider"},
		{"impersonation", "{server: https://h}", "{token: secret-1234, as: admin}", "a", "impersonation"},
		{"impersonation of a group", "{server: https://h}", "{token: secret-1234, as-groups: [admins]}", "a", "impersonation"},
		{"a key without a certificate", "{server: https://h}", "{client-key: x}", "a", "has no client-certificate"},
		{"a certificate without a key", "{server: https://h}", "{client-certificate-data: " + inlined(self) + "}", "a", "client-key: is not set"},
		{"a key that does not fit", "{server: https://h}", fmt.Sprintf("{client-certificate-data: %s, client-key-data: %s}", inlined(self), inlined(self)), "a", "client-certificate: tls"},
		{"a token file that is not there", "{server: https://h}", "{tokenFile: none}", "a", "none"},
		{"a token with a line break", "{server: https://h}", `{token: "secret-1234\nx"}`, "a", "a character that no token has"},
		{"a plugin of an old version", "{server: https://h}", "{exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x}}", "a", "v1alpha1"},
		{"a plugin without a command", "{server: https://h}", "{exec: {apiVersion: client.authentication.k8s.io/v1}}", "a", "command is empty"},
		{"a plugin that asks people", "{server: https://h}", "{exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Always}}", "a", "nobody is there"},
		{"a plugin that wants to know the cluster", "{server: https://h}", "{exec: {apiVersion: client.authentication.k8s.io/v1, command: x, provideClusterInfo: true}}", "a", "provideClusterInfo"},
		{"no YAML", "{server: [}", "{}", "a", "yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, t.TempDir(), "config", contexts+"clusters: [{name: c, cluster: "+c.cluster+"}]\nusers: [{name: u, user: "+c.user+"}]\n")
			_, err := Open(Config{Kubeconfig: path, Context: c.context}, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "secret-1234") {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	if _, err := Open(Config{Kubeconfig: filepath.Join(t.TempDir(), "none")}, nil); err == nil || !strings.Contains(err.Error(), "kubeconfig") {
		t.Errorf("no file: %v", err)
	}
	if _, err := Open(Config{Kubeconfig: write(t, t.TempDir(), "config", contexts)}, nil); err == nil || !strings.Contains(err.Error(), "kubernetes.context") {
		t.Errorf("no current context: %v", err)
	}
}

func TestTheContextIsTheOneNamedAndPathsStartAtTheFile(t *testing.T) {
	f, _ := world(t)
	other, _ := world(t)
	dir := f.account(t)
	text := fmt.Sprintf(`current-context: theirs
extensions: [{name: x, extension: {unknown: keys}}]
contexts: [{name: theirs, context: {cluster: theirs, user: me}}, {name: ours, context: {cluster: ours, user: me}}]
clusters:
- {name: theirs, cluster: {server: %q, insecure-skip-tls-verify: true}}
- {name: ours, cluster: {server: "%s/", certificate-authority: ca.crt, tls-server-name: example.com}}
users: [{name: me, user: {tokenFile: token}}]
`, other.URL, f.URL)
	path := write(t, dir, "config", text)
	for context, want := range map[string]*fake{"": other, "theirs": other, "ours": f} {
		var said bytes.Buffer
		target, err := Open(Config{Kubeconfig: path, Context: context}, slog.New(slog.NewTextHandler(&said, nil)))
		if err != nil {
			t.Fatal(err)
		}
		before := want.count("GET " + webScale)
		if _, err := one(t.Context(), target, web); err != nil || want.count("GET "+webScale) != before+1 {
			t.Errorf("%s: %v", context, err)
		}
		if unsafe := want == other; strings.Contains(said.String(), "not verified") != unsafe {
			t.Errorf("%s: said %q", context, &said)
		}
	}
}

// Client certificates are read at every handshake: one that was renewed is used
// without a restart.
func TestAClientCertificateIsUsedAndReadAgain(t *testing.T) {
	f := newFake(t)
	f.scales[webScale] = &fakeScale{replicas: 4, observed: 4, version: 1}
	f.token = "" // the header of no token
	var seen atomic.Value
	f.set("", 0, func(_ http.ResponseWriter, r *http.Request, _ *fake) bool {
		r.Header.Set("Authorization", "Bearer ")
		seen.Store(r.TLS.PeerCertificates[0].Subject.CommonName)
		return false
	})
	srv := httptest.NewUnstartedServer(f)
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	srv.StartTLS()
	defer srv.Close()
	f.Server = srv
	dir := t.TempDir()
	path := f.kubeconfig(t, fmt.Sprintf("{client-certificate: %q, client-key: %q}", filepath.Join(dir, "crt"), filepath.Join(dir, "key")))
	var target *Target
	for _, name := range []string{"first", "renewed"} {
		cert, key := selfSigned(t, name)
		write(t, dir, "crt", string(cert))
		write(t, dir, "key", string(key))
		if target == nil {
			var err error
			if target, err = Open(Config{Kubeconfig: path}, nil); err != nil {
				t.Fatal(err)
			}
		}
		target.client.http.CloseIdleConnections() // as the server does in time
		if got, err := one(t.Context(), target, web); got.Desired != 4 || seen.Load() != name {
			t.Errorf("%s: %+v, %v as %v", name, got, err, seen.Load())
		}
	}
}

func selfSigned(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})
}

// A proxy of the kubeconfig is the way, even where the environment knows none.
func TestTheKubeconfigsProxyIsUsed(t *testing.T) {
	asked := make(chan string, 10)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.Host
		w.WriteHeader(http.StatusTeapot)
	}))
	defer proxy.Close()
	path := write(t, t.TempDir(), "config", contexts+fmt.Sprintf("clusters: [{name: c, cluster: {server: 'https://api.example.com:6443', proxy-url: %q}}]\n", proxy.URL))
	target, err := Open(Config{Kubeconfig: path, Context: "anonymous"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	target.client.sleep = func(context.Context, time.Duration) bool { return false }
	if _, err := one(t.Context(), target, web); err == nil {
		t.Error("a proxy that declines is no error")
	}
	if got := <-asked; got != "CONNECT api.example.com:6443" {
		t.Errorf("the proxy was asked for %s", got)
	}
}
