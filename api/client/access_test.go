package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/certtest"
)

// serveTLS answers by good over TLS, with a certificate for the name by ca; clients
// of ours need one of it too.
func serveTLS(t *testing.T, ca *certtest.Authority, name string) *httptest.Server {
	t.Helper()
	pair, err := tls.X509KeyPair(ca.Issue(name, time.Now().Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(good))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Client("", nil).RootCAs}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestWhomTheClientTrustsAndHowItIsKnown(t *testing.T) {
	ca, stranger := certtest.New(t, "site"), certtest.New(t, "stranger")
	dir := t.TempDir()
	caFile, strangerFile := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "stranger.crt")
	certtest.Write(t, caFile, ca.PEM)
	certtest.Write(t, strangerFile, stranger.PEM)
	cert, key := ca.IssueFiles(dir, "scaler")
	strangeCert, strangeKey := stranger.IssueFiles(dir, "unknown")
	s := serveTLS(t, ca, "server")
	for name, c := range map[string]struct {
		tls  TLS
		want string // in the error; empty: it works
	}{
		"its authority and a certificate":      {TLS{caFile, cert, key}, ""},
		"no certificate":                       {TLS{caFile, "", ""}, "certificate required"},
		"a certificate of a stranger's":        {TLS{caFile, strangeCert, strangeKey}, "certificate"},
		"an authority that did not sign":       {TLS{strangerFile, cert, key}, "unknown authority"},
		"the system's authorities":             {TLS{"", cert, key}, "unknown authority"},
		"an authority that is not there":       {TLS{"/nonexistent/ca", cert, key}, "/nonexistent/ca"},
		"a file without a certificate":         {TLS{key, cert, key}, "holds no certificate"},
		"a certificate with another one's key": {TLS{caFile, cert, strangeKey}, "client certificate"},
		"a certificate without a key":          {TLS{caFile, cert, ""}, "key of the client certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := New(s.URL, WithTLS(c.tls), WithAttempts(1))
			if err == nil {
				_, err = client.Predict(context.Background(), oneWindow)
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Error(err)
			}
		})
	}
}

func TestTheFilesAreReadAgainForEachConnection(t *testing.T) {
	old, renewed := certtest.New(t, "old"), certtest.New(t, "renewed")
	dir := t.TempDir()
	files := TLS{CAFile: filepath.Join(dir, "ca.crt")}
	certtest.Write(t, files.CAFile, old.PEM)
	files.CertFile, files.KeyFile = old.IssueFiles(dir, "scaler")
	s := serveTLS(t, renewed, "server")
	client, err := New(s.URL, WithTLS(files), WithAttempts(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Predict(context.Background(), oneWindow); err == nil {
		t.Fatal("the authority is not the server's")
	}
	certtest.Write(t, files.CAFile, renewed.PEM)
	renewed.IssueFiles(dir, "scaler")
	if _, err := client.Predict(context.Background(), oneWindow); err != nil {
		t.Error(err)
	}
}

func TestTheTokenIsReadForEachAttemptAndNeverTold(t *testing.T) {
	const first, second = "fsk_first-secret", "fsk_second-secret"
	var got []string
	note := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.Header.Get("Authorization"))
			next(w, r)
		}
	}
	echo := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "you sent "+r.Header.Get("Authorization"))
	}
	url, calls := serve(t, note(busy), note(good), note(echo))
	tokens := []string{first, second, second}
	client, err := New(url, WithToken(func() (string, error) { return tokens[len(got)], nil }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Predict(context.Background(), oneWindow); err != nil || got[0] != "Bearer "+first || got[1] != "Bearer "+second {
		t.Errorf("%v, sent %q", err, got)
	}
	_, err = client.Predict(context.Background(), oneWindow)
	if err == nil || calls.Load() != 3 || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "you sent") {
		t.Errorf("after %d calls: %v", calls.Load(), err)
	}
	for name, c := range map[string]struct {
		token string
		err   error
	}{"a token that cannot be read": {"", errors.New("no such file")}, "a token with a line break": {"secret\r\nHost: x", nil}, "a token in other letters": {"sécret", nil}} {
		client, err := New(url, WithToken(func() (string, error) { return c.token, c.err }))
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Predict(context.Background(), oneWindow)
		if err == nil || !strings.Contains(err.Error(), "token: ") || strings.Contains(err.Error(), "cret") || calls.Load() != 3 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoTokenFollowsARedirection(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("asked, with %q", r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	client, err := New(url, WithToken(func() (string, error) { return "x", nil }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Predict(context.Background(), oneWindow); err == nil {
		t.Error("a redirection is no answer")
	}
}

func TestAPasswordInTheURLIsNotRepeated(t *testing.T) {
	if _, err := New("http://me:secret@127.0.0.1:1"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}
