package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// TLS says whom a Client trusts and how it makes itself known. All files are PEM, and
// are read again for each connection, so that they may be exchanged meanwhile.
type TLS struct {
	CAFile   string // authorities that may have signed the server's certificate; empty: the system's
	CertFile string // the client's certificate; empty: none
	KeyFile  string
}

// WithTLS sets whom the Client trusts and how it makes itself known. It matters only
// for a server at https.
func WithTLS(t TLS) Option { return func(c *Client) { c.tls = t } }

// WithToken sends the bearer token that the function returns, which is called for
// each attempt. An empty token is not sent.
func WithToken(token func() (string, error)) Option { return func(c *Client) { c.token = token } }

// Check returns what is wrong with the files, by name.
func (t TLS) Check() error {
	_, err := t.config("")
	return err
}

const (
	maxFile          = 1 << 20 // bytes of a file with certificates or a key
	handshakeTimeout = 10 * time.Second
)

// config reads the files.
func (t TLS) config(serverName string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName, NextProtos: []string{"http/1.1"}}
	if t.CAFile != "" {
		raw, err := readFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("certificate authorities: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(raw) {
			return nil, fmt.Errorf("certificate authorities: %s holds no certificate in PEM", t.CAFile)
		}
	}
	if t.CertFile == "" && t.KeyFile == "" {
		return cfg, nil
	}
	cert, err := readFile(t.CertFile)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	key, err := readFile(t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("key of the client certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %s and %s: %w", t.CertFile, t.KeyFile, err)
	}
	cfg.Certificates = []tls.Certificate{pair}
	return cfg, nil
}

// dial connects to a server at https. It does what the transport would, with files
// that are as they are now.
func (t TLS) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	cfg, err := t.config(host)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	dialer := &tls.Dialer{Config: cfg}
	return dialer.DialContext(ctx, network, address)
}

// authorize adds the token. No error holds it.
func (c *Client) authorize(r *http.Request) error {
	if c.token == nil {
		return nil
	}
	token, err := c.token()
	switch {
	case err != nil:
		return fmt.Errorf("token: %w", err)
	case token == "":
		return nil
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return errors.New("token: holds a space, a line break or something else that no token has")
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// readFile reads a file of a bounded size.
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
	return raw, err
}
