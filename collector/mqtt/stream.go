package mqtt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/forescale/forescale/collector"
)

// Deps is what a Stream and a Publisher work with.
type Deps struct {
	Log *slog.Logger     // required
	Now func() time.Time // time of arrival, and the pace of log lines; nil: time.Now
	// Jitter returns a number in [0, 1) that spreads reconnections; nil: random.
	Jitter func() float64
}

func (d Deps) filled() Deps {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Jitter == nil {
		d.Jitter = rand.Float64
	}
	return d
}

// Stream receives the readings of sensors. It implements [collector.Stream].
type Stream struct {
	name   string
	cfg    Config
	deps   Deps
	log    *slog.Logger
	meters *meters
	retry  backoff
	queue  chan message // deliveries that no batch has taken yet
}

// New returns a stream that has not started anything. The error lists every fault
// of the configuration.
func New(name string, c Config, d Deps) (*Stream, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if d.Log == nil || name == "" {
		return nil, errors.New("mqtt: a name and a log are required")
	}
	d = d.filled()
	return &Stream{
		name: name, cfg: c, deps: d, log: d.Log.With("source", name, "broker", c.Broker),
		meters: newMeters(name, d.Now), retry: backoff{first: firstRetry, most: lastRetry, jitter: d.Jitter},
		queue: make(chan message, 2*c.ReceiveMaximum),
	}, nil
}

// Name implements [collector.Stream].
func (s *Stream) Name() string { return s.name }

// Stats returns the counters as they stand.
func (s *Stream) Stats() Stats { return s.meters.snapshot() }

// Metrics returns the same counters for a Prometheus registry.
func (s *Stream) Metrics() prometheus.Collector { return s.meters }

// Run implements [collector.Stream]. It must not be called twice at a time.
func (s *Stream) Run(ctx context.Context, emit collector.Emit) error {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.deliver(ctx, emit)
	}()
	defer func() { cancel(); <-done }()
	for ctx.Err() == nil {
		began := s.deps.Now()
		err := s.connection(ctx)
		if ctx.Err() != nil {
			break
		}
		delay := s.retry.next(s.deps.Now().Sub(began), err)
		s.log.Warn("not connected to the broker; trying again", "err", err, "after", delay.Round(time.Millisecond).String())
		pause(ctx, delay)
	}
	return nil
}

// connection opens one connection, and returns why it ended.
func (s *Stream) connection(ctx context.Context) error {
	l, err := dial(ctx, s.cfg.Connection, session{
		expiry: s.cfg.SessionExpiry, receiveMaximum: s.cfg.ReceiveMaximum,
		receive: func(m message) { s.receive(ctx, m) },
	})
	if err != nil {
		s.meters.dialFailed()
		return err
	}
	defer l.close()
	if err := s.subscribe(ctx, l); err != nil {
		s.meters.dialFailed()
		return err
	}
	s.log.Info("connected to the broker", "client_id", s.cfg.ClientID, "version", s.cfg.Version)
	s.meters.connected()
	defer s.meters.disconnected()
	select {
	case err := <-l.lost():
		if errors.Is(err, errTakenOver) {
			s.meters.evicted()
			s.log.Error("evicted from the broker: give each client an id of its own", "client_id", s.cfg.ClientID)
		}
		return err
	case <-ctx.Done():
		s.log.Info("leaving the broker; it keeps the session", "client_id", s.cfg.ClientID, "for", s.cfg.SessionExpiry.String())
		return nil
	}
}

// filtersARequest is how many filters AWS IoT Core takes in one SUBSCRIBE.
const filtersARequest = 8

// subscribe asks for all topics. That a broker refuses some is no reason to go
// without the others.
func (s *Stream) subscribe(ctx context.Context, l link) error {
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	var filters, refused []string
	for _, p := range s.cfg.Topics {
		if f := p.filter(); !slices.Contains(filters, f) {
			filters = append(filters, f)
		}
	}
	for some := range slices.Chunk(filters, filtersARequest) {
		no, err := subscribeTo(ctx, l, some)
		if err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		for _, r := range no {
			refused = append(refused, r.filter+": "+reason(r.code, ""))
		}
	}
	s.meters.refused(len(refused))
	switch {
	case len(refused) == len(filters):
		return fmt.Errorf("the broker refuses every subscription: %q; check its access rules", refused)
	case len(refused) > 0:
		s.log.Error("the broker refuses subscriptions; check its access rules", "filters", refused)
	}
	return nil
}

// busyRetry is the pause before a subscription is asked for again whose identifier
// is in use. Messages are delivered and acknowledged meanwhile.
const busyRetry = 20 * time.Millisecond

// subscribeTo asks for a few filters.
func subscribeTo(ctx context.Context, l link, filters []string) ([]refusal, error) {
	for {
		refused, err := l.subscribe(ctx, filters)
		busy := slices.ContainsFunc(refused, func(r refusal) bool { return r.code == codeInUse })
		if err != nil || !busy || ctx.Err() != nil {
			return refused, err
		}
		pause(ctx, busyRetry)
	}
}

// receive queues a delivery. A message that the broker would deliver again waits
// for room, which holds up the connection and so the broker; one that nobody keeps
// is dropped, so that it cannot hold up those that are kept.
func (s *Stream) receive(ctx context.Context, m message) {
	if m.qos == 0 {
		select {
		case s.queue <- m:
		default:
			s.meters.message(resultShed, 1)
		}
		return
	}
	select {
	case s.queue <- m:
	case <-ctx.Done():
	}
}

// maxBatch bounds the readings of one batch, so that a batch stays far below what
// is worth a second of writing.
const maxBatch = 10_000

// deliver empties the queue, batch by batch, until ctx ends. It outlives
// connections: a batch that could not be stored is tried again and is not lost
// when the connection is.
func (s *Stream) deliver(ctx context.Context, emit collector.Emit) {
	for {
		batch, readings := s.batch(ctx)
		if ctx.Err() != nil {
			return
		}
		retry := backoff{first: firstRetry, most: lastRetry, jitter: s.deps.Jitter}
		for len(readings) > 0 {
			err := emit(ctx, readings)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return
			}
			s.meters.emitFailed()
			delay := retry.next(0, err)
			s.log.Error("readings cannot be stored; their messages are not acknowledged", "readings", len(readings),
				"err", err, "again_after", delay.Round(time.Millisecond).String())
			if pause(ctx, delay); ctx.Err() != nil {
				return
			}
		}
		s.meters.stored(len(readings))
		for _, m := range batch {
			m.ack()
		}
	}
}

// batch waits for a message and returns it with those behind it, and what they
// say.
func (s *Stream) batch(ctx context.Context) (batch []message, readings []collector.Reading) {
	var m message
	select {
	case <-ctx.Done():
		return nil, nil
	case m = <-s.queue:
	}
	for {
		batch, readings = append(batch, m), append(readings, s.read(m)...)
		if len(readings) >= maxBatch || len(batch) >= maxBatch {
			return batch, readings
		}
		select {
		case m = <-s.queue:
		default:
			return batch, readings
		}
	}
}

// read returns the readings of a message; none when it cannot be understood,
// which is counted and logged.
func (s *Stream) read(m message) []collector.Reading {
	src, why, err := s.understand(m.topic)
	var values []Value
	if err == nil {
		values, err = Decode(m.payload, src.metric != "")
		why = badPayload
	}
	arrived := s.deps.Now().UTC()
	if err == nil && !s.cfg.ArrivalTime && slices.ContainsFunc(values, func(v Value) bool { return v.Time.IsZero() }) {
		why, err = badTime, errors.New("holds a reading without a time; let the sensor send it, or set arrival_time")
	}
	if err != nil {
		if more, log := s.meters.bad(why); log {
			s.log.Warn("message not understood", "topic", fmt.Sprintf("%.256s", m.topic), "reason", why, "err", err, "not_shown", more)
		}
		return nil
	}
	s.meters.understood(m.again, m.retained)
	readings := make([]collector.Reading, len(values))
	for i, v := range values {
		r := collector.Reading{Group: src.group, Sensor: src.sensor, Metric: src.metric, Time: v.Time, Value: v.Value, Retained: m.retained}
		if r.Metric == "" {
			r.Metric = v.Metric
		}
		if to, renamed := src.rename[r.Metric]; renamed {
			r.Metric = to
		}
		if r.Time.IsZero() {
			r.Time = arrived
		}
		readings[i] = r
	}
	return readings
}

// understand returns what a topic says.
func (s *Stream) understand(topic string) (src source, why string, err error) {
	for _, p := range s.cfg.Topics {
		if src, ok, err := p.match(topic); ok {
			return src, badTopic, err
		}
	}
	return source{}, badTopic, errors.New("is of no configured pattern")
}
