package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/collector/mqtt"
	"github.com/forescale/forescale/collector/mqtt/mqtttest"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// sink stores readings as the collector does: by identity, once, or not at all
// while it fails.
type sink struct {
	mu    sync.Mutex
	got   map[string]collector.Reading
	calls int // of emit
	fail  error
}

func (s *sink) emit(_ context.Context, readings []collector.Reading) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.fail != nil {
		return s.fail
	}
	if s.got == nil {
		s.got = map[string]collector.Reading{}
	}
	for _, r := range readings {
		s.got[fmt.Sprintf("%s/%s/%s %s", r.Group, r.Sensor, r.Metric, r.Time.Format(time.RFC3339Nano))] = r
	}
	return nil
}

func (s *sink) setFailure(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *sink) attempts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func (s *sink) keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for k := range s.got {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// logs is a writer that tests read.
type logs struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// station is a stream at work.
type station struct {
	*mqtt.Stream
	sink *sink
	logs *logs
	stop func() // returns when Run has
}

func config(b *mqtttest.Broker, version string) mqtt.Config {
	c := mqtt.DefaultConfig()
	c.Broker, c.Version, c.ClientID = "mqtt://"+b.Addr, version, "collector"
	return c
}

// start runs a stream until the test ends, or stop is called.
func start(t *testing.T, c mqtt.Config, s *sink) *station {
	t.Helper()
	st := &station{sink: s, logs: &logs{}}
	var err error
	st.Stream, err = mqtt.New("sensors", c, mqtt.Deps{
		Log: slog.New(slog.NewTextHandler(st.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now: time.Now, Jitter: func() float64 { return 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- st.Run(ctx, s.emit) }()
	st.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
	t.Cleanup(st.stop)
	return st
}

func (s *station) connected(t *testing.T) *station {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Log(s.logs)
		}
	}()
	eventually(t, "the stream connects", func() bool { return s.Stats().Connected })
	return s
}

// eachVersion runs a test with both versions of the protocol.
func eachVersion(t *testing.T, run func(t *testing.T, version string)) {
	for _, version := range []string{"5", "3.1.1"} {
		t.Run("MQTT "+version, func(t *testing.T) { run(t, version) })
	}
}

func reading(value float64) string {
	return fmt.Sprintf(`{"time":%d,"value":%g}`, noon.Add(time.Duration(value)*time.Second).Unix(), value)
}

func TestReadingsArriveAsTheyWereSent(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		b := mqtttest.NewBroker(t, mqtttest.Config{})
		b.Publish(t, "forescale/v1/hall%2F7/old/temperature", reading(1), true, 1)
		c := config(b, version)
		c.Topics = append(c.Topics, mqtt.Pattern{Topic: "plant/{sensor}/{metric}", Group: "plant", Metrics: map[string]string{"temp": "temperature"}})
		s := start(t, c, &sink{}).connected(t)
		b.Publish(t, "forescale/v1/web/rack-1/power", reading(2), false, 1)
		b.Publish(t, "forescale/v1/web/rack-1", fmt.Sprintf(`{"time":%d,"metrics":{"power":310,"humidity":40}}`, noon.UnixMilli()), false, 1)
		b.Publish(t, "plant/x/temp", reading(3), false, 0)
		eventually(t, "five readings", func() bool { return len(s.sink.keys()) == 5 })
		want := map[string]collector.Reading{
			"hall/7/old/temperature 2026-03-01T12:00:01Z": {Group: "hall/7", Sensor: "old", Metric: "temperature", Time: noon.Add(time.Second), Value: 1, Retained: true},
			"web/rack-1/power 2026-03-01T12:00:02Z":       {Group: "web", Sensor: "rack-1", Metric: "power", Time: noon.Add(2 * time.Second), Value: 2},
			"web/rack-1/power 2026-03-01T12:00:00Z":       {Group: "web", Sensor: "rack-1", Metric: "power", Time: noon, Value: 310},
			"web/rack-1/humidity 2026-03-01T12:00:00Z":    {Group: "web", Sensor: "rack-1", Metric: "humidity", Time: noon, Value: 40},
			"plant/x/temperature 2026-03-01T12:00:03Z":    {Group: "plant", Sensor: "x", Metric: "temperature", Time: noon.Add(3 * time.Second), Value: 3},
		}
		s.stop()
		if !reflect.DeepEqual(s.sink.got, want) {
			t.Errorf("got %+v", s.sink.got)
		}
		if st := s.Stats(); st.Messages["taken"] != 4 || st.Retained != 1 || st.Readings != 5 || st.Connected {
			t.Errorf("%+v", st)
		}
		if lint, err := testutil.CollectAndLint(s.Metrics()); err != nil || len(lint) > 0 {
			t.Error(lint, err)
		}
	})
}

func TestAMessageIsAcknowledgedOnlyWhenItsReadingsAreStored(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		b := mqtttest.NewBroker(t, mqtttest.Config{})
		s := start(t, config(b, version), &sink{fail: errors.New("no space left on device")}).connected(t)
		b.Publish(t, "forescale/v1/web/a/power", reading(1), false, 1)
		eventually(t, "two attempts to store", func() bool { return s.sink.attempts() >= 2 })
		if n := b.Unacknowledged("collector"); n != 1 {
			t.Fatalf("%d messages are not acknowledged, want 1", n)
		}
		s.sink.setFailure(nil)
		eventually(t, "the acknowledgement", func() bool { return b.Unacknowledged("collector") == 0 })
		if got := s.sink.keys(); len(got) != 1 || s.Stats().EmitFailed < 2 {
			t.Errorf("stored %v, %+v", got, s.Stats())
		}
	})
}

func TestWhatWasNotAcknowledgedComesAgain(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		b := mqtttest.NewBroker(t, mqtttest.Config{})
		first := start(t, config(b, version), &sink{fail: errors.New("killed before the write")}).connected(t)
		b.Publish(t, "forescale/v1/web/a/power", reading(1), false, 1)
		eventually(t, "the delivery", func() bool { return first.sink.attempts() >= 1 })
		first.stop()
		b.Publish(t, "forescale/v1/web/a/power", reading(2), false, 1) // while nobody is there
		second := start(t, config(b, version), &sink{}).connected(t)
		eventually(t, "both readings", func() bool { return len(second.sink.keys()) == 2 })
		eventually(t, "both acknowledgements", func() bool { return b.Unacknowledged("collector") == 0 })
		if second.Stats().Again < 1 {
			t.Errorf("%+v", second.Stats())
		}
	})
}

func TestAConnectionThatIsCutLosesNothing(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		b := mqtttest.NewBroker(t, mqtttest.Config{})
		s := start(t, config(b, version), &sink{}).connected(t)
		const messages = 300
		for i := range messages {
			b.Publish(t, "forescale/v1/web/a/power", reading(float64(i)), false, 1)
			if i%100 == 50 {
				eventually(t, "a connection to cut", func() bool { return s.Stats().Connected && b.Kick("collector") })
			}
		}
		eventually(t, "all readings", func() bool { return len(s.sink.keys()) == messages })
		eventually(t, "all acknowledgements", func() bool { return b.Unacknowledged("collector") == 0 })
		if st := s.Stats(); st.Lost < 3 {
			t.Errorf("%+v", st)
		}
	})
}

func TestMessagesThatNobodyUnderstandsHoldUpNothing(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		b := mqtttest.NewBroker(t, mqtttest.Config{User: "user", Password: "hunter2"})
		c := config(b, version)
		c.Username, c.Password.File = "user", filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(c.Password.File, []byte("hunter2\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c.Topics = append(c.Topics, mqtt.Pattern{Topic: "other/{group}/{sensor}/#"})
		s := start(t, c, &sink{}).connected(t)
		for range 10 {
			b.Publish(t, "forescale/v1/web/a/power", `{"value":"much"}`, false, 1)
		}
		b.Publish(t, "forescale/v1/web/a%zz/power", reading(1), false, 1)
		b.Publish(t, "forescale/v1/web/a/power", `{"value":1}`, false, 1)
		b.Publish(t, "forescale/v1/web/a/power", "", false, 1)
		b.Publish(t, "forescale/v1/web/a/power", reading(7), false, 1)
		eventually(t, "the good reading", func() bool { return len(s.sink.keys()) == 1 })
		eventually(t, "every acknowledgement", func() bool { return b.Unacknowledged("collector") == 0 })
		want := map[string]int{"taken": 1, "bad_payload": 11, "bad_topic": 1, "no_time": 1}
		if got := s.Stats().Messages; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		text := s.logs.String()
		if n := strings.Count(text, "reason=bad_payload"); n != 1 {
			t.Errorf("%d lines about the same fault, want 1:\n%s", n, text)
		}
		if !strings.Contains(text, "arrival_time") || strings.Contains(text, "hunter2") {
			t.Errorf("the log:\n%s", text)
		}
	})
}

func TestTheTimeOfArrivalIsTakenWhereThatIsConfigured(t *testing.T) {
	b := mqtttest.NewBroker(t, mqtttest.Config{})
	c := config(b, "5")
	c.ArrivalTime = true
	s := start(t, c, &sink{}).connected(t)
	before := time.Now()
	b.Publish(t, "forescale/v1/web/a/power", `{"value":5}`, false, 1)
	eventually(t, "the reading", func() bool { return len(s.sink.keys()) == 1 })
	s.stop()
	for _, r := range s.sink.got {
		if r.Time.Before(before) || r.Time.After(time.Now()) || r.Time.Location() != time.UTC {
			t.Errorf("%+v", r)
		}
	}
}

func TestASecondClientWithTheSameIDIsToldOf(t *testing.T) {
	b := mqtttest.NewBroker(t, mqtttest.Config{})
	first := start(t, config(b, "5"), &sink{}).connected(t)
	second := start(t, config(b, "5"), &sink{}).connected(t)
	eventually(t, "the eviction", func() bool { return first.Stats().Evicted == 1 })
	eventually(t, "the log", func() bool { return strings.Contains(first.logs.String(), "an id of its own") })
	eventually(t, "the back-off", func() bool { return strings.Contains(first.logs.String(), "after=15s") })
	if second.Stats().Evicted != 0 {
		t.Error("the two evict each other in turn")
	}
}

func TestRefusedSubscriptionsDoNotTakeTheOthersAlong(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		b := mqtttest.NewBroker(t, mqtttest.Config{Allow: func(_, topic string, publish bool) bool {
			return publish || !strings.HasPrefix(topic, "secret/")
		}})
		c := config(b, version)
		c.Topics = append(c.Topics, mqtt.Pattern{Topic: "secret/{group}/{sensor}/{metric}"})
		s := start(t, c, &sink{}).connected(t)
		b.Publish(t, "forescale/v1/web/a/power", reading(1), false, 1)
		eventually(t, "the reading of another filter", func() bool { return len(s.sink.keys()) == 1 })
		if !strings.Contains(s.logs.String(), "secret/+/+/+") || s.Stats().Refused != 1 {
			t.Errorf("%+v\n%s", s.Stats(), s.logs)
		}
		s.stop()
		c.Topics = c.Topics[2:]
		none := start(t, c, &sink{})
		eventually(t, "a word about it", func() bool { return strings.Contains(none.logs.String(), "refuses every subscription") })
		if none.Stats().Connected {
			t.Error("a stream without a subscription calls itself connected")
		}
	})
}

func TestASubscribeHasAtMostEightFilters(t *testing.T) {
	b := mqtttest.NewBroker(t, mqtttest.Config{})
	c := config(b, "5")
	for i := range 18 {
		c.Topics = append(c.Topics, mqtt.Pattern{Topic: fmt.Sprintf("t%d/{group}/{sensor}", i)})
	}
	start(t, c, &sink{}).connected(t)
	if got := b.Subscribes(); !slices.Equal(got, []int{8, 8, 4}) {
		t.Errorf("got %v", got)
	}
}
