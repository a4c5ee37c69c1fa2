package access

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forescale/forescale/internal/certtest"
)

// files are a server's TLS files in a directory.
type files struct {
	cfg TLS
	ca  *certtest.Authority
}

func tlsFiles(t *testing.T) files {
	t.Helper()
	dir := t.TempDir()
	f := files{ca: certtest.New(t, "site")}
	f.cfg.CertFile, f.cfg.KeyFile = f.ca.IssueFiles(dir, "server")
	f.cfg.ClientCAFile = filepath.Join(dir, "clients.crt")
	certtest.Write(t, f.cfg.ClientCAFile, f.ca.PEM)
	return f
}

// shake lets a client and the server shake hands, and returns what the client sees.
func shake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		s := tls.Server(conn, server)
		if s.Handshake() == nil {
			_, _ = s.Write([]byte("x"))
			_, _ = io.Copy(io.Discard, s) // until the client has seen it
		}
	}()
	client = client.Clone()
	client.ServerName, client.Time = "localhost", server.Time
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := tls.Client(conn, client)
	_, err = io.ReadFull(c, make([]byte, 1)) // TLS 1.3 refuses a client only after its handshake
	_ = conn.Close()
	<-done
	return c.ConnectionState(), err
}

func TestWhichHandshakesSucceed(t *testing.T) {
	f := tlsFiles(t)
	stranger := certtest.New(t, "stranger")
	mutual, err := OpenTLS(f.cfg, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	f.cfg.ClientCAFile = ""
	plain, err := OpenTLS(f.cfg, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	old := f.ca.Client("c", nil)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	weak := f.ca.Client("c", nil)
	weak.MaxVersion, weak.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
	twelve := f.ca.Client("c", nil)
	twelve.MaxVersion = tls.VersionTLS12
	for name, c := range map[string]struct {
		server *Certificates
		client *tls.Config
		ok     bool
	}{
		"a client that trusts the authority": {plain, f.ca.Client("c", nil), true},
		"TLS 1.2":                            {plain, twelve, true},
		"TLS 1.1":                            {plain, old, false},
		"TLS 1.2 without authenticated encryption":        {plain, weak, false},
		"a client that trusts another one":                {plain, stranger.Client("c", nil), false},
		"mutual TLS with a certificate":                   {mutual, f.ca.Client("c", f.ca), true},
		"mutual TLS without one":                          {mutual, f.ca.Client("c", nil), false},
		"mutual TLS with the certificate of a stranger's": {mutual, f.ca.Client("c", stranger), false},
	} {
		if _, err := shake(t, c.server.Config("http/1.1"), c.client); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// logs is a log that may be read meanwhile.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

func TestNewFilesAreTakenUpAndBrokenOnesAreNot(t *testing.T) {
	f := tlsFiles(t)
	renewed, renewedKey := f.ca.Issue("renewed", time.Now().Add(time.Hour))
	expired, expiredKey := f.ca.Issue("expired", time.Now().Add(-time.Hour))
	other := certtest.New(t, "other")
	whole, err := os.ReadFile(f.cfg.CertFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(f.cfg.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := f.ca.Client("c", f.ca), f.ca.Client("c", other)
	start := time.Now()
	synctest.Test(t, func(t *testing.T) {
		epoch := time.Now()
		now := func() time.Time { return start.Add(time.Since(epoch)) } // certificates do not know of the test's time
		c, err := OpenTLS(f.cfg, now)
		if err != nil {
			t.Fatal(err)
		}
		var out logs
		outcomes := []error{}
		ctx, cancel := context.WithCancel(t.Context())
		go c.Run(ctx, slog.New(slog.NewTextHandler(&out, nil)), func(err error) { outcomes = append(outcomes, err) })
		server := c.Config("h2")
		step := func(what, cert, key, says, serves string) {
			t.Helper()
			certtest.Write(t, f.cfg.CertFile, []byte(cert))
			certtest.Write(t, f.cfg.KeyFile, []byte(key))
			time.Sleep(3*defaultReload + time.Second)
			synctest.Wait()
			switch text := out.take(); {
			case says == "" && text != "":
				t.Errorf("%s: the log says %s", what, text)
			case says != "" && (!strings.Contains(text, says) || strings.Count(text, "\n") != 1):
				t.Errorf("%s: the log says %q, want one line with %q", what, text, says)
			}
			state, err := shake(t, server, ours)
			if err != nil || state.PeerCertificates[0].Subject.CommonName != serves || state.NegotiatedProtocol != "" {
				t.Errorf("%s: %v, serves %v", what, err, state.PeerCertificates)
			}
		}
		step("nothing new", string(whole), string(key), "", "server")
		step("a file cut in half", string(whole[:len(whole)/2]), string(key), "refused", "server")
		step("a certificate without its key", string(renewed), string(key), "refused", "server")
		step("one that has run out", string(expired), string(expiredKey), "ran out", "server")
		step("the old one again", string(whole), string(key), "again", "server")
		step("a new one", string(renewed), string(renewedKey), "reloaded", "renewed")
		certtest.Write(t, f.cfg.ClientCAFile, other.PEM)
		time.Sleep(2 * defaultReload)
		synctest.Wait()
		if _, err := shake(t, server, ours); err == nil {
			t.Error("an authority that is no longer trusted still admits")
		}
		if _, err := shake(t, server, theirs); err != nil {
			t.Errorf("the new authority: %v", err)
		}
		if len(outcomes) != 5 || outcomes[0] == nil || outcomes[3] != nil || outcomes[4] != nil {
			t.Errorf("outcomes %v", outcomes)
		}
		cancel()
		synctest.Wait()
	})
}

func TestFilesThatCannotBeUsedAreToldByName(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*files)
		want  string
	}{
		"no certificate":      {func(f *files) { f.cfg.CertFile = "/nonexistent/c" }, "server.tls.cert_file: open /nonexistent/c"},
		"no key":              {func(f *files) { f.cfg.KeyFile = "/nonexistent/k" }, "server.tls.key_file: open /nonexistent/k"},
		"no authority":        {func(f *files) { f.cfg.ClientCAFile = "/nonexistent/a" }, "server.tls.client_ca_file: open /nonexistent/a"},
		"a key for authority": {func(f *files) { f.cfg.ClientCAFile = f.cfg.KeyFile }, "holds no certificate"},
		"the wrong way round": {func(f *files) { f.cfg.CertFile, f.cfg.KeyFile = f.cfg.KeyFile, f.cfg.CertFile }, "server.tls: "},
		"the second authority cut off": {func(f *files) {
			more := certtest.New(t, "more").PEM
			certtest.Write(t, f.cfg.ClientCAFile, slices.Concat(f.ca.PEM, more[:len(more)/2]))
		}, "server.tls.client_ca_file: "},
		"a chain that is cut off": {func(f *files) {
			leaf, err := os.ReadFile(f.cfg.CertFile)
			if err != nil {
				t.Fatal(err)
			}
			certtest.Write(t, f.cfg.CertFile, slices.Concat(leaf, f.ca.PEM[:len(f.ca.PEM)-10]))
		}, "cut off"},
		"a huge file": {func(f *files) { certtest.Write(t, f.cfg.CertFile, make([]byte, maxFile+1)) }, "larger than"},
	} {
		f := tlsFiles(t)
		c.spoil(&f)
		if _, err := OpenTLS(f.cfg, time.Now); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := tlsFiles(t)
	if _, err := OpenTLS(f.cfg, at(time.Now().Add(48*time.Hour))); err == nil || !strings.Contains(err.Error(), "ran out at") {
		t.Errorf("out of date: %v", err)
	}
	if _, err := OpenTLS(f.cfg, at(time.Now().Add(-96*time.Hour))); err == nil || !strings.Contains(err.Error(), "not valid before") {
		t.Errorf("too early: %v", err)
	}
}

func TestAnAuthorityThatIsNoLongerTrustedDoesNotAdmitByAnOldSession(t *testing.T) {
	f := tlsFiles(t)
	c, err := OpenTLS(f.cfg, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	client := f.ca.Client("c", f.ca)
	client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	server := c.Config("http/1.1")
	if _, err := shake(t, server, client); err != nil {
		t.Fatal(err)
	}
	next := *c.current.Load()
	next.clients = x509.NewCertPool()
	c.current.Store(&next)
	if _, err := shake(t, server, client); err == nil {
		t.Error("it does")
	}
}
