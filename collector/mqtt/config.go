package mqtt

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/forescale/forescale/internal/conf"
)

// Config says where readings are received from.
type Config struct {
	Connection `yaml:",inline"`
	// Topics are the patterns to subscribe to; the first that matches a topic says
	// what it means. Default: the two of Forescale's own convention.
	Topics []Pattern `yaml:"topics"`
	// SessionExpiry is how long the broker keeps the session, and what it has for
	// us, while the collector is away. MQTT 3.1.1 leaves that to the broker.
	// Default 24h.
	SessionExpiry time.Duration `yaml:"session_expiry"`
	// ReceiveMaximum bounds the messages that are delivered and not acknowledged.
	// MQTT 3.1.1 leaves that to the broker. Default 500.
	ReceiveMaximum int `yaml:"receive_maximum"`
	// ArrivalTime takes the time of arrival for readings that have none. Off, the
	// default, they are refused: after an outage they would all seem to be of the
	// moment in which the connection came back.
	ArrivalTime bool `yaml:"arrival_time"`
}

// Connection says how to reach a broker. It is shared by those who receive and
// those who publish.
type Connection struct {
	// Broker is mqtt://HOST[:1883] or, with TLS, mqtts://HOST[:8883].
	Broker string `yaml:"broker"`
	// Version is 5, the default, or 3.1.1.
	Version string `yaml:"version"`
	// ClientID names the session at the broker: unique among all of its clients,
	// stable over restarts, at most 128 bytes. Required.
	ClientID string `yaml:"client_id"`
	// Username and Password log in to the broker.
	Username string      `yaml:"username"`
	Password conf.Secret `yaml:"password"`
	TLS      TLS         `yaml:"tls"`
	// KeepAlive is how long the connection may be silent. Default 30s.
	KeepAlive time.Duration `yaml:"keep_alive"`
}

// TLS refers to files, which are read again at each connection, so that
// certificates may be renewed while the process runs.
type TLS struct {
	CA   string `yaml:"ca"`   // PEM file of the broker's authorities; empty: the system's
	Cert string `yaml:"cert"` // PEM file of the client's certificate; empty: none
	Key  string `yaml:"key"`  // PEM file of its key
	// ALPN is the protocol name to ask for. AWS IoT Core wants x-amzn-mqtt-ca on
	// port 443.
	ALPN string `yaml:"alpn"`
}

// The protocol versions.
const (
	version5   = "5"
	version311 = "3.1.1"
)

// Bounds of the configuration. The client id's is AWS IoT Core's.
const (
	maxClientID       = 128
	maxReceiveMaximum = 10_000
	maxSessionExpiry  = 7 * 24 * time.Hour // AWS IoT Core keeps none longer
	minKeepAlive      = 5 * time.Second
	maxKeepAlive      = 20 * time.Minute // as AWS IoT Core
)

// DefaultConfig returns the defaults named at each field.
func DefaultConfig() Config {
	return Config{
		Connection:     DefaultConnection(),
		Topics:         []Pattern{{Topic: prefix + "{group}/{sensor}/{metric}"}, {Topic: prefix + "{group}/{sensor}"}},
		SessionExpiry:  24 * time.Hour,
		ReceiveMaximum: 500,
	}
}

// DefaultConnection returns the defaults named at each field.
func DefaultConnection() Connection {
	return Connection{Version: version5, KeepAlive: 30 * time.Second}
}

// UnmarshalYAML fills in the defaults of what the file leaves out. It is the older
// of the package's two interfaces, because the newer one forgets that unknown keys
// are errors.
func (c *Config) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Config
	p := plain(DefaultConfig())
	p.Topics = nil // a list in the file replaces the default one
	if err := unmarshal(&p); err != nil {
		return err
	}
	if p.Topics == nil {
		p.Topics = DefaultConfig().Topics
	}
	*c = Config(p)
	return nil
}

// Validate returns all faults at once.
func (c Config) Validate() error {
	faults := []error{c.Connection.Validate()}
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf("mqtt: "+format, args...)) }
	if len(c.Topics) == 0 {
		bad("topics: at least one is needed")
	}
	for i, p := range c.Topics {
		if err := p.validate(); err != nil {
			bad("topics[%d]: %w", i, err)
		}
		if filter := p.filter(); c.aws() && (len(filter) > maxTopicBytes || strings.Count(filter, "/") > maxTopicSlashes) {
			bad("topics[%d]: %q: AWS IoT Core takes at most %d bytes and %d slashes", i, p.Topic, maxTopicBytes, maxTopicSlashes)
		}
	}
	if c.SessionExpiry < time.Minute || c.SessionExpiry > maxSessionExpiry {
		bad("session_expiry: %s is not in 1m..%s", c.SessionExpiry, maxSessionExpiry)
	}
	if c.ReceiveMaximum < 1 || c.ReceiveMaximum > maxReceiveMaximum {
		bad("receive_maximum: %d is not in 1..%d", c.ReceiveMaximum, maxReceiveMaximum)
	}
	return errors.Join(faults...)
}

// Validate returns all faults at once.
func (c Connection) Validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf("mqtt: "+format, args...)) }
	u, err := url.Parse(c.Broker)
	switch {
	case err != nil:
		bad("broker: is no URL") // url.Error would show a password
	case u.Scheme != schemePlain && u.Scheme != schemeTLS || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		bad("broker: must be mqtt://HOST[:PORT] or mqtts://HOST[:PORT]")
	case u.User != nil:
		bad("broker: holds a user name; set username and password instead")
	case u.Scheme == schemePlain && c.TLS != TLS{}:
		bad("tls: needs a broker mqtts://…")
	}
	if c.Version != version5 && c.Version != version311 {
		bad("version: %q is neither %s nor %s", c.Version, version5, version311)
	}
	if c.ClientID == "" || len(c.ClientID) > maxClientID {
		bad("client_id: must be 1 to %d bytes long, and unique among the clients of the broker", maxClientID)
	}
	if err := c.Password.Validate(); err != nil {
		bad("password: %w", err)
	}
	if !c.Password.IsZero() && c.Username == "" {
		bad("username: is needed beside a password")
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		bad("tls: cert and key need each other")
	}
	if c.aws() && u.Port() == "443" && c.TLS.ALPN != alpnAWS {
		bad("tls.alpn: AWS IoT Core wants %s on port 443", alpnAWS)
	}
	if c.KeepAlive < minKeepAlive || c.KeepAlive > maxKeepAlive {
		bad("keep_alive: %s is not in %s..%s", c.KeepAlive, minKeepAlive, maxKeepAlive)
	}
	return errors.Join(faults...)
}

// aws reports whether the broker is AWS IoT Core.
func (c Connection) aws() bool {
	u, err := url.Parse(c.Broker)
	return err == nil && (strings.HasSuffix(u.Hostname(), ".amazonaws.com") || strings.HasSuffix(u.Hostname(), ".amazonaws.com.cn"))
}
