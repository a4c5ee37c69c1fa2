package prometheus

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/conf"
)

// file writes a file of a test and returns its path.
func file(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// identity returns a client's certificate of that name and its key, in PEM.
func identity(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// seen is what a server was told last.
type seen struct{ *http.Request }

func (s *seen) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	s.Request = r
	fmt.Fprint(w, matrix(""))
}

func fetchOnce(t *testing.T, s *Source) error {
	t.Helper()
	_, err := s.Fetch(t.Context(), slot(0), slot(3))
	return err
}

func TestWhatIsSent(t *testing.T) {
	var got seen
	srv := httptest.NewServer(&got)
	defer srv.Close()
	c := Config{URL: srv.URL + "/", Queries: []Query{{Metric: "m", Expr: "rate(x[$step])", Group: "{s}"}},
		Headers: map[string]string{"X-Scope-OrgID": "shop", "Host": "metrics.example.com"}, Params: map[string]string{"partial_response": "false"}}
	t.Run("the range shifted by one step, as a form", func(t *testing.T) {
		if err := fetchOnce(t, open(t, c)); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"query": "rate(x[300s])", "start": fmt.Sprint(slot(1).Unix()), "end": fmt.Sprint(slot(3).Unix()), "step": "300", "timeout": "60", "partial_response": "false"}
		for name, value := range want {
			if got.PostForm.Get(name) != value {
				t.Errorf("%s is %q, want %q", name, got.PostForm.Get(name), value)
			}
		}
		if len(got.PostForm) != len(want) || got.Header.Get("X-Scope-OrgID") != "shop" || got.Host != "metrics.example.com" || got.Header.Get("Authorization") != "" {
			t.Errorf("got %v of %s, %v", got.PostForm, got.Host, got.Header)
		}
	})
	t.Run("basic authentication", func(t *testing.T) {
		c := c
		c.Username, c.Password = "me", secret(t, "p:w")
		if err := fetchOnce(t, open(t, c)); err != nil {
			t.Fatal(err)
		}
		if user, password, _ := got.BasicAuth(); user != "me" || password != "p:w" {
			t.Errorf("got %q %q", user, password)
		}
	})
	t.Run("a token as it stands in its file now", func(t *testing.T) {
		c := c
		c.BearerToken = conf.Secret{File: file(t, []byte("old\n"))}
		s := open(t, c)
		for _, token := range []string{"old", "new"} {
			if err := os.WriteFile(c.BearerToken.File, []byte(token+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := fetchOnce(t, s); err != nil || got.Header.Get("Authorization") != "Bearer "+token {
				t.Errorf("got %q, %v", got.Header.Get("Authorization"), err)
			}
		}
		if err := os.WriteFile(c.BearerToken.File, []byte("two\nlines"), 0o600); err != nil {
			t.Fatal(err)
		}
		got.Request = nil
		if err := fetchOnce(t, s); err == nil || strings.Contains(err.Error(), "two") || got.Request != nil {
			t.Errorf("a token that is none: %v", err)
		}
	})
}

func TestTLS(t *testing.T) {
	var got seen
	srv := httptest.NewUnstartedServer(&got)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // it would tell of the handshakes that are to fail
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	srv.StartTLS()
	defer srv.Close()
	roots := file(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	cert, key := identity(t, "collector-1")
	c := Config{URL: srv.URL, CAFile: roots, CertFile: file(t, cert), KeyFile: file(t, key), Queries: []Query{{Metric: "m", Expr: "x", Group: "{s}"}}}
	t.Run("trusts the given roots and shows its certificate", func(t *testing.T) {
		if err := fetchOnce(t, open(t, c)); err != nil || got.TLS.PeerCertificates[0].Subject.CommonName != "collector-1" {
			t.Errorf("error %v", err)
		}
	})
	t.Run("shows the certificate as it stands in its file now", func(t *testing.T) {
		s := open(t, c)
		cert, key := identity(t, "collector-2")
		for path, content := range map[string][]byte{c.CertFile: cert, c.KeyFile: key} {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := fetchOnce(t, s); err != nil || got.TLS.PeerCertificates[0].Subject.CommonName != "collector-2" {
			t.Errorf("error %v", err)
		}
	})
	t.Run("trusts nobody else", func(t *testing.T) {
		c := c
		c.CAFile = ""
		if err := fetchOnce(t, open(t, c)); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("is refused without a certificate", func(t *testing.T) {
		c := c
		c.CertFile, c.KeyFile = "", ""
		if err := fetchOnce(t, open(t, c)); err == nil {
			t.Error("no error")
		}
	})
}

func TestOpenNamesWhatCannotBeRead(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"a bundle that is not there":      {func(c *Config) { c.CAFile = "/nonexistent/ca" }, "prometheus.ca_file: open /nonexistent/ca"},
		"a bundle without certificates":   {func(c *Config) { c.CAFile = file(t, []byte("hello")) }, "holds no certificate"},
		"a bundle that is too large":      {func(c *Config) { c.CAFile = file(t, make([]byte, maxCA+1)) }, "larger than"},
		"a certificate that is not there": {func(c *Config) { c.CertFile, c.KeyFile = "/nonexistent/c", "/nonexistent/k" }, "cert_file, key_file"},
		"a token that is not there":       {func(c *Config) { c.BearerToken = conf.Secret{File: "/nonexistent/t"} }, "prometheus.bearer_token: open /nonexistent/t"},
		"a password that is not there":    {func(c *Config) { c.Username, c.Password = "u", conf.Secret{Env: "FORESCALE_NOT_SET"} }, "prometheus.password: the environment variable FORESCALE_NOT_SET"},
		"every fault of the config":       {func(c *Config) { c.URL, c.Queries = "", nil }, "prometheus.url"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good()
			c.change(&cfg)
			if _, err := Open("p", cfg, step, silent()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	t.Run("a step of seconds", func(t *testing.T) {
		if _, err := Open("p", good(), 90*time.Second, silent()); err == nil || !strings.Contains(err.Error(), "whole minutes") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a password in the clear is worth a warning", func(t *testing.T) {
		var log strings.Builder
		cfg := good()
		cfg.URL, cfg.BearerToken = "http://metrics.example.com", secret(t, "x")
		if _, err := Open("p", cfg, step, slog.New(slog.NewTextHandler(&log, nil))); err != nil || !strings.Contains(log.String(), "plain HTTP") {
			t.Errorf("%v, %q", err, log.String())
		}
	})
}
