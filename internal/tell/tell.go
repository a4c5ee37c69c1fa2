// Package tell tells the prediction server, whose pages people look at, that
// something new is in the stores. It is a courtesy: the server finds out by itself a
// little later. So nothing that happens here delays or fails what it is told about.
package tell

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/api/client"
	"github.com/forescale/forescale/internal/conf"
)

// Config says whom to tell. It is the section notify of a service.
type Config struct {
	// URL is the base URL of the prediction server; empty: nobody is told. Of several
	// servers behind one address one is told; the others look into the store.
	URL string `yaml:"url"`
	// CAFile holds the authorities, in PEM, that may have signed its certificate;
	// empty: the system's. CertFile and KeyFile are our own certificate; empty: none.
	CAFile   string `yaml:"ca_file"`
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// Token is the bearer token with the right notify. AllowPlaintext permits sending
	// it to another machine without TLS, where something else encrypts.
	Token          conf.Secret `yaml:"token"`
	AllowPlaintext bool        `yaml:"allow_plaintext"`
}

// Validate returns all faults at once. It reads no file.
func (c Config) Validate() error {
	if c.URL == "" {
		if c != (Config{}) {
			return errors.New("url: is missing, without which nobody is told")
		}
		return nil
	}
	u, err := url.Parse(c.URL)
	switch {
	case err == nil && u.User != nil: // whose password no message may repeat
		return errors.New("url: holds a user; use token")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("url: %q is not a http or https URL", c.URL)
	}
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if (c.CertFile == "") != (c.KeyFile == "") {
		bad("cert_file, key_file: one needs the other")
	}
	if u.Scheme == "http" && (c.CAFile != "" || c.CertFile != "") {
		bad("url: %q is not encrypted, so that ca_file and cert_file say nothing; use https", c.URL)
	}
	if err := c.Token.Validate(); err != nil {
		bad("token: %w", err)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) && !c.Token.IsZero() && !c.AllowPlaintext {
		bad("token: would travel to %s in clear text; use https, or set allow_plaintext: true where something else encrypts", u.Host)
	}
	return errors.Join(faults...)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c Config) tls() client.TLS {
	return client.TLS{CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile}
}

// Check reads the files and the token, and returns all faults at once.
func (c Config) Check() error {
	if c.URL == "" {
		return nil
	}
	var faults []error
	if err := c.tls().Check(); err != nil {
		faults = append(faults, fmt.Errorf("ca_file, cert_file, key_file: %w", err))
	}
	if _, err := c.Token.Read(); err != nil {
		faults = append(faults, fmt.Errorf("token: %w", err))
	}
	return errors.Join(faults...)
}

// Open returns the teller of a valid configuration, nil when nobody is to be told.
func (c Config) Open(log *slog.Logger) (*Teller, error) {
	if c.URL == "" {
		return nil, nil
	}
	options := []client.Option{client.WithTimeout(timeout), client.WithAttempts(1), client.WithTLS(c.tls())}
	if !c.Token.IsZero() {
		options = append(options, client.WithToken(c.Token.Read))
	}
	found, err := client.New(c.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("notify.url: %w", err)
	}
	return New(found, time.Now, log), nil
}

const (
	timeout = 2 * time.Second
	// resign is for how long a server is let alone that has said that it does not want
	// to be told: by this client, or at all.
	resign = time.Hour
)

// Server is who is told; *client.Client is one.
type Server interface {
	Notify(ctx context.Context, news api.Changed) error
}

// Teller tells a server. A nil Teller tells nobody. It is safe for concurrent use.
type Teller struct {
	server Server
	now    func() time.Time
	log    *slog.Logger

	mu      sync.Mutex
	news    *api.Changed  // not told yet; guarded by mu, with what follows
	done    chan struct{} // closed when nobody tells any more; nil: nobody does
	until   time.Time     // nothing is told before
	failing bool          // the last time failed, and that is in the log
}

// New returns a teller.
func New(server Server, now func() time.Time, log *slog.Logger) *Teller {
	return &Teller{server: server, now: now, log: log}
}

// Tell has the server told soon, and returns at once. News that come while it is
// being told are told together.
func (t *Teller) Tell(news api.Changed) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now().Before(t.until) {
		return
	}
	t.news = merged(t.news, news)
	if t.done == nil {
		t.done = make(chan struct{})
		go t.run() // it ends when everything is told, each within the timeout
	}
}

// merged joins news. No groups are any group.
func merged(old *api.Changed, news api.Changed) *api.Changed {
	if old == nil {
		return &news
	}
	for _, w := range news.What {
		if !slices.Contains(old.What, w) {
			old.What = append(slices.Clone(old.What), w)
		}
	}
	if len(old.Groups) == 0 || len(news.Groups) == 0 {
		old.Groups = nil
	} else {
		old.Groups = slices.Compact(slices.Sorted(slices.Values(slices.Concat(old.Groups, news.Groups))))
	}
	if news.At.After(old.At) {
		old.At = news.At
	}
	return old
}

func (t *Teller) run() {
	for {
		t.mu.Lock()
		news := t.news
		t.news = nil
		if news == nil {
			close(t.done)
			t.done = nil
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		err := t.server.Notify(ctx, *news)
		cancel()
		t.told(err)
	}
}

// told notes what came of telling, and logs it when that has changed.
func (t *Teller) told(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var refused *api.Problem
	if errors.As(err, &refused) {
		switch refused.Status {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
			t.until, t.news = t.now().Add(resign), nil
		}
	}
	if failing := err != nil; failing != t.failing {
		t.failing = failing
		if failing {
			t.log.Info("the server cannot be told of news; its pages show them a little later", "err", err)
		} else {
			t.log.Info("the server is told of news again")
		}
	}
}

// Wait returns when everything is told, or ctx ends: for a process that is about to.
func (t *Teller) Wait(ctx context.Context) {
	if t == nil {
		return
	}
	t.mu.Lock()
	done := t.done
	t.mu.Unlock()
	if done == nil {
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}
