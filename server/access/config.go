package access

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/forescale/forescale/internal/conf"
)

// Config says who may ask the server for what. It is part of the section server.
type Config struct {
	TLS TLS `yaml:"tls"`
	// Clients are those who may use the server, each by a token or a certificate.
	// None: everyone may do everything, or, with tls.client_ca_file, everyone with a
	// certificate of that authority.
	Clients []Client `yaml:"clients"`
	// RateLimit is how many requests a second a client may make, and RateBurst how
	// many at once; 0: any number. Who has shown neither token nor certificate is
	// counted by address. Health and readiness are not counted.
	RateLimit float64 `yaml:"rate_limit"`
	RateBurst int     `yaml:"rate_burst"`
	// AllowAnonymous permits listening where other machines can reach the server with
	// neither clients nor tls.client_ca_file.
	AllowAnonymous bool `yaml:"allow_anonymous"`
	// AllowPlaintext permits listening there with tokens and without TLS: whoever
	// stands between can read and use them. It is for those who have something else
	// that encrypts.
	AllowPlaintext bool `yaml:"allow_plaintext"`
}

// TLS says how connections are encrypted, over HTTP and gRPC alike.
type TLS struct {
	// CertFile and KeyFile are the server's certificate, with those between it and
	// the authority, and its key, in PEM. Empty: there is no TLS.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ClientCAFile holds the authorities, in PEM, one of which must have signed the
	// certificate of every client (mutual TLS). Empty: clients need none.
	ClientCAFile string `yaml:"client_ca_file"`
	// Reload is how often the files are read again. 0: every 10 seconds.
	Reload time.Duration `yaml:"reload"`
}

// defaultReload is what TLS.Reload of 0 means.
const defaultReload = 10 * time.Second

// Client is someone who may use the server.
type Client struct {
	Name string `yaml:"name"` // for the log
	// Token is the hash of its token: what `forescale token` prints.
	Token string `yaml:"token"`
	// Certificate is a name in its certificate: a DNS name, a URI, an e-mail address
	// or the common name.
	Certificate string   `yaml:"certificate"`
	Rights      []string `yaml:"rights"` // predict, read, metrics, admin, notify
	// TokenFile is the path of a file with that hash, for those who make tokens when
	// they install. It is read at the start.
	TokenFile string `yaml:"token_file"`
}

// maxRate bounds rate_limit and rate_burst.
const maxRate = 1e9

// Authenticates reports whether callers must say who they are.
func (c Config) Authenticates() bool { return len(c.Clients) > 0 || c.TLS.ClientCAFile != "" }

// Encrypts reports whether connections are encrypted.
func (c Config) Encrypts() bool { return c.TLS.CertFile != "" }

// Remote returns why an address that other machines can reach must not be listened
// on, nil when it may be.
func (c Config) Remote() error {
	switch {
	case !c.Authenticates() && !c.AllowAnonymous:
		return errors.New("there is no authentication; use 127.0.0.1, list server.clients, or set server.allow_anonymous: true")
	case c.Authenticates() && !c.Encrypts() && !c.AllowPlaintext:
		return errors.New("tokens would travel in clear text; use 127.0.0.1, set server.tls, or set server.allow_plaintext: true where something else encrypts")
	}
	return nil
}

// Validate returns all faults at once. It reads no file.
func (c Config) Validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf("server."+format, args...)) }
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		bad("tls.cert_file, tls.key_file: one needs the other")
	}
	if c.TLS.ClientCAFile != "" && c.TLS.CertFile == "" {
		bad("tls.client_ca_file: needs cert_file and key_file")
	}
	if c.TLS.Reload != 0 && (c.TLS.Reload < 10*time.Millisecond || c.TLS.Reload > 24*time.Hour) {
		bad("tls.reload: is %s, must be 10ms to 24h", c.TLS.Reload)
	}
	if !(c.RateLimit >= 0 && c.RateLimit <= maxRate) || math.IsInf(c.RateLimit, 0) {
		bad("rate_limit: is %g, must be 0 to %g requests a second", c.RateLimit, maxRate)
	}
	if c.RateBurst < 0 || c.RateBurst > maxRate || (c.RateBurst > 0) != (c.RateLimit > 0) {
		bad("rate_burst: is %d; it must be above 0 with rate_limit, and 0 without it", c.RateBurst)
	}
	taken := map[string]string{}
	for i, client := range c.Clients {
		where := fmt.Sprintf("clients[%d] (%.40s)", i, client.Name)
		for _, key := range client.identities() {
			if other, again := taken[key]; again {
				bad("%s: is the same as %s", where, other)
			}
			taken[key] = where
		}
		if err := client.validate(c.TLS.ClientCAFile != ""); err != nil {
			bad("%s.%w", where, err)
		}
	}
	return errors.Join(faults...)
}

// identities are what no other client may have.
func (c Client) identities() []string {
	list := []string{"name " + c.Name}
	if c.Token != "" {
		list = append(list, "token "+strings.ToLower(c.Token)) // hexadecimal digits have two cases
	}
	if c.Certificate != "" {
		list = append(list, "certificate "+c.Certificate)
	}
	if c.TokenFile != "" {
		list = append(list, "token_file "+c.TokenFile)
	}
	return list
}

func (c Client) validate(mutual bool) error {
	if c.Name == "" || len(c.Name) > 255 {
		return errors.New("name: must be 1 to 255 bytes long")
	}
	ways := 0
	for _, way := range []string{c.Token, c.Certificate, c.TokenFile} {
		if way != "" {
			ways++
		}
	}
	if ways != 1 {
		return errors.New("token, certificate, token_file: one of them says how the client is known")
	}
	if c.Token != "" {
		if _, err := parseHash(c.Token); err != nil {
			return fmt.Errorf("token: %w", err)
		}
	}
	if c.Certificate != "" && !mutual {
		return errors.New("certificate: needs server.tls.client_ca_file, without which no client shows one")
	}
	if _, err := parseRights(c.Rights); err != nil {
		return fmt.Errorf("rights: %w", err)
	}
	return nil
}

// hash returns the hash of the client's token, out of its file where it has one.
func (c Client) hash() (sum [sha256.Size]byte, err error) {
	if c.TokenFile == "" {
		return parseHash(c.Token)
	}
	text, err := conf.Secret{File: c.TokenFile}.Read()
	if err != nil {
		return sum, fmt.Errorf("server.clients (%.40s).token_file: %w", c.Name, err)
	}
	if sum, err = parseHash(text); err != nil {
		return sum, fmt.Errorf("server.clients (%.40s).token_file: %s: %w", c.Name, c.TokenFile, err)
	}
	return sum, nil
}
