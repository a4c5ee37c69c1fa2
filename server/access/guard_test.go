package access

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/quick"
	"time"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func guard(t *testing.T, cfg Config, now func() time.Time) *Guard {
	t.Helper()
	g, err := New(cfg, now)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// chain is that of a verified certificate with the given names.
func chain(until time.Time, cn string, dns []string, uris ...string) [][]*x509.Certificate {
	leaf := &x509.Certificate{NotAfter: until, Subject: pkix.Name{CommonName: cn}, DNSNames: dns}
	for _, text := range uris {
		u, err := url.Parse(text)
		if err != nil {
			panic(err)
		}
		leaf.URIs = append(leaf.URIs, u)
	}
	return [][]*x509.Certificate{{leaf}}
}

func TestWhoMayDoWhat(t *testing.T) {
	scaler, scalerHash := NewToken()
	scrape, scrapeHash := NewToken()
	unknown, _ := NewToken()
	tokens := Config{Clients: []Client{
		{Name: "scaler", Token: scalerHash, Rights: []string{"predict"}},
		{Name: "prometheus", Token: scrapeHash, Rights: []string{"metrics", "read"}},
	}}
	mutual := tokens
	mutual.TLS = TLS{CertFile: "c", KeyFile: "k", ClientCAFile: "a"}
	mutual.Clients = append(mutual.Clients[:2:2], Client{Name: "ops", Certificate: "spiffe://site/ops", Rights: []string{"admin"}})
	anyCert := Config{TLS: mutual.TLS}
	bearer := func(token string) []string { return []string{"Bearer " + token} }
	basic := func(text string) []string {
		return []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(text))}
	}
	valid := noon.Add(time.Hour)
	for name, c := range map[string]struct {
		cfg    Config
		caller Caller
		need   Rights
		client string
		want   Reason // empty: admitted
	}{
		"a token admits to its right":                    {tokens, Caller{Authorization: bearer(scaler)}, Predict, "scaler", ""},
		"and to nothing else":                            {tokens, Caller{Authorization: bearer(scaler)}, Metrics, "scaler", Forbidden},
		"one of several rights is enough":                {tokens, Caller{Authorization: bearer(scaler)}, Read | Predict, "scaler", ""},
		"nobody has a right that is not listed":          {tokens, Caller{Authorization: bearer(scrape)}, Admin, "prometheus", Forbidden},
		"the word Bearer is written as one likes":        {tokens, Caller{Authorization: []string{"bearer  " + scaler}}, Predict, "scaler", ""},
		"a browser sends the token as a password":        {tokens, Caller{Authorization: basic("anyone:" + scrape)}, Read, "prometheus", ""},
		"a token as a user is none":                      {tokens, Caller{Authorization: basic(scrape + ":")}, Read, "", Unauthenticated},
		"without a token nothing goes":                   {tokens, Caller{}, Predict, "", Unauthenticated},
		"what needs no right goes without":               {tokens, Caller{Authorization: bearer("x")}, 0, "", ""},
		"an unknown token is refused":                    {tokens, Caller{Authorization: bearer(unknown)}, Predict, "", Unauthenticated},
		"the hash of a token is none":                    {tokens, Caller{Authorization: bearer(scalerHash)}, Predict, "", Unauthenticated},
		"half a token is none":                           {tokens, Caller{Authorization: bearer(scaler[:20])}, Predict, "", Unauthenticated},
		"two tokens are none":                            {tokens, Caller{Authorization: append(bearer(scaler), bearer(scrape)...)}, Predict, "", Unauthenticated},
		"an endless token is none":                       {tokens, Caller{Authorization: bearer(strings.Repeat("x", 1<<20))}, Predict, "", Unauthenticated},
		"another scheme is none":                         {tokens, Caller{Authorization: []string{"Digest " + scaler}}, Predict, "", Unauthenticated},
		"an empty header is none":                        {tokens, Caller{Authorization: []string{""}}, Predict, "", Unauthenticated},
		"a certificate is nothing where none is asked":   {tokens, Caller{Chains: chain(valid, "scaler", nil)}, Predict, "", Unauthenticated},
		"a name in the certificate admits":               {mutual, Caller{Chains: chain(valid, "x", nil, "spiffe://site/ops")}, Admin, "ops", ""},
		"and to nothing else either":                     {mutual, Caller{Chains: chain(valid, "x", nil, "spiffe://site/ops")}, Read, "ops", Forbidden},
		"another name does not":                          {mutual, Caller{Chains: chain(valid, "ops", []string{"site"})}, Admin, "", Unauthenticated},
		"a token adds to the certificate":                {mutual, Caller{Chains: chain(valid, "x", nil, "spiffe://site/ops"), Authorization: bearer(scaler)}, Admin, "scaler", ""},
		"a wrong token spoils it":                        {mutual, Caller{Chains: chain(valid, "x", nil, "spiffe://site/ops"), Authorization: bearer(unknown)}, Admin, "", Unauthenticated},
		"a token alone does not do for mutual TLS":       {mutual, Caller{Authorization: bearer(scaler)}, Predict, "", Unauthenticated},
		"a certificate may run out during a connection":  {mutual, Caller{Chains: chain(noon.Add(-time.Second), "x", nil, "spiffe://site/ops")}, Admin, "", Unauthenticated},
		"without clients any certificate will do":        {anyCert, Caller{Chains: chain(valid, "x", nil)}, Admin, "", ""},
		"unless it has run out":                          {anyCert, Caller{Chains: chain(noon.Add(-time.Second), "x", nil)}, Admin, "", Unauthenticated},
		"and some there must be":                         {anyCert, Caller{}, Read, "", Unauthenticated},
		"a session stands for its client":                {tokens, Caller{Session: "scaler"}, Predict, "scaler", ""},
		"and has no other rights":                        {tokens, Caller{Session: "scaler"}, Read, "scaler", Forbidden},
		"a header counts before a session":               {tokens, Caller{Session: "scaler", Authorization: bearer(scrape)}, Read, "prometheus", ""},
		"and a wrong one spoils it":                      {tokens, Caller{Session: "scaler", Authorization: bearer(unknown)}, Predict, "", Unauthenticated},
		"a session of a client that is gone is none":     {tokens, Caller{Session: "gone"}, Predict, "", Unauthenticated},
		"nobody has a session by a certificate's name":   {mutual, Caller{Session: "ops"}, Admin, "", Unauthenticated},
		"a session needs the certificate too":            {mutual, Caller{Session: "scaler"}, Predict, "", Unauthenticated},
		"and adds to it":                                 {mutual, Caller{Session: "scaler", Chains: chain(valid, "x", nil, "spiffe://site/ops")}, Admin, "scaler", ""},
		"with nothing configured everyone may do it all": {Config{}, Caller{}, Admin, "", ""},
		"also those who send a token all the same":       {Config{}, Caller{Authorization: bearer("x")}, Predict, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			known, err := guard(t, c.cfg, at(noon)).Admit(c.caller, c.need)
			client := known.Name
			if bySession := c.caller.Session != "" && c.caller.Authorization == nil && client != ""; err == nil && known.Session != bySession {
				t.Errorf("known by a session: %v", known.Session)
			}
			var refusal *Refusal
			switch {
			case c.want == "" && (err != nil || client != c.client):
				t.Errorf("client %q, %v", client, err)
			case c.want != "" && (!errors.As(err, &refusal) || refusal.Reason != c.want || refusal.Client != c.client):
				t.Errorf("client %q, %#v; want %s", client, err, c.want)
			}
			if err != nil && (strings.Contains(err.Error(), scaler) || strings.Contains(err.Error(), unknown) || strings.Contains(err.Error(), "sha256")) {
				t.Errorf("the error holds a secret: %v", err)
			}
		})
	}
}

func TestTokensAreLongRandomAndKnownByTheirHash(t *testing.T) {
	token, hash := NewToken()
	again, _ := NewToken()
	if token == again || len(token) < 40 || HashToken(token) != hash || strings.Contains(hash, token) {
		t.Errorf("%q, %q, hash %q", token, again, hash)
	}
	// The hash is what anyone can work out with sha256sum.
	if got := HashToken("abc"); got != "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Error(got)
	}
}

func TestARateLimitHoldsForEachClientAndEachAddress(t *testing.T) {
	a, hashA := NewToken()
	b, hashB := NewToken()
	now := noon
	g := guard(t, Config{RateLimit: 2, RateBurst: 3, Clients: []Client{
		{Name: "a", Token: hashA, Rights: []string{"predict"}}, {Name: "b", Token: hashB, Rights: []string{"predict"}},
	}}, func() time.Time { return now })
	reason := func(remote, token string) (Reason, time.Duration) {
		c := Caller{Remote: remote}
		if token != "" {
			c.Authorization = []string{"Bearer " + token}
		}
		_, err := g.Admit(c, Predict)
		var r *Refusal
		if errors.As(err, &r) {
			return r.Reason, r.Wait
		}
		return "", 0
	}
	for i := range 3 {
		if got, _ := reason(fmt.Sprintf("10.0.0.%d:1", i), a); got != "" {
			t.Fatal(got)
		}
	}
	if got, wait := reason("10.0.0.9:1", a); got != Limited || wait != 500*time.Millisecond {
		t.Errorf("a after its burst, from another address: %s, wait %s", got, wait)
	}
	if got, _ := reason("10.0.0.9:1", b); got != "" {
		t.Errorf("b has a bucket of its own: %s", got)
	}
	now = now.Add(500 * time.Millisecond)
	if got, _ := reason("10.0.0.9:1", a); got != "" {
		t.Errorf("a after the wait: %s", got)
	}
	for range 3 {
		if got, _ := reason("[2001:db8::1]:1", "wrong"); got != Unauthenticated {
			t.Fatal(got)
		}
	}
	if got, _ := reason("[2001:db8::2]:7", ""); got != Limited {
		t.Errorf("the same network after its burst: %s", got)
	}
	if got, _ := reason("[2001:db8:0:1::1]:1", ""); got != Unauthenticated {
		t.Errorf("another network: %s", got)
	}
	if _, err := g.Admit(Caller{Remote: "[2001:db8::2]:7"}, 0); err != nil {
		t.Errorf("what needs no right is not counted: %v", err)
	}
}

func TestTheAddressesThatAreRememberedAreBounded(t *testing.T) {
	g := guard(t, Config{RateLimit: 1, RateBurst: 1}, at(noon))
	ask := func(n int) error {
		_, err := g.Admit(Caller{Remote: fmt.Sprintf("10.%d.%d.%d:1", n>>16, n>>8&255, n&255)}, Predict)
		return err
	}
	for n := range maxAddresses + 100 {
		if err := ask(n); err != nil {
			t.Fatal(n, err)
		}
	}
	if n := len(g.addresses.known); n != maxAddresses || g.addresses.order.Len() != n {
		t.Errorf("%d addresses in the map, %d in the list", n, g.addresses.order.Len())
	}
	if ask(maxAddresses+99) == nil || ask(100) == nil {
		t.Error("one that is remembered has used up its burst")
	}
	if err := ask(0); err != nil {
		t.Errorf("the one seen longest ago is forgotten: %v", err)
	}
}

func TestAnAddressIsCountedByWhatItsOwnerCannotChoose(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:80": "192.0.2.7", "[::ffff:192.0.2.7]:80": "192.0.2.7", "[2001:db8::5%eth0]:80": "2001:db8::",
		"[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::", "@": "invalid IP", "": "invalid IP", "name:1": "invalid IP",
	} {
		if got := addressOf(remote).String(); got != want {
			t.Errorf("%q is counted as %s, want %s", remote, got, want)
		}
	}
}

func TestNoHeaderMakesTheGuardPanicOrAdmits(t *testing.T) {
	_, hash := NewToken()
	g := guard(t, Config{Clients: []Client{{Name: "a", Token: hash, Rights: []string{"predict"}}}}, at(noon))
	refused := func(remote string, headers []string) bool {
		_, err := g.Admit(Caller{Remote: remote, Authorization: headers}, Predict)
		return err != nil
	}
	if err := quick.Check(refused, nil); err != nil {
		t.Error(err)
	}
}

// FuzzTokenOf holds tokenOf to what it promises for any header.
func FuzzTokenOf(f *testing.F) {
	for _, seed := range []string{"Bearer x", "Basic YTpi", "Basic :", "bearer", "Bearer \x00", "", "Basic " + strings.Repeat("A", 2000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		token, err := tokenOf([]string{header})
		if (token == "") != (err != nil) || len(token) > maxToken {
			t.Fatalf("%q gives %q, %v", header, token, err)
		}
		if err == nil && strings.HasPrefix(strings.ToLower(header), "bearer ") && !strings.HasSuffix(header, token) {
			t.Fatalf("%q gives %q", header, token)
		}
	})
}

func TestATokenWhoseHashIsInAFile(t *testing.T) {
	token, hash := NewToken()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	read := func(name, path string) Client { return Client{Name: name, Rights: []string{"read"}, TokenFile: path} }
	sound := read("a", file("hash", hash+"\n"))
	g, err := New(Config{Clients: []Client{sound}}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if known, err := g.Admit(Caller{Authorization: []string{"Bearer " + token}}, Read); err != nil || known.Name != "a" {
		t.Errorf("client %+v, %v", known, err)
	}
	for name, c := range map[string]struct {
		clients []Client
		want    string
	}{
		"a file that is not there":   {[]Client{read("a", filepath.Join(dir, "none"))}, "none"},
		"an empty file":              {[]Client{read("a", file("empty", "\n"))}, "must hold 1 to"},
		"a token for its hash":       {[]Client{read("a", file("token", token))}, "is a secret"},
		"a token of two clients":     {[]Client{sound, {Name: "b", Token: hash, Rights: []string{"read"}}}, "(b): has the token of a"},
		"a token in two other files": {[]Client{sound, read("b", file("again", hash))}, "(b): has the token of a"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := New(Config{Clients: c.clients}, time.Now); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), token) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestALoginShowsATokenAndIsLimitedByAddress(t *testing.T) {
	token, hash := NewToken()
	now := noon
	g := guard(t, Config{Clients: []Client{{Name: "ops", Token: hash, Rights: []string{"read", "admin"}}}}, func() time.Time { return now })
	one, other := Caller{Remote: "10.0.0.1:1"}, Caller{Remote: "10.0.0.2:1"}
	if known, err := g.Login(one, token); err != nil || known != (Known{"ops", Read | Admin, true}) {
		t.Errorf("%+v, %v", known, err)
	}
	for _, wrong := range []string{"", "x", hash, token[:len(token)-1], strings.Repeat("x", 1<<20)} {
		var refusal *Refusal
		if _, err := g.Login(one, wrong); !errors.As(err, &refusal) || refusal.Reason != Unauthenticated {
			t.Errorf("%.20q: %v", wrong, err)
		}
	}
	for range loginBurst {
		_, _ = g.Login(one, "x")
	}
	var refusal *Refusal
	if _, err := g.Login(one, token); !errors.As(err, &refusal) || refusal.Reason != Limited || refusal.Wait != time.Second {
		t.Errorf("after many: %#v", err)
	}
	if _, err := g.Login(other, token); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	now = now.Add(time.Second)
	if _, err := g.Login(one, token); err != nil {
		t.Errorf("a second later: %v", err)
	}
}
