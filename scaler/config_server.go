package scaler

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/api/client"
	"github.com/forescale/forescale/internal/tell"
)

// serverFaults returns what is wrong with the way to the prediction server. It reads
// no file.
func (c Config) serverFaults() (faults []error) {
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf("scaler."+format, args...)) }
	u, err := url.Parse(c.Server)
	switch {
	case err == nil && u.User != nil: // whose password no message may repeat
		bad("server: holds a user; use server_token")
		return faults
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		bad("server: %q is not a http or https URL", c.Server)
		return faults
	}
	if (c.ServerCertFile == "") != (c.ServerKeyFile == "") {
		bad("server_cert_file, server_key_file: one needs the other")
	}
	if u.Scheme == "http" && (c.ServerCAFile != "" || c.ServerCertFile != "") {
		bad("server: %q is not encrypted, so that server_ca_file and server_cert_file say nothing; use https", c.Server)
	}
	if err := c.ServerToken.Validate(); err != nil {
		bad("server_token: %w", err)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) && !c.ServerToken.IsZero() && !c.ServerAllowPlaintext {
		bad("server_token: would travel to %s in clear text; use https, or set server_allow_plaintext: true where something else encrypts", u.Host)
	}
	return faults
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// CheckServer reads the files and the token that the way to the prediction server
// needs, and returns all faults at once.
func (c Config) CheckServer() error {
	var faults []error
	if err := c.serverTLS().Check(); err != nil {
		faults = append(faults, fmt.Errorf("scaler.server_ca_file, server_cert_file, server_key_file: %w", err))
	}
	if _, err := c.ServerToken.Read(); err != nil {
		faults = append(faults, fmt.Errorf("scaler.server_token: %w", err))
	}
	return errors.Join(faults...)
}

func (c Config) serverTLS() client.TLS {
	return client.TLS{CAFile: c.ServerCAFile, CertFile: c.ServerCertFile, KeyFile: c.ServerKeyFile}
}

// NewTeller returns who tells the prediction server of decisions, nil when it is not
// to be told.
func (c Config) NewTeller(log *slog.Logger) (*tell.Teller, error) {
	if !c.Notify {
		return nil, nil
	}
	told := tell.Config{URL: c.Server, CAFile: c.ServerCAFile, CertFile: c.ServerCertFile, KeyFile: c.ServerKeyFile, Token: c.ServerToken, AllowPlaintext: c.ServerAllowPlaintext}
	teller, err := told.Open(log)
	if err != nil {
		return nil, fmt.Errorf("scaler: %w", err)
	}
	return teller, nil
}

// Told is what a server is told of a tick.
func Told(rec api.TickRecord) api.Changed {
	return api.Changed{At: rec.Tick, What: []string{api.ChangedDecision, api.ChangedForecast}}
}

// NewClient returns a client of the prediction server.
func (c Config) NewClient() (*client.Client, error) {
	options := []client.Option{client.WithTimeout(c.Deadlines.Predict), client.WithTLS(c.serverTLS())}
	if !c.ServerToken.IsZero() {
		options = append(options, client.WithToken(c.ServerToken.Read))
	}
	found, err := client.New(c.Server, options...)
	if err != nil {
		return nil, fmt.Errorf("scaler.server: %w", err)
	}
	return found, nil
}
