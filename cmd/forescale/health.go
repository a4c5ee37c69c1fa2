package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/forescale/forescale/internal/cli"
)

const healthManual = `forescale health asks a service whether it is well, for images that have no curl.

  forescale health http://127.0.0.1:8650/healthz    well: the answer is 200 to 299
  forescale health tcp://127.0.0.1:4570             well: somebody listens

It follows no redirection and waits three seconds. On a loopback address any
certificate will do: who asks there knows whom, and the certificate is for others.

Exit codes: 0 well, 1 not, 2 the command line is wrong.`

// healthTimeout bounds the question, below the five seconds that Docker's checks
// are given here.
const healthTimeout = 3 * time.Second

func healthCommand() cli.Command {
	return cli.Command{Name: "forescale health", Manual: healthManual,
		Run: func(ctx context.Context, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("give one URL")
			}
			u, err := url.Parse(args[0])
			if err != nil {
				return &cli.UsageError{Err: err}
			}
			ctx, cancel := context.WithTimeout(ctx, healthTimeout)
			defer cancel()
			return askHealth(ctx, u)
		}}
}

// askHealth returns why the service at u is not well, nil when it is.
func askHealth(ctx context.Context, u *url.URL) error {
	switch {
	case u.Host == "" || u.User != nil:
		return cli.Usagef("%q: want http://HOST:PORT/PATH, https://… or tcp://HOST:PORT", u.Redacted())
	case u.Scheme == "tcp":
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
		if err != nil {
			return err
		}
		return conn.Close()
	case u.Scheme != "http" && u.Scheme != "https":
		return cli.Usagef("%q: the scheme must be http, https or tcp", u.Redacted())
	}
	transport := &http.Transport{Proxy: nil, DisableKeepAlives: true} // a service's own address is behind no proxy
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsLoopback() {
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // see the manual
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return &cli.UsageError{Err: err}
	}
	resp, err := client.Do(req)
	if err != nil {
		return errors.Unwrap(err) // without the method and the URL, which the caller knows
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	return nil
}
