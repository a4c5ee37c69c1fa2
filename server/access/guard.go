package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// Reason says why a request was refused. It is a label of the metrics.
type Reason string

// The reasons.
const (
	Unauthenticated Reason = "unauthenticated" // nobody knows who asks
	Forbidden       Reason = "forbidden"       // who asks is known, and may not
	Limited         Reason = "limited"         // who asks may, and asks too often
)

// Refusal is the error for a request that must not be answered.
type Refusal struct {
	Reason Reason
	Client string        // who asked; empty: unknown
	Detail string        // for the client; it holds nothing that it has sent
	Wait   time.Duration // Limited: until it may ask again
}

// Error implements error.
func (r *Refusal) Error() string { return r.Detail }

// Caller is what is known of who makes a request.
type Caller struct {
	Remote        string                // address, host:port
	Authorization []string              // the values of that header
	Chains        [][]*x509.Certificate // of the client's certificate, as TLS has verified them
	// Session is who opened the session that the request came with; empty: none, or it
	// has ended. It counts where there is no header Authorization.
	Session string
}

// Known is who a caller is.
type Known struct {
	Name   string // empty: everyone is as good
	Rights Rights
	// Session says that nothing but the session's cookie, which a browser sends by
	// itself, told who it is.
	Session bool
}

// Guard judges requests. It is safe for concurrent use.
type Guard struct {
	now       func() time.Time
	open      bool // there is nobody to tell apart
	mutual    bool // whoever is there has shown a certificate
	tokens    []*client
	named     map[string]*client // by name in their certificates
	addresses *addresses         // nil: there is no limit
	logins    *addresses
}

// The limit of logins of one address. A token cannot be guessed; the limit keeps
// whoever tries from filling the log and from keeping the server busy.
const loginRate, loginBurst = rate.Limit(1), 20

// client is one of the configuration's, with a bucket of its own.
type client struct {
	name   string
	hash   [sha256.Size]byte
	rights Rights
	bucket *rate.Limiter // nil: there is no limit
}

// New returns the guard for a valid configuration. It reads the files of tokens.
func New(cfg Config, now func() time.Time) (*Guard, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	g := &Guard{now: now, open: len(cfg.Clients) == 0, mutual: cfg.TLS.ClientCAFile != "", named: map[string]*client{}, logins: newAddresses(loginRate, loginBurst)}
	if cfg.RateLimit > 0 {
		g.addresses = newAddresses(rate.Limit(cfg.RateLimit), cfg.RateBurst)
	}
	for _, c := range cfg.Clients {
		rights, err := parseRights(c.Rights)
		if err != nil {
			return nil, err
		}
		known := &client{name: c.Name, rights: rights}
		if cfg.RateLimit > 0 {
			known.bucket = rate.NewLimiter(rate.Limit(cfg.RateLimit), cfg.RateBurst)
		}
		if c.Certificate != "" {
			g.named[c.Certificate] = known
			continue
		}
		if known.hash, err = c.hash(); err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(g.tokens, func(other *client) bool { return other.hash == known.hash }); i >= 0 {
			return nil, fmt.Errorf("server.clients (%.40s): has the token of %.40s", c.Name, g.tokens[i].name)
		}
		g.tokens = append(g.tokens, known)
	}
	return g, nil
}

// Admit returns who makes a request that needs one of the given rights. The error is
// a *Refusal. A request that needs none is neither judged nor counted.
func (g *Guard) Admit(c Caller, need Rights) (Known, error) {
	if need == 0 {
		return Known{}, nil
	}
	found, rights, refusal := g.identify(c)
	known := Known{Name: nameOf(found), Rights: rights, Session: found != nil && c.Session != "" && len(c.Authorization) == 0}
	if wait := g.count(found, c.Remote); wait > 0 {
		return known, &Refusal{Reason: Limited, Client: known.Name, Wait: wait, Detail: "too many requests; slow down"}
	}
	switch {
	case refusal != nil:
		return Known{}, refusal
	case rights&need == 0:
		return known, &Refusal{Reason: Forbidden, Client: known.Name, Detail: fmt.Sprintf("client %s lacks the right %s", known.Name, need)}
	}
	return known, nil
}

// Login returns who has a token, for whom a session may be opened. The error is a
// *Refusal.
func (g *Guard) Login(c Caller, token string) (Known, error) {
	if wait := g.logins.take(addressOf(c.Remote), g.now()); wait > 0 {
		return Known{}, &Refusal{Reason: Limited, Wait: wait, Detail: "too many logins; slow down"}
	}
	if len(token) > maxToken { // whatever it is, it is none of ours
		token = ""
	}
	known := g.byToken(token)
	if known == nil {
		return Known{}, &Refusal{Reason: Unauthenticated, Detail: "the token is not known here"}
	}
	return Known{Name: known.name, Rights: known.rights, Session: true}, nil
}

// Open reports whether everyone may do everything, so that nobody need log in.
func (g *Guard) Open() bool { return g.open }

// identify tells who a caller is, and what he may do. Without clients in the
// configuration nobody is known, and only a certificate that has run out is refused.
func (g *Guard) identify(c Caller) (found *client, rights Rights, refusal *Refusal) {
	refuse := func(detail string) (*client, Rights, *Refusal) {
		return nil, 0, &Refusal{Reason: Unauthenticated, Detail: detail}
	}
	if g.mutual {
		if len(c.Chains) == 0 || len(c.Chains[0]) == 0 {
			return refuse("the client has shown no certificate")
		}
		leaf := c.Chains[0][0]
		if g.now().After(leaf.NotAfter) { // since the connection was opened
			return refuse("the client's certificate has run out")
		}
		for _, name := range namesOf(leaf) {
			if known := g.named[name]; known != nil {
				rights |= known.rights
				if found == nil {
					found = known
				}
			}
		}
	}
	if g.open {
		return nil, All, nil
	}
	token, err := tokenOf(c.Authorization)
	switch {
	case err != nil:
		return refuse(err.Error())
	case token != "":
		known := g.byToken(token)
		if known == nil {
			return refuse("the token is not known here")
		}
		return known, rights | known.rights, nil
	case c.Session != "":
		if known := g.byName(c.Session); known != nil {
			return known, rights | known.rights, nil
		}
	}
	if found == nil {
		return refuse("a token is needed; send Authorization: Bearer TOKEN")
	}
	return found, rights, nil
}

// byName returns the client with a token that has a name, nil when there is none.
func (g *Guard) byName(name string) *client {
	for _, c := range g.tokens {
		if c.name == name {
			return c
		}
	}
	return nil
}

// byToken returns the client with a token, nil when there is none. It compares the
// token's hash with all hashes, each in constant time: how long it takes tells
// nothing of them.
func (g *Guard) byToken(token string) *client {
	sum := sha256.Sum256([]byte(token))
	at := -1
	for i, c := range g.tokens {
		at = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], c.hash[:]), i, at)
	}
	if at < 0 {
		return nil
	}
	return g.tokens[at]
}

// count counts a request, and returns how long the caller must wait.
func (g *Guard) count(found *client, remote string) time.Duration {
	switch {
	case g.addresses == nil:
		return 0
	case found != nil:
		return take(found.bucket, g.now())
	}
	return g.addresses.take(addressOf(remote), g.now())
}

func nameOf(c *client) string {
	if c == nil {
		return ""
	}
	return c.name
}

// namesOf returns the names in a certificate.
func namesOf(leaf *x509.Certificate) []string {
	all := slices.Concat(leaf.DNSNames, leaf.EmailAddresses)
	for _, uri := range leaf.URIs {
		all = append(all, uri.String())
	}
	if leaf.Subject.CommonName != "" {
		all = append(all, leaf.Subject.CommonName)
	}
	return all
}
