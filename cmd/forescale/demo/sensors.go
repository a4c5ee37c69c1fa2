package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"path/filepath"
	"sync"
	"time"

	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/collector/mqtt"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/spool"
)

// sensors are a rack's thermometer and power meter for each group, the broker that
// they publish to, and the collector's stream from it. All of it is real but the
// measuring: what the sensors say follows the simulated load, at simulated times.
type sensors struct {
	broker    *broker.Server
	publisher *mqtt.Publisher
	stream    *mqtt.Stream
	disk      *spool.Spool
	racks     map[string]*rack // by group
	sent      int              // readings
	stop      func()           // ends the receiving, and returns when it has
}

// Names of what the sensors publish.
const (
	sensorName        = "rack"
	metricTemperature = "temperature"
	metricPower       = "power"
)

// startSensors starts the broker on loopback, and opens what the collector needs
// to receive from it.
func (d *demo) startSensors() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &sensors{racks: map[string]*rack{groupPredictive: {}, groupReactive: {}}, stop: func() {}}
	s.broker = broker.New(&broker.Options{Logger: d.log, SysTopicResendInterval: math.MaxInt32})
	d.sensors = s // closed with the demo from here on
	if err := s.broker.AddHook(new(openDoor), nil); err != nil {
		return err
	}
	if err := s.broker.AddListener(listeners.NewNet("loopback", l)); err != nil {
		return err
	}
	if err := s.broker.Serve(); err != nil {
		return err
	}
	cfg := mqtt.DefaultConfig()
	cfg.Broker, cfg.ClientID = "mqtt://"+l.Addr().String(), "demo-collector"
	if s.stream, err = mqtt.New("sensors", cfg, mqtt.Deps{Log: d.log, Now: d.cloud.Now}); err != nil {
		return err
	}
	publishing := cfg.Connection
	publishing.ClientID = "demo-sensors"
	if s.publisher, err = mqtt.NewPublisher(publishing, mqtt.Deps{Log: d.log}); err != nil {
		return err
	}
	s.disk, err = spool.Open(spool.Config{Dir: filepath.Join(d.dir, "spool"), MaxBytes: 64 << 20})
	return err
}

// openDoor lets everybody in. The broker listens on loopback and lives as long as
// the demo.
type openDoor struct{ broker.HookBase }

// ID implements the broker's Hook.
func (*openDoor) ID() string { return "open-door" }

// Provides implements the broker's Hook.
func (*openDoor) Provides(b byte) bool {
	return bytes.Contains([]byte{broker.OnConnectAuthenticate, broker.OnACLCheck}, []byte{b})
}

// OnConnectAuthenticate implements the broker's Hook.
func (*openDoor) OnConnectAuthenticate(*broker.Client, packets.Packet) bool { return true }

// OnACLCheck implements the broker's Hook.
func (*openDoor) OnACLCheck(*broker.Client, string, bool) bool { return true }

// receive starts the collector's stream.
func (s *sensors) receive(ctx context.Context, c *collector.Collector) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { c.RunStreams(ctx) })
	s.stop = func() { cancel(); running.Wait() }
}

func (s *sensors) close() {
	s.stop()
	if s.publisher != nil {
		s.publisher.Close()
	}
	if s.disk != nil {
		s.disk.Close()
	}
	s.broker.Close()
}

// sensorWait bounds how long a tick waits for its readings. On loopback they take
// a few milliseconds.
const sensorWait = 10 * time.Second

// measure publishes what the sensors measured in the slot that ends at tick, and
// returns when the collector has it on disk: on the simulated clock the tick
// follows at once, while in life a minute passes.
func (d *demo) measure(ctx context.Context, tick time.Time) error {
	from := tick.Add(-d.load.demand.Step)
	if from.Before(d.begin) { // the cloud kept no account yet
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, sensorWait)
	defer cancel()
	s := d.sensors
	for !s.stream.Stats().Connected { // what is published before anyone listens is for nobody
		if err := settle(ctx); err != nil {
			return fmt.Errorf("the collector has no connection to the broker: %w", err)
		}
	}
	for _, group := range []string{groupPredictive, groupReactive} {
		minutes, err := d.cloud.Minutes(group, from, tick)
		if err != nil {
			return err
		}
		topic, err := mqtt.Topic(group, sensorName, "")
		if err != nil {
			return err
		}
		payload, n, err := s.racks[group].payload(minutes)
		if err != nil {
			return err
		}
		if err := s.publisher.Publish(ctx, topic, payload); err != nil {
			return err
		}
		s.sent += n
	}
	for s.stream.Stats().Readings < s.sent {
		if err := settle(ctx); err != nil {
			return fmt.Errorf("%d of %d readings arrived: %w", s.stream.Stats().Readings, s.sent, err)
		}
	}
	return nil
}

// storedReadings returns how many readings of sensors the lake has, by its own count.
func (d *demo) storedReadings(ctx context.Context) (int, error) {
	rows, err := d.stores.data.Scan(ctx, dataset.Query{From: d.begin, To: d.end})
	n := 0.0
	for _, r := range rows {
		if r.Stat == api.StatCount && (r.Metric == metricTemperature || r.Metric == metricPower) {
			n += r.Value
		}
	}
	return int(n), err
}

// settle waits a moment.
func settle(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Millisecond):
		return nil
	}
}

// rack is the hardware under a group: every instance takes watts by how busy it is,
// and the air above follows the watts slowly.
type rack struct {
	celsius float64 // of the air; 0: not measured yet
}

// A rack's constants: watts of an idle and of a busy instance, degrees Celsius of
// the air that comes in, degrees for each kilowatt of the rack, and the share of
// the way to its final temperature that the air covers in a minute.
const (
	idleWatts, busyWatts = 120, 310
	inletCelsius         = 21
	celsiusPerKilowatt   = 2.5
	warmingPerMinute     = 0.15
)

// step moves the rack on by a minute and returns the power of its mean instance in
// watts.
func (r *rack) step(m fleet.Minute) (watts float64) {
	busy := 0.0
	if m.InService > 0 {
		busy = min(1, m.Demand/float64(m.InService))
	}
	watts = idleWatts + (busyWatts-idleWatts)*busy
	final := inletCelsius + celsiusPerKilowatt*watts*float64(m.InService)/1000
	if r.celsius == 0 {
		r.celsius = final
	}
	r.celsius += warmingPerMinute * (final - r.celsius)
	return watts
}

// payload returns a message with the readings of each minute, and how many there
// are.
func (r *rack) payload(minutes []fleet.Minute) (payload []byte, readings int, err error) {
	var parts []json.RawMessage
	for _, m := range minutes {
		values := map[string]float64{metricPower: r.step(m), metricTemperature: r.celsius}
		part, err := mqtt.Encode(m.Time, values)
		if err != nil {
			return nil, 0, err
		}
		parts, readings = append(parts, part), readings+len(values)
	}
	payload, err = json.Marshal(parts)
	return payload, readings, err
}
