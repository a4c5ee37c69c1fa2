package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/collector/mqtt"
	"github.com/forescale/forescale/collector/mqtt/mqtttest"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/spool"
)

func TestHostMetrics(t *testing.T) {
	nan := math.NaN()
	before := hostState{cpuBusy: 100, cpuTotal: 1000, network: map[string]flow{"eth0": {1000, 500}}, memory: 1, load: 1, disk: 1, temperature: 1}
	for name, c := range map[string]struct {
		before *hostState
		now    hostState
		want   map[string]float64
	}{
		"levels need no state before": {nil, hostState{cpuBusy: 1, cpuTotal: 2, memory: 40, load: 0.5, disk: 70, temperature: nan},
			map[string]float64{"memory_utilization": 40, "load_average": 0.5, "disk_utilization": 70}},
		"differences do": {&before, hostState{cpuBusy: 125, cpuTotal: 1100, network: map[string]flow{"eth0": {1600, 700}}, memory: nan, load: nan, disk: nan, temperature: 55},
			map[string]float64{"cpu_utilization": 25, "network_in": 600, "network_out": 200, "temperature": 55}},
		"counters that began anew tell nothing": {&before, hostState{cpuBusy: 1, cpuTotal: 10, network: map[string]flow{"eth0": {10, 5}}, memory: nan, load: nan, disk: nan, temperature: nan},
			map[string]float64{}},
		"an interface that is new has not been counted from its start": {&before, hostState{cpuBusy: nan, cpuTotal: nan, network: map[string]flow{"eth0": {1001, 501}, "eth1": {1 << 40, 1 << 40}}, memory: nan, load: nan, disk: nan, temperature: nan},
			map[string]float64{"network_in": 1, "network_out": 1}},
		"no interface is no traffic of zero": {&before, hostState{cpuBusy: nan, cpuTotal: nan, memory: nan, load: nan, disk: nan, temperature: nan}, map[string]float64{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := hostMetrics(c.before, c.now); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	for name, internal := range map[string]bool{"lo": true, "eth0": false, "enp3s0": false, "veth12": true, "docker0": true} {
		if internalInterface(name) != internal {
			t.Error(name)
		}
	}
}

func TestThisHostCanBeRead(t *testing.T) {
	before, err := readHost(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); { // something to measure
	}
	now, err := readHost(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := hostMetrics(&before, now)
	for _, metric := range []string{api.MetricCPU, metricMemory, metricDisk} {
		if v, ok := got[metric]; !ok || v < 0 || v > 100 {
			t.Errorf("%s: %v", metric, v)
		}
	}
}

// lines is a log, or an output, that tests read.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// agent returns a sensor of the group web with a host and a clock of its own, on
// which each reading is 10 seconds after the one before.
func agent(t *testing.T, broker string) *sensor {
	t.Helper()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	read := 0
	s := &sensor{conn: mqtt.DefaultConnection(), group: "web", sensor: "host-1", every: time.Second, queue: 100, spoolMB: 1,
		out: io.Discard, log: slog.New(slog.DiscardHandler),
		read: func(context.Context) (hostState, error) {
			read++
			return hostState{cpuBusy: math.NaN(), cpuTotal: math.NaN(), memory: float64(read), load: math.NaN(), disk: math.NaN(), temperature: math.NaN()}, nil
		},
		now: func() time.Time { return at.Add(time.Duration(read) * 10 * time.Second) },
	}
	s.conn.Broker = broker
	if err := s.check(); err != nil {
		t.Fatal(err)
	}
	s.every = 5 * time.Millisecond
	return s
}

func runAgent(t *testing.T, s *sensor, until func() bool) error {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	for end := time.Now().Add(20 * time.Second); !until(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Error("it took too long")
			break
		}
	}
	stop()
	return <-done
}

// listen collects the values that arrive at a broker, by time.
func listen(t *testing.T, b *mqtttest.Broker) (count func() int, got map[time.Time]float64) {
	t.Helper()
	c := mqtt.DefaultConfig()
	c.Broker, c.ClientID = "mqtt://"+b.Addr, "collector"
	s, err := mqtt.New("mqtt", c, mqtt.Deps{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	got = map[time.Time]float64{}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.Run(ctx, func(_ context.Context, readings []collector.Reading) error {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range readings {
				if r.Group != "web" || r.Sensor != "host-1" || r.Metric != metricMemory {
					t.Errorf("%+v", r)
				}
				got[r.Time] = r.Value
			}
			return nil
		})
	}()
	t.Cleanup(func() { stop(); <-done })
	for !s.Stats().Connected {
		time.Sleep(time.Millisecond)
	}
	return func() int { mu.Lock(); defer mu.Unlock(); return len(got) }, got
}

func TestTheSensorPublishesAndFlushesAtTheEnd(t *testing.T) {
	b := mqtttest.NewBroker(t, mqtttest.Config{})
	count, _ := listen(t, b)
	s := agent(t, "mqtt://"+b.Addr)
	read, states := s.read, 0
	s.read = func(ctx context.Context) (hostState, error) { states++; return read(ctx) }
	if err := runAgent(t, s, func() bool { return count() >= 5 }); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); count() < states && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if n := count(); n != states {
		t.Errorf("%d of %d readings arrived", n, states)
	}
}

func TestWhatTheSensorCouldNotSendOutlivesItInTheSpool(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close() // nobody listens there
	dir := t.TempDir()
	log := &lines{}
	s := agent(t, "mqtt://"+closed.Addr().String())
	s.spoolDir, s.log = dir, slog.New(slog.NewTextHandler(log, nil))
	states := 0
	read := s.read
	s.read = func(ctx context.Context) (hostState, error) { states++; return read(ctx) }
	if err := runAgent(t, s, func() bool { return strings.Contains(log.String(), "not sent") }); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "waits on disk") {
		t.Errorf("the log:\n%s", log)
	}
	b := mqtttest.NewBroker(t, mqtttest.Config{})
	count, _ := listen(t, b)
	again := agent(t, "mqtt://"+b.Addr)
	again.spoolDir, again.every = dir, time.Hour
	first := again.now
	again.now = func() time.Time { return first().Add(24 * time.Hour) }
	if err := runAgent(t, again, func() bool { return count() >= states+1 }); err != nil {
		t.Fatal(err)
	}
}

func TestWithoutASpoolTheSensorSaysWhatIsLost(t *testing.T) {
	s := agent(t, "mqtt://127.0.0.1:1")
	states := 0
	read := s.read
	s.read = func(ctx context.Context) (hostState, error) { states++; return read(ctx) }
	s.every = time.Hour
	err := runAgent(t, s, func() bool { return true })
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%d messages are lost", states)) {
		t.Errorf("got %v after %d readings", err, states)
	}
}

func TestADryRunPrintsWhatWouldBeSent(t *testing.T) {
	s := agent(t, "mqtt://127.0.0.1:1")
	out := &lines{}
	s.dryRun, s.out = true, out
	if err := runAgent(t, s, func() bool { return strings.Count(out.String(), "\n") >= 2 }); err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(out.String(), "\n")
	topic, payload, _ := strings.Cut(line, " ")
	values, err := mqtt.Decode([]byte(payload), false)
	if err != nil || topic != "forescale/v1/web/host-1" || len(values) != 1 || values[0].Metric != metricMemory {
		t.Errorf("%s: %v, %v", line, values, err)
	}
}

func TestABacklogInMemoryDropsTheOldest(t *testing.T) {
	m := &memoryBacklog{most: 3}
	for i := range 5 {
		if _, err := m.Append([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	var got []byte
	for r, err := range m.All() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.Payload...)
		if err := m.Remove(r.Seq); err != nil {
			t.Fatal(err)
		}
	}
	if st := m.Stats(); !slices.Equal(got, []byte{2, 3, 4}) || st.Dropped != 2 || st.Records != 0 {
		t.Errorf("got %v, %+v", got, st)
	}
}

func TestTheSenderKeepsTheOrderAndDropsWhatIsRefused(t *testing.T) {
	disk, err := spool.Open(spool.Config{Dir: t.TempDir(), MaxBytes: spool.MinBytes})
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	for name, b := range map[string]backlog{"in memory": &memoryBacklog{most: 10}, "on disk": disk} {
		t.Run(name, func(t *testing.T) {
			var got []string
			away := errors.New("away")
			s := &sender{topic: "t", backlog: b, log: slog.New(slog.DiscardHandler), publish: func(_ context.Context, topic string, payload []byte) error {
				switch p := string(payload); {
				case p == "refused":
					return &mqtt.RefusedError{Topic: topic, Reason: "not authorized"}
				case p == "b" && away != nil:
					return away
				default:
					got = append(got, p)
					return nil
				}
			}}
			for _, p := range []string{"a", "refused", "b", "c"} {
				if _, err := b.Append([]byte(p)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.flush(t.Context()); !errors.Is(err, away) || b.Stats().Records != 2 {
				t.Fatalf("got %v, %+v", err, b.Stats())
			}
			away = nil
			if err := s.flush(t.Context()); err != nil || !slices.Equal(got, []string{"a", "b", "c"}) || b.Stats().Records != 0 {
				t.Errorf("got %v, %v, %+v", got, err, b.Stats())
			}
		})
	}
}

func TestTheSensorsCommandLine(t *testing.T) {
	for args, want := range map[string]string{
		"-group web -sensor a -broker mqtts://b":                                        "",
		"-group web -sensor a -dry-run":                                                 "",
		"-sensor a -broker mqtts://b":                                                   "-group",
		"-group web -sensor a":                                                          "broker",
		"-group web -sensor a -broker mqtts://b -every 1ms":                             "-every",
		"-group web -sensor a -broker mqtts://b -queue 0":                               "-queue",
		"-group web -sensor a -broker mqtts://b -spool-size 0":                          "-spool-size",
		"-group web -sensor a -broker mqtts://b -cert c":                                "need each other",
		"-group web -sensor a -broker mqtts://b -mqtt 3":                                "version",
		"-group web -sensor a -broker mqtts://b -user u -password-file x":               "",
		"-group web -sensor a -broker mqtts://b -password-env X":                        "username",
		"-group web -broker mqtts://b -sensor " + strings.Repeat("x", 250):              "topic",
		"-group web -broker mqtts://b -sensor a\x1b[2J":                                 "control characters",
		"-group web -sensor a -broker mqtts://x.amazonaws.com:443":                      "alpn",
		"-group web -sensor a -broker mqtts://x.amazonaws.com:443 -alpn x-amzn-mqtt-ca": "",
		"-group web -sensor a -broker mqtt://b -ca c":                                   "mqtts",
		"-group web -sensor a -broker mqtts://b -client-id " + strings.Repeat("x", 129): "client_id",
	} {
		t.Run(args, func(t *testing.T) {
			var stderr strings.Builder
			code := cli.Execute(t.Context(), sensorCommand(), append(strings.Fields(args), "-check"), io.Discard, &stderr)
			if (code == cli.ExitOK) != (want == "") || !strings.Contains(stderr.String(), want) {
				t.Errorf("exit code %d, %s", code, &stderr)
			}
		})
	}
}

func TestHostsOfLongNamesThatBeginAlikeHaveClientIDsOfTheirOwn(t *testing.T) {
	group := strings.Repeat("ä", 60)
	a, b := clientID(group, "checkout-7d9f8c6b5-abcde"), clientID(group, "checkout-7d9f8c6b5-fghij")
	if a == b || len(a) > maxClientIDLen || !utf8.ValidString(a) {
		t.Errorf("%q and %q", a, b)
	}
	if id := clientID("web", "a"); id != "forescale-sensor-web-a" {
		t.Errorf("got %q", id)
	}
}
