package mqtt

import (
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// What became of a message; label values of the metrics.
const (
	resultTaken = "taken"
	resultShed  = "shed"        // quality of service 0, and no room
	badTopic    = "bad_topic"   // of no pattern, or with a name that cannot be used
	badPayload  = "bad_payload" // not as reading.schema.json has it
	badTime     = "no_time"     // without a time, which the configuration does not allow
)

// Stats counts what a stream did since the process started.
type Stats struct {
	Connected   bool
	Connections int            // made
	Lost        int            // connections that ended by themselves
	DialFailed  int            // attempts that led to no connection
	Evicted     int            // losses because another client has our id; MQTT 3.1.1 does not tell
	Refused     int            // filters that the broker refused at the newest connection
	Messages    map[string]int // by what became of them
	Again       int            // of those taken: marked by the broker as delivered before
	Retained    int            // of those taken: stored at the broker before we subscribed
	Readings    int            // stored
	EmitFailed  int            // attempts to store that failed
	LastMessage time.Time      // when the newest message that was understood arrived
}

// logEvery is how often a reason for which messages are not understood is logged.
const logEvery = time.Minute

// meters guards a Stats and offers it to Prometheus.
type meters struct {
	source string
	now    func() time.Time

	mu     sync.Mutex
	s      Stats
	logged map[string]time.Time // by reason: when it was logged last
	hidden map[string]int       // by reason: not logged since
}

func newMeters(source string, now func() time.Time) *meters {
	return &meters{source: source, now: now, s: Stats{Messages: map[string]int{}}, logged: map[string]time.Time{}, hidden: map[string]int{}}
}

func (m *meters) snapshot() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.s
	s.Messages = maps.Clone(m.s.Messages)
	return s
}

func (m *meters) change(f func(*Stats)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.s)
}

func (m *meters) connected()                 { m.change(func(s *Stats) { s.Connected = true; s.Connections++ }) }
func (m *meters) disconnected()              { m.change(func(s *Stats) { s.Connected = false; s.Lost++ }) }
func (m *meters) dialFailed()                { m.change(func(s *Stats) { s.DialFailed++ }) }
func (m *meters) evicted()                   { m.change(func(s *Stats) { s.Evicted++ }) }
func (m *meters) refused(n int)              { m.change(func(s *Stats) { s.Refused = n }) }
func (m *meters) stored(n int)               { m.change(func(s *Stats) { s.Readings += n }) }
func (m *meters) emitFailed()                { m.change(func(s *Stats) { s.EmitFailed++ }) }
func (m *meters) message(what string, n int) { m.change(func(s *Stats) { s.Messages[what] += n }) }

func (m *meters) understood(again, retained bool) {
	m.change(func(s *Stats) {
		s.Messages[resultTaken]++
		s.LastMessage = m.now()
		if again {
			s.Again++
		}
		if retained {
			s.Retained++
		}
	})
}

// bad counts a message that is not understood. It reports whether to log it, and
// how many of its kind have not been logged since the last one that was.
func (m *meters) bad(why string) (hidden int, log bool) {
	m.message(why, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if last, ok := m.logged[why]; ok && now.Sub(last) < logEvery && !now.Before(last) {
		m.hidden[why]++
		return 0, false
	}
	hidden = m.hidden[why]
	m.logged[why], m.hidden[why] = now, 0
	return hidden, true
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("forescale_collector_mqtt_"+name, help, append([]string{"source"}, labels...), nil)
}

var (
	connectedDesc   = desc("connected", "1 while the connection to the broker stands.")
	connectionsDesc = desc("connections_total", "Connections to the broker, by event: made, lost, failed (none came about), evicted (a client with the same id).", "event")
	refusedDesc     = desc("refused_subscriptions", "Topic filters that the broker refused at the newest connection.")
	messagesDesc    = desc("messages_total", "Messages received, by what became of them.", "result")
	repeatedDesc    = desc("repeated_messages_total", "Messages taken that the broker had delivered before, or had retained, by kind.", "kind")
	readingsDesc    = desc("readings_total", "Readings stored.")
	emitFailedDesc  = desc("store_failures_total", "Attempts to store readings that failed; their messages stay unacknowledged.")
	lastMessageDesc = desc("last_message_timestamp_seconds", "When the newest message that was understood arrived.")
)

// Describe implements prometheus.Collector.
func (m *meters) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{connectedDesc, connectionsDesc, refusedDesc, messagesDesc, repeatedDesc, readingsDesc, emitFailedDesc, lastMessageDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *meters) Collect(ch chan<- prometheus.Metric) {
	s := m.snapshot()
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, append([]string{m.source}, labels...)...)
	}
	up := 0.0
	if s.Connected {
		up = 1
	}
	send(connectedDesc, prometheus.GaugeValue, up)
	for event, n := range map[string]int{"made": s.Connections, "lost": s.Lost, "failed": s.DialFailed, "evicted": s.Evicted} {
		send(connectionsDesc, prometheus.CounterValue, float64(n), event)
	}
	send(refusedDesc, prometheus.GaugeValue, float64(s.Refused))
	for result, n := range s.Messages {
		send(messagesDesc, prometheus.CounterValue, float64(n), result)
	}
	send(repeatedDesc, prometheus.CounterValue, float64(s.Again), "delivered_before")
	send(repeatedDesc, prometheus.CounterValue, float64(s.Retained), "retained")
	send(readingsDesc, prometheus.CounterValue, float64(s.Readings))
	send(emitFailedDesc, prometheus.CounterValue, float64(s.EmitFailed))
	if !s.LastMessage.IsZero() { // no time is not the year 1
		send(lastMessageDesc, prometheus.GaugeValue, float64(s.LastMessage.Unix()))
	}
}
