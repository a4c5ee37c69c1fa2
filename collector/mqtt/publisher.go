package mqtt

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Publisher publishes messages of quality of service 1. Its methods may be called
// concurrently; they take turns.
type Publisher struct {
	conn Connection
	log  *slog.Logger

	mu   sync.Mutex
	link link // nil: not connected
}

// NewPublisher returns a publisher that has not connected to anything.
func NewPublisher(c Connection, d Deps) (*Publisher, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if d.Log == nil {
		return nil, errors.New("mqtt: a log is required")
	}
	return &Publisher{conn: c, log: d.Log.With("broker", c.Broker)}, nil
}

// Publish returns nil when the broker has taken the message over. It connects when
// it has to, and tries once: after an error the message may or may not have
// arrived, and is to be published again, which does no harm because the same
// reading counts once. Only a *[RefusedError] says that trying again is useless.
func (p *Publisher) Publish(ctx context.Context, topic string, payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.link != nil {
		select {
		case err := <-p.link.lost():
			p.drop(err)
		default:
		}
	}
	if p.link == nil {
		l, err := dial(ctx, p.conn, session{})
		if err != nil {
			return err
		}
		p.link = l
		p.log.Info("connected to the broker", "client_id", p.conn.ClientID)
	}
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	err := p.link.publish(ctx, topic, payload)
	var refused *RefusedError
	if err != nil && !errors.As(err, &refused) {
		p.drop(err)
	}
	return err
}

// drop forgets a connection that does not work.
func (p *Publisher) drop(err error) {
	p.log.Warn("lost the broker", "err", err)
	p.link.close()
	p.link = nil
}

// Close ends the connection. Publish may be called again.
func (p *Publisher) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.link != nil {
		p.link.close()
		p.link = nil
	}
}

// Retry paces the attempts of who publishes: [Retry.Next] returns the delay before
// the next one, which grows with each failure and begins anew after [Retry.Reset].
type Retry struct{ b backoff }

// NewRetry returns a Retry; nil: random jitter.
func NewRetry(jitter func() float64) *Retry {
	d := Deps{Jitter: jitter}.filled()
	return &Retry{backoff{first: firstRetry, most: lastRetry, jitter: d.Jitter}}
}

// Next returns the delay before the next attempt.
func (r *Retry) Next() time.Duration { return r.b.next(0, nil) }

// Reset says that an attempt has succeeded.
func (r *Retry) Reset() { r.b.delay = 0 }
