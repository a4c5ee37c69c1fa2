package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"syscall"

	classic "github.com/eclipse/paho.mqtt.golang"
)

// link311 is a link of MQTT 3.1.1.
type link311 struct {
	client classic.Client
	gone   chan error
	once   sync.Once
}

// dial311 takes conn over.
func dial311(ctx context.Context, c Connection, s session, conn net.Conn, password string) (link, error) {
	l := &link311{gone: make(chan error, 1)}
	o := classic.NewClientOptions()
	o.AddBroker(c.Broker)
	o.SetClientID(c.ClientID).SetProtocolVersion(4)
	o.SetCleanSession(s.expiry == 0)
	o.SetUsername(c.Username).SetPassword(password)
	o.SetKeepAlive(c.KeepAlive).SetPingTimeout(replyTimeout).SetConnectTimeout(dialTimeout).SetWriteTimeout(replyTimeout)
	o.SetAutoReconnect(false).SetConnectRetry(false)
	o.SetAutoAckDisabled(true)
	o.SetOrderMatters(true) // acknowledgements have to keep the order too
	o.SetCustomOpenConnectionFn(func(*url.URL, classic.ClientOptions) (net.Conn, error) { return conn, nil })
	o.SetConnectionLostHandler(func(_ classic.Client, err error) { l.lose(err) })
	o.SetDefaultPublishHandler(func(_ classic.Client, m classic.Message) {
		if s.receive != nil {
			s.receive(message{topic: m.Topic(), payload: m.Payload(), qos: m.Qos(), retained: m.Retained(), again: m.Duplicate(), ack: m.Ack})
		}
	})
	l.client = classic.NewClient(o)
	if err := wait(ctx, l.client.Connect(), nil); err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect: %w", err)
	}
	return l, nil
}

func (l *link311) lose(err error) {
	if isClosed(err) {
		err = errClosed
	}
	l.once.Do(func() { l.gone <- err })
}

func (l *link311) lost() <-chan error { return l.gone }

func (l *link311) subscribe(ctx context.Context, filters []string) (refused []refusal, err error) {
	want := map[string]byte{}
	for _, f := range filters {
		want[f] = 1
	}
	token := l.client.SubscribeMultiple(want, nil)
	err = wait(ctx, token, l)
	granted := token.(*classic.SubscribeToken).Result()
	for _, f := range filters {
		if code := granted[f]; code >= failed {
			refused = append(refused, refusal{f, code})
		}
	}
	if len(refused) > 0 {
		return refused, nil
	}
	return nil, err
}

func (l *link311) publish(ctx context.Context, topic string, payload []byte) error {
	return wait(ctx, l.client.Publish(topic, 1, false, payload), l)
}

func (l *link311) close() {
	l.once.Do(func() {}) // what follows is no loss
	l.client.Disconnect(uint(closeTimeout.Milliseconds()))
}

// wait returns when the broker has answered, ctx ends, or the link, if there is
// one already, is lost.
func wait(ctx context.Context, t classic.Token, l *link311) error {
	var gone chan error
	if l != nil {
		gone = l.gone
	}
	select {
	case <-t.Done():
		return t.Error()
	case err := <-gone:
		gone <- err // for who waits for the loss
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// isClosed reports whether err says only that the other side has hung up.
func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
