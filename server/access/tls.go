package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// maxFile bounds a file with certificates or a key, in bytes.
const maxFile = 1 << 20

// suites are those of TLS 1.2 with forward secrecy and authenticated encryption;
// those of TLS 1.3 are all of that kind and not for us to choose.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// Certificates are what the server speaks TLS with. The files are read again while
// Run runs; connections that are open keep what they were opened with.
type Certificates struct {
	cfg     TLS
	now     func() time.Time
	current atomic.Pointer[loaded]
}

// loaded is what the files held. It is immutable.
type loaded struct {
	certificate tls.Certificate
	clients     *x509.CertPool // nil: clients need no certificate
	digest      [sha256.Size]byte
}

// OpenTLS reads the files. The error names the one at fault.
func OpenTLS(cfg TLS, now func() time.Time) (*Certificates, error) {
	c := &Certificates{cfg: cfg, now: now}
	found, err := c.read()
	if err != nil {
		return nil, err
	}
	c.current.Store(found)
	return c, nil
}

// NotAfter returns when the certificate runs out.
func (c *Certificates) NotAfter() time.Time { return c.current.Load().certificate.Leaf.NotAfter }

// Config returns a configuration for a listener that speaks the given protocols
// (ALPN). It always holds what was read last.
func (c *Certificates) Config(protocols ...string) *tls.Config {
	build := func() *tls.Config {
		now := c.current.Load()
		cfg := &tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: suites, NextProtos: protocols, Time: c.now,
			Certificates: []tls.Certificate{now.certificate}}
		if now.clients != nil {
			cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, now.clients
			// A resumed session would go on with an authority that is no longer trusted.
			cfg.SessionTicketsDisabled = true
		}
		return cfg
	}
	cfg := build()
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return build(), nil }
	return cfg
}

// Run reads the files again and again until ctx ends. What cannot be used is told
// of, once, and what was there before stays. reloaded, which may be nil, is called
// with the outcome when there was something new.
func (c *Certificates) Run(ctx context.Context, log *slog.Logger, reloaded func(error)) {
	every := c.cfg.Reload
	if every == 0 {
		every = defaultReload
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		found, err := c.read()
		switch {
		case err != nil && err.Error() == told:
			continue
		case err != nil:
			told = err.Error()
			log.Error("new TLS certificate refused; the one before stays", "not_after", c.NotAfter(), "err", err)
		case found.digest == c.current.Load().digest:
			if told != "" {
				log.Info("TLS files are again those in use")
			}
			told = ""
			continue
		default:
			told = ""
			c.current.Store(found)
			log.Info("TLS certificate reloaded", "not_after", c.NotAfter())
		}
		if reloaded != nil {
			reloaded(err)
		}
	}
}

// read reads the files and judges what they hold.
func (c *Certificates) read() (*loaded, error) {
	cert, err := readFile(c.cfg.CertFile)
	if err != nil {
		return nil, fmt.Errorf("server.tls.cert_file: %w", err)
	}
	key, err := readFile(c.cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("server.tls.key_file: %w", err)
	}
	found := &loaded{}
	if found.certificate, err = tls.X509KeyPair(cert, key); err != nil {
		return nil, fmt.Errorf("server.tls: %s and %s: %w", c.cfg.CertFile, c.cfg.KeyFile, err)
	}
	switch leaf, now := found.certificate.Leaf, c.now(); {
	case now.After(leaf.NotAfter):
		return nil, fmt.Errorf("server.tls.cert_file: %s ran out at %s", c.cfg.CertFile, leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return nil, fmt.Errorf("server.tls.cert_file: %s is not valid before %s", c.cfg.CertFile, leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	var authorities []byte
	if c.cfg.ClientCAFile != "" {
		if authorities, err = readFile(c.cfg.ClientCAFile); err != nil {
			return nil, fmt.Errorf("server.tls.client_ca_file: %w", err)
		}
		found.clients = x509.NewCertPool()
		if !found.clients.AppendCertsFromPEM(authorities) {
			return nil, fmt.Errorf("server.tls.client_ca_file: %s holds no certificate in PEM", c.cfg.ClientCAFile)
		}
	}
	found.digest = sha256.Sum256(bytes.Join([][]byte{cert, key, authorities}, []byte{0}))
	return found, nil
}

// readFile reads a PEM file of a bounded size, whose blocks are whole: the library
// passes over one that is cut off, such as an authority of several while they are being
// written.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(raw) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	if err == nil && isCut(raw) {
		err = fmt.Errorf("%s: a PEM block is damaged or cut off", path)
	}
	return raw, err
}

// isCut reports whether more PEM blocks begin than can be read.
func isCut(raw []byte) bool {
	begun := bytes.Count(raw, []byte("-----BEGIN "))
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		begun--
	}
	return begun > 0
}
