package mqtt

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

// acksEvery is how often acknowledgements are sent; they are held back until all
// that came before them may be sent, as the protocol wants it.
const acksEvery = 10 * time.Millisecond

// maxPacket is the largest packet, in bytes, that an MQTT 5 broker may send us: a
// payload that is too large to be taken is still seen and counted, unless it is
// much too large.
const maxPacket = 2 * maxPayload

// link5 is a link of MQTT 5.
type link5 struct {
	client *paho.Client
	conn   net.Conn
	gone   chan error
	once   sync.Once
}

// dial5 takes conn over.
func dial5(ctx context.Context, c Connection, s session, conn net.Conn, password string) (link, error) {
	l := &link5{conn: conn, gone: make(chan error, 1)}
	cfg := paho.ClientConfig{
		Conn: packets.NewThreadSafeConn(conn), PacketTimeout: replyTimeout,
		EnableManualAcknowledgment: true, SendAcksInterval: acksEvery,
		OnClientError: l.lose,
		OnServerDisconnect: func(d *paho.Disconnect) {
			if d.ReasonCode == packets.DisconnectSessionTakenOver {
				l.lose(errTakenOver)
				return
			}
			l.lose(fmt.Errorf("the broker ended the connection: %s", reason(d.ReasonCode, disconnectText(d))))
		},
		// A link that only publishes must have one too, or the client makes a router.
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			if s.receive != nil {
				s.receive(delivery5(p))
			}
			return true, nil
		}},
	}
	l.client = paho.NewClient(cfg)
	connect := &paho.Connect{
		ClientID: c.ClientID, KeepAlive: uint16(c.KeepAlive / time.Second), CleanStart: s.expiry == 0,
		Username: c.Username, UsernameFlag: c.Username != "", Password: []byte(password), PasswordFlag: password != "",
		Properties: &paho.ConnectProperties{RequestProblemInfo: true, MaximumPacketSize: ptr(uint32(maxPacket))},
	}
	if s.expiry > 0 {
		connect.Properties.SessionExpiryInterval = ptr(uint32(s.expiry / time.Second))
		connect.Properties.ReceiveMaximum = ptr(uint16(s.receiveMaximum))
	}
	ack, err := l.client.Connect(ctx, connect)
	if err != nil {
		conn.Close()
		if ack != nil {
			text := ""
			if ack.Properties != nil {
				text = ack.Properties.ReasonString
			}
			return nil, fmt.Errorf("the broker refuses the connection: %s", reason(ack.ReasonCode, text))
		}
		return nil, fmt.Errorf("connect: %w", err)
	}
	return l, nil
}

func delivery5(p paho.PublishReceived) message {
	return message{
		topic: p.Packet.Topic, payload: p.Packet.Payload, qos: p.Packet.QoS,
		retained: p.Packet.Retain, again: p.Packet.Duplicate(),
		// An error says that the connection is gone: the message comes again.
		ack: func() { _ = p.Client.Ack(p.Packet) },
	}
}

func (l *link5) lose(err error) {
	if isClosed(err) {
		err = errClosed
	}
	l.once.Do(func() { l.gone <- err })
}

func (l *link5) lost() <-chan error { return l.gone }

func (l *link5) subscribe(ctx context.Context, filters []string) (refused []refusal, err error) {
	request := &paho.Subscribe{}
	for _, f := range filters {
		// 1: what the broker has retained is sent when the subscription is new, not at
		// each connection.
		request.Subscriptions = append(request.Subscriptions, paho.SubscribeOptions{Topic: f, QoS: 1, RetainHandling: 1})
	}
	ctx, cancel := l.whileUp(ctx)
	defer cancel()
	reply, err := l.client.Subscribe(ctx, request)
	if reply == nil {
		return nil, err
	}
	for i, code := range reply.Reasons {
		if code >= failed && i < len(filters) {
			refused = append(refused, refusal{filters[i], code})
		}
	}
	return refused, nil
}

func (l *link5) publish(ctx context.Context, topic string, payload []byte) error {
	ctx, cancel := l.whileUp(ctx)
	defer cancel()
	reply, err := l.client.Publish(ctx, &paho.Publish{Topic: topic, Payload: payload, QoS: 1})
	switch {
	case reply == nil || reply.ReasonCode < failed:
		return err
	case slices.Contains(hopeless, reply.ReasonCode):
		return &RefusedError{Topic: topic, Reason: reason(reply.ReasonCode, "")}
	}
	return fmt.Errorf("the broker does not take the message now: %s", reason(reply.ReasonCode, ""))
}

// hopeless are the codes of a message that would be refused again: not authorized,
// topic name not valid, payload format not valid (section 3.4.2.1). The others, a
// quota that is exceeded among them, pass.
var hopeless = []byte{0x87, 0x90, 0x99}

// whileUp returns a context that ends with the connection too: the client goes on
// waiting for an answer that cannot come any more.
func (l *link5) whileUp(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-l.client.Done():
			cancel(errClosed)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

func (l *link5) close() {
	l.once.Do(func() {})                                      // what follows is no loss
	_ = l.conn.SetWriteDeadline(time.Now().Add(closeTimeout)) // a broker may read nothing any more
	_ = l.client.Disconnect(&paho.Disconnect{})
}

// disconnectText returns the broker's own words.
func disconnectText(d *paho.Disconnect) string {
	if d.Properties == nil {
		return ""
	}
	return d.Properties.ReasonString
}

// reasons are the codes of MQTT 5 that a wrong configuration leads to (section
// 2.4 of the specification).
var reasons = map[byte]string{
	0x80: "unspecified error", 0x81: "malformed packet", 0x82: "protocol error", 0x83: "implementation specific error",
	0x84: "protocol version not supported", 0x85: "client id not valid", 0x86: "bad user name or password",
	0x87: "not authorized", 0x88: "server unavailable", 0x89: "server busy", 0x8a: "banned", 0x8b: "server shutting down",
	0x8d: "keep alive timeout", 0x8e: "session taken over", 0x8f: "topic filter not valid", 0x90: "topic name not valid",
	codeInUse: "packet identifier in use", 0x93: "receive maximum exceeded", 0x95: "packet too large", 0x96: "message rate too high", 0x97: "quota exceeded",
	0x98: "administrative action", 0x99: "payload format not valid", 0x9a: "retain not supported", 0x9b: "quality of service not supported",
	0x9f: "connection rate exceeded", 0xa2: "wildcard subscriptions not supported",
}

// reason returns what a reason code says, in words, and the broker's own words.
func reason(code byte, text string) string {
	out, known := reasons[code]
	if !known {
		out = fmt.Sprintf("reason code %#x", code)
	}
	if text != "" {
		out += ": " + fmt.Sprintf("%.200q", text)
	}
	return out
}

// RefusedError says that the broker has refused a message and would refuse it again.
type RefusedError struct{ Topic, Reason string }

// Error implements error.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the broker refuses the topic %s: %s", e.Topic, e.Reason)
}

func ptr[T any](v T) *T { return &v }
