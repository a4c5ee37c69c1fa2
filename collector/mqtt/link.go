package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"
)

// Schemes of a broker's address.
const (
	schemePlain = "mqtt"
	schemeTLS   = "mqtts"
)

// alpnAWS is the protocol name under which AWS IoT Core takes MQTT on port 443.
const alpnAWS = "x-amzn-mqtt-ca"

// Deadlines of what is asked of the broker, and of an orderly end.
const (
	dialTimeout  = 15 * time.Second
	replyTimeout = 15 * time.Second
	closeTimeout = time.Second
)

// errTakenOver says that another client with our id has connected.
var errTakenOver = errors.New("another client has connected with this client id and evicted us; ids must be unique")

// errClosed says that the broker closed the connection without a word. MQTT 3.1.1
// has no words: an eviction looks like this too.
var errClosed = errors.New("the broker closed the connection")

// message is a delivery.
type message struct {
	topic    string
	payload  []byte
	qos      byte
	retained bool   // stored at the broker before we subscribed
	again    bool   // marked as delivered before
	ack      func() // tells the broker not to deliver it again; harmless when the connection is gone
}

// link is one connection, of either version. It is not made anew: who wants
// another dials again.
type link interface {
	// subscribe asks for the filters, and returns those that the broker refuses.
	subscribe(ctx context.Context, filters []string) (refused []refusal, err error)
	// publish returns nil when the broker has taken the message over.
	publish(ctx context.Context, topic string, payload []byte) error
	// lost yields one error when the connection is gone. close does not cause it.
	lost() <-chan error
	// close ends the connection in order; the session remains at the broker.
	close()
}

// refusal is a filter that is not subscribed to, and the broker's code for why;
// MQTT 3.1.1 has but one, 0x80.
type refusal struct {
	filter string
	code   byte
}

// codeInUse says that the packet identifier is in use. Brokers that keep one table
// for both directions (mochi-mqtt does) say so while messages of the session, which
// have identifiers of their own, wait for their acknowledgement.
const codeInUse = 0x91

// failed is where the codes begin that are no success.
const failed = 0x80

// session is what a link is opened with, besides the way to the broker.
type session struct {
	expiry         time.Duration // 0: the session ends with the connection
	receiveMaximum int
	// receive takes a delivery over; it may block while there is no room. nil for a
	// link that only publishes.
	receive func(message)
}

// dial connects. The files and secrets that c refers to are read anew.
func dial(ctx context.Context, c Connection, s session) (link, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	password, err := c.Password.Read()
	if err != nil {
		return nil, fmt.Errorf("password: %w", err)
	}
	conn, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	if c.Version == version311 {
		return dial311(ctx, c, s, conn, password)
	}
	return dial5(ctx, c, s, conn, password)
}

// open opens the network connection, with TLS where the broker's address asks for it.
func (c Connection) open(ctx context.Context) (net.Conn, error) {
	u, err := url.Parse(c.Broker)
	if err != nil {
		return nil, errors.New("broker: is no URL")
	}
	port := u.Port()
	if u.Scheme == schemePlain {
		if port == "" {
			port = "1883"
		}
		return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	}
	if port == "" {
		port = "8883"
	}
	settings, err := c.TLS.load()
	if err != nil {
		return nil, err
	}
	settings.ServerName = u.Hostname()
	return (&tls.Dialer{Config: settings}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
}

// load reads the files.
func (t TLS) load() (*tls.Config, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.ALPN != "" {
		settings.NextProtos = []string{t.ALPN}
	}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca: %s holds no certificate", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("tls.cert, tls.key: %w", err)
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	return settings, nil
}
