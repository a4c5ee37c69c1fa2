package mqtttest

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"math"
	"net"
	"sync"
	"testing"

	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Config says how a Broker behaves.
type Config struct {
	TLS *tls.Config // nil: none
	// Allow says who may publish to, or subscribe to, what; nil: everybody everything.
	Allow func(client, topic string, publish bool) bool
	// Answer returns the code with which a message to a topic is acknowledged to a
	// client of MQTT 5; nil, and 0: it is taken.
	Answer func(topic string) byte
	// User and Password are asked for; empty: anybody may connect.
	User, Password string
}

// Broker is an MQTT broker in this process, on loopback.
type Broker struct {
	Addr   string // host and port
	server *broker.Server

	mu         sync.Mutex
	subscribes []int    // filters in each SUBSCRIBE
	protocols  []string // ALPN, of each connection with TLS
}

// NewBroker starts a broker, which ends with the test.
func NewBroker(t testing.TB, c Config) *Broker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &Broker{Addr: l.Addr().String()}
	if c.TLS != nil {
		settings := c.TLS.Clone()
		settings.VerifyConnection = func(s tls.ConnectionState) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.protocols = append(b.protocols, s.NegotiatedProtocol)
			return nil
		}
		l = tls.NewListener(l, settings)
	}
	b.server = broker.New(&broker.Options{Logger: slog.New(slog.DiscardHandler), InlineClient: true, SysTopicResendInterval: math.MaxInt32})
	if err := b.server.AddHook(&gate{b: b, c: c}, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.server.AddListener(listeners.NewNet("test", l)); err != nil {
		t.Fatal(err)
	}
	if err := b.server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.server.Close() })
	return b
}

// gate lets clients in and notes what they ask for.
type gate struct {
	broker.HookBase
	b *Broker
	c Config
}

// ID implements the broker's Hook.
func (*gate) ID() string { return "gate" }

// Provides implements the broker's Hook.
func (*gate) Provides(b byte) bool {
	return bytes.Contains([]byte{broker.OnConnectAuthenticate, broker.OnACLCheck, broker.OnSubscribe, broker.OnPublish}, []byte{b})
}

// OnConnectAuthenticate implements the broker's Hook.
func (g *gate) OnConnectAuthenticate(_ *broker.Client, pk packets.Packet) bool {
	return string(pk.Connect.Username) == g.c.User && string(pk.Connect.Password) == g.c.Password
}

// OnACLCheck implements the broker's Hook.
func (g *gate) OnACLCheck(c *broker.Client, topic string, write bool) bool {
	return g.c.Allow == nil || g.c.Allow(c.ID, topic, write)
}

// OnPublish implements the broker's Hook.
func (g *gate) OnPublish(_ *broker.Client, pk packets.Packet) (packets.Packet, error) {
	if g.c.Answer != nil {
		if code := g.c.Answer(pk.TopicName); code != 0 {
			return pk, packets.Code{Code: code}
		}
	}
	return pk, nil
}

// OnSubscribe implements the broker's Hook.
func (g *gate) OnSubscribe(_ *broker.Client, pk packets.Packet) packets.Packet {
	g.b.mu.Lock()
	defer g.b.mu.Unlock()
	g.b.subscribes = append(g.b.subscribes, len(pk.Filters))
	return pk
}

// Subscribes returns how many filters each SUBSCRIBE had so far.
func (b *Broker) Subscribes() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]int(nil), b.subscribes...)
}

// Protocols returns the ALPN protocol of each connection with TLS so far.
func (b *Broker) Protocols() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.protocols...)
}

// Kick cuts the connection of a client, as a network does. It reports whether
// there was one.
func (b *Broker) Kick(id string) bool {
	c, ok := b.server.Clients.Get(id)
	if !ok || c.Closed() {
		return false
	}
	c.Stop(packets.ErrServerShuttingDown)
	return true
}

// Unacknowledged returns the number of messages that a client has not acknowledged.
func (b *Broker) Unacknowledged(id string) int {
	if c, ok := b.server.Clients.Get(id); ok {
		return c.State.Inflight.Len()
	}
	return 0
}

// Publish publishes a message as the broker itself, past its access rules.
func (b *Broker) Publish(t testing.TB, topic, payload string, retain bool, qos byte) {
	t.Helper()
	if err := b.server.Publish(topic, []byte(payload), retain, qos); err != nil {
		t.Fatal(err)
	}
}
