package access

import (
	"strings"
	"testing"
	"time"
)

func TestTheConfigurationNamesEveryFault(t *testing.T) {
	token, hash := NewToken()
	_, other := NewToken()
	one := func(c Client) Config { return Config{Clients: []Client{c}} }
	for name, c := range map[string]struct {
		cfg  Config
		want []string // parts of the error; none: it is valid
	}{
		"nothing at all":                {Config{}, nil},
		"a client with a token":         {one(Client{"a", hash, "", []string{"predict", "read"}, ""}), nil},
		"a certificate without its key": {Config{TLS: TLS{CertFile: "c"}}, []string{"server.tls.cert_file, tls.key_file"}},
		"mutual TLS without TLS":        {Config{TLS: TLS{ClientCAFile: "c"}}, []string{"server.tls.client_ca_file"}},
		"an absurd interval":            {Config{TLS: TLS{CertFile: "c", KeyFile: "k", Reload: -time.Second}}, []string{"server.tls.reload"}},
		"a limit without a burst":       {Config{RateLimit: 1}, []string{"server.rate_burst"}},
		"a burst without a limit":       {Config{RateBurst: 1}, []string{"server.rate_burst"}},
		"a negative limit":              {Config{RateLimit: -1}, []string{"server.rate_limit"}},
		"a client with a file":          {one(Client{"a", "", "", []string{"read"}, "/x"}), nil},
		"a file for two clients":        {Config{Clients: []Client{{"a", "", "", []string{"read"}, "/x"}, {"b", "", "", []string{"read"}, "/x"}}}, []string{"clients[1] (b): is the same"}},
		"a client without a name":       {one(Client{"", hash, "", []string{"read"}, ""}), []string{"clients[0] ().name"}},
		"a client without anything":     {one(Client{"a", "", "", []string{"read"}, ""}), []string{"clients[0] (a).token, certificate"}},
		"a client with both":            {one(Client{"a", hash, "cn", []string{"read"}, ""}), []string{"clients[0] (a).token, certificate"}},
		"a certificate nobody asks for": {one(Client{"a", "", "cn", []string{"read"}, ""}), []string{"clients[0] (a).certificate", "client_ca_file"}},
		"no rights":                     {one(Client{"a", hash, "", nil, ""}), []string{"clients[0] (a).rights"}},
		"an unknown right":              {one(Client{"a", hash, "", []string{"write"}, ""}), []string{"rights", "write"}},
		"a token for its hash":          {one(Client{"a", token, "", []string{"read"}, ""}), []string{"is a secret", "make a new one"}},
		"a hash cut short":              {one(Client{"a", hash[:50], "", []string{"read"}, ""}), []string{"64 hexadecimal digits"}},
		"the same hash in capitals": {Config{Clients: []Client{{"a", hash, "", []string{"read"}, ""}, {"b", hashPrefix + strings.ToUpper(strings.TrimPrefix(hash, hashPrefix)), "", []string{"predict"}, ""}}},
			[]string{"clients[1] (b): is the same as clients[0] (a)"}},
		"several faults": {Config{RateLimit: -1, Clients: []Client{
			{"a", hash, "", []string{"read"}, ""}, {"b", hash, "", []string{"read"}, ""}, {"a", other, "", []string{"x"}, ""}}},
			[]string{"server.rate_limit", "clients[1] (b): is the same as clients[0] (a)", "clients[2] (a): is the same", "clients[2] (a).rights"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.cfg.Validate()
			if (err != nil) != (c.want != nil) {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\ndoes not say %q", err, want)
				}
			}
			if err != nil && (strings.Contains(err.Error(), token) || strings.Contains(err.Error(), strings.TrimPrefix(hash, hashPrefix)[:40])) {
				t.Errorf("it repeats what may be secret: %v", err)
			}
		})
	}
}

func TestWhatMustBeAskedForByNameToListenForOthers(t *testing.T) {
	_, hash := NewToken()
	clients := []Client{{"a", hash, "", []string{"read"}, ""}}
	encrypted := TLS{CertFile: "c", KeyFile: "k"}
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"no authentication is refused":                    {Config{}, "allow_anonymous"},
		"also with TLS":                                   {Config{TLS: encrypted}, "allow_anonymous"},
		"unless it is asked for":                          {Config{AllowAnonymous: true}, ""},
		"tokens in clear text are refused":                {Config{Clients: clients}, "allow_plaintext"},
		"also where nobody would have to send one":        {Config{Clients: clients, AllowAnonymous: true}, "allow_plaintext"},
		"unless that is asked for":                        {Config{Clients: clients, AllowPlaintext: true}, ""},
		"which says nothing of authentication":            {Config{AllowPlaintext: true}, "allow_anonymous"},
		"tokens under TLS are as it should be":            {Config{Clients: clients, TLS: encrypted}, ""},
		"and so are certificates of clients, without any": {Config{TLS: TLS{CertFile: "c", KeyFile: "k", ClientCAFile: "a"}}, ""},
	} {
		err := c.cfg.Remote()
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
