package main

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/forescale/forescale/collector/mqtt"
	"github.com/forescale/forescale/internal/spool"
)

// backlog holds payloads until the broker has them, oldest first; a *spool.Spool
// is one on disk.
type backlog interface {
	Append(payload []byte) (uint64, error)
	All() iter.Seq2[spool.Record, error]
	Remove(seq uint64) error // and all before it
	Stats() spool.Stats
	Close() error
}

// memoryBacklog is a backlog that the process takes along when it ends. When it is
// full the oldest payload goes.
type memoryBacklog struct {
	most int // payloads

	mu      sync.Mutex
	records []spool.Record
	stats   spool.Stats
}

func (m *memoryBacklog) Append(payload []byte) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	seq := uint64(m.stats.Appended)
	m.stats.Appended++
	if len(m.records) == m.most {
		m.records = m.records[1:]
		m.stats.Dropped++
	}
	m.records = append(m.records, spool.Record{Seq: seq, Payload: payload})
	return seq, nil
}

func (m *memoryBacklog) All() iter.Seq2[spool.Record, error] {
	return func(yield func(spool.Record, error) bool) {
		m.mu.Lock()
		records := append([]spool.Record(nil), m.records...)
		m.mu.Unlock()
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (m *memoryBacklog) Remove(seq uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.records) > 0 && m.records[0].Seq <= seq {
		m.records = m.records[1:]
	}
	return nil
}

func (m *memoryBacklog) Stats() spool.Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	s.Records = len(m.records)
	return s
}

func (m *memoryBacklog) Close() error { return nil }

// sender carries a backlog to the broker.
type sender struct {
	topic   string
	backlog backlog
	publish func(ctx context.Context, topic string, payload []byte) error
	retry   *mqtt.Retry
	log     *slog.Logger
	more    chan struct{} // signalled when something was appended
}

// run sends what is and what comes, until ctx ends.
func (s *sender) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.flush(ctx); err != nil {
			delay := s.retry.Next()
			if ctx.Err() == nil {
				s.log.Warn("not sent; trying again", "waiting", s.backlog.Stats().Records, "err", err, "after", delay.Round(time.Millisecond).String())
			}
			select {
			case <-ctx.Done():
			case <-time.After(delay):
			}
			continue
		}
		s.retry.Reset()
		select {
		case <-ctx.Done():
		case <-s.more:
		}
	}
}

// flush sends what there is, oldest first, and returns the first error. A payload
// that the broker refuses for good is dropped and logged: it must not hold up those
// behind it.
func (s *sender) flush(ctx context.Context) error {
	for r, err := range s.backlog.All() {
		if err != nil {
			s.log.Error("a part of the backlog cannot be read", "err", err)
			continue
		}
		err := s.publish(ctx, s.topic, r.Payload)
		var refused *mqtt.RefusedError
		switch {
		case errors.As(err, &refused):
			s.log.Error("reading refused and dropped; check the broker's access rules", "err", err)
		case err != nil:
			return err
		}
		if err := s.backlog.Remove(r.Seq); err != nil {
			return err
		}
	}
	return nil
}
