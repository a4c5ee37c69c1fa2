package mqtt

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/conf"
)

func TestConfigFillsInWhatTheFileLeavesOut(t *testing.T) {
	var c Config
	text := "broker: mqtts://broker.example\nclient_id: c\npassword: {file: /run/secrets/mqtt}\nusername: u\n"
	if err := conf.Decode([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	want.Broker, want.ClientID, want.Username, want.Password = "mqtts://broker.example", "c", "u", conf.Secret{File: "/run/secrets/mqtt"}
	if err := c.Validate(); err != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, %v", c, err)
	}
	if err := conf.Decode([]byte("topics:\n  - topic: a/{group}/{sensor}\n"), &c); err != nil || len(c.Topics) != 1 {
		t.Errorf("a list of one's own replaces the default: %+v, %v", c.Topics, err)
	}
	if err := conf.Decode([]byte("brokr: x\n"), &c); err == nil || !strings.Contains(err.Error(), "brokr") {
		t.Errorf("an unknown key: %v", err)
	}
}

func TestConfigFaults(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string // "": valid
	}{
		"the defaults with a broker and an id": {func(*Config) {}, ""},
		"no broker":                            {func(c *Config) { c.Broker = "" }, "broker: must be"},
		"another scheme":                       {func(c *Config) { c.Broker = "https://x" }, "broker: must be"},
		"a path":                               {func(c *Config) { c.Broker = "mqtt://x/y" }, "broker: must be"},
		"a user name in the address":           {func(c *Config) { c.Broker = "mqtt://u:secret@x" }, "set username and password"},
		"an address that is no URL":            {func(c *Config) { c.Broker = "mqtt://u:secret@x:y" }, "is no URL"},
		"a version that is not spoken":         {func(c *Config) { c.Version = "3.1" }, "version"},
		"no client id":                         {func(c *Config) { c.ClientID = "" }, "client_id"},
		"a client id that is too long":         {func(c *Config) { c.ClientID = strings.Repeat("x", 129) }, "client_id"},
		"a password without a user":            {func(c *Config) { c.Password.Env = "A" }, "username"},
		"a password from two places":           {func(c *Config) { c.Username, c.Password = "u", conf.Secret{Env: "A", File: "b"} }, "exclude"},
		"a certificate without its key":        {func(c *Config) { c.TLS.Cert = "a" }, "need each other"},
		"certificates without TLS":             {func(c *Config) { c.Broker, c.TLS.CA = "mqtt://x", "a" }, "needs a broker mqtts"},
		"AWS on port 443 without its protocol": {func(c *Config) { c.Broker = "mqtts://a-ats.iot.eu-central-1.amazonaws.com:443" }, alpnAWS},
		"AWS on port 443":                      {func(c *Config) { c.Broker, c.TLS.ALPN = "mqtts://a-ats.iot.eu-central-1.amazonaws.com:443", alpnAWS }, ""},
		"more levels than AWS takes": {func(c *Config) {
			c.Broker, c.Topics = "mqtts://a.amazonaws.com", []Pattern{{Topic: "a/b/c/d/e/f/g/{group}/{sensor}"}}
		}, "slashes"},
		"as many levels elsewhere":    {func(c *Config) { c.Topics = []Pattern{{Topic: "a/b/c/d/e/f/g/{group}/{sensor}"}} }, ""},
		"no topics":                   {func(c *Config) { c.Topics = nil }, "at least one"},
		"a topic without a group":     {func(c *Config) { c.Topics = []Pattern{{Topic: "a/{sensor}"}} }, "{group}"},
		"a topic with a fixed group":  {func(c *Config) { c.Topics = []Pattern{{Topic: "a/{sensor}", Group: "g"}} }, ""},
		"a group said twice":          {func(c *Config) { c.Topics = []Pattern{{Topic: "{group}/{sensor}", Group: "g"}} }, "says it already"},
		"a level said twice":          {func(c *Config) { c.Topics = []Pattern{{Topic: "{group}/{group}/{sensor}"}} }, "there twice"},
		"an unknown variable":         {func(c *Config) { c.Topics = []Pattern{{Topic: "{group}/{sensor}/{unit}"}} }, "{unit}"},
		"a # in the middle":           {func(c *Config) { c.Topics = []Pattern{{Topic: "{group}/#/{sensor}"}} }, `"#"`},
		"a topic of the broker's own": {func(c *Config) { c.Topics = []Pattern{{Topic: "$SYS/{group}/{sensor}"}} }, "begin with $"},
		"a metric renamed to nothing": {func(c *Config) { c.Topics[0].Metrics = map[string]string{"a": ""} }, "metrics"},
		"a session that ends at once": {func(c *Config) { c.SessionExpiry = 0 }, "session_expiry"},
		"no room for messages":        {func(c *Config) { c.ReceiveMaximum = 0 }, "receive_maximum"},
		"a keep-alive of a second":    {func(c *Config) { c.KeepAlive = time.Second }, "keep_alive"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.Broker, cfg.ClientID = "mqtts://broker.example", "c"
			c.change(&cfg)
			err := cfg.Validate()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret@") {
				t.Errorf("shows a password: %v", err)
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	b := backoff{first: firstRetry, most: lastRetry, jitter: func() float64 { return 0 }}
	var got []time.Duration
	for _, lived := range []time.Duration{0, 0, time.Second, stableAfter, 0} {
		got = append(got, b.next(lived, nil))
	}
	if want := []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 250 * time.Millisecond, 500 * time.Millisecond}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	if d := b.next(0, errTakenOver); d != evictedRetry/2 {
		t.Errorf("after an eviction: %s", d)
	}
	for range 20 {
		b.next(0, nil)
	}
	b.jitter = func() float64 { return 0.999 }
	if d := b.next(0, nil); d > lastRetry || d < lastRetry/2 {
		t.Errorf("at last: %s", d)
	}
}
