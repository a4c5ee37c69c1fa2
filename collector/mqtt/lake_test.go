package mqtt_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/collector/mqtt"
	"github.com/forescale/forescale/collector/mqtt/mqtttest"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/spool"
)

// life is a collector between its start and its death.
type life struct {
	*collector.Collector
	stream *mqtt.Stream
	die    func()
}

// dying is a stream whose first n batches are stored, but whose process does not
// live to acknowledge them.
type dying struct {
	*mqtt.Stream
	n atomic.Int32
}

func (d *dying) Run(ctx context.Context, emit collector.Emit) error {
	return d.Stream.Run(ctx, func(ctx context.Context, readings []collector.Reading) error {
		if err := emit(ctx, readings); err != nil {
			return err
		}
		if d.n.Add(-1) >= 0 {
			return fmt.Errorf("the process is gone")
		}
		return nil
	})
}

// TestEveryReadingIsInTheLakeOnce sends what sensors send (out of order, twice,
// with clocks that are wrong, retained from the day before) over TLS to a broker with
// access rules, to a collector whose connection is cut, which dies between writing
// and acknowledging, and which is started again.
func TestEveryReadingIsInTheLakeOnce(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		const step = 5 * time.Minute
		pki := mqtttest.NewPKI(t)
		b := mqtttest.NewBroker(t, mqtttest.Config{TLS: pki.Server(), Allow: func(client, topic string, publish bool) bool {
			return publish == (client != "collector")
		}})
		c := config(b, version)
		c.Broker, c.TLS.CA = "mqtts://"+b.Addr, pki.CA
		c.TLS.Cert, c.TLS.Key = pki.Issue("collector")
		var clock atomic.Int64
		clock.Store(noon.Add(3 * time.Minute).UnixNano())
		lake := dataset.New(blob.NewMemory())
		dir := t.TempDir()
		begin := func(deaths int32) *life { return beginLife(t, c, lake, filepath.Join(dir, "spool"), &clock, deaths) }

		first := begin(0)
		b.Publish(t, "forescale/v1/web/a/temperature", at(noon.Add(-30*time.Hour), 99), true, 1)
		b.Publish(t, "forescale/v1/web/a/temperature", at(noon.Add(24*time.Hour), 99), false, 1)
		sent := readingsOf(step)
		stages := []func(){
			func() { b.Kick("collector") },
			func() { first.die(); first = begin(1) },
			func() { first.die(); first = begin(0) },
		}
		for i, r := range sent {
			b.Publish(t, "forescale/v1/web/"+r.Sensor+"/temperature", at(r.Time, r.Value), false, 1)
			if i%7 == 0 { // as after a lost acknowledgement
				b.Publish(t, "forescale/v1/web/"+r.Sensor+"/temperature", at(r.Time, r.Value), false, 1)
			}
			if (i+1)%(len(sent)/4) == 0 && len(stages) > 0 {
				eventually(t, "the collector is there", func() bool { return first.stream.Stats().Connected })
				stages[0]()
				stages = stages[1:]
			}
		}
		eventually(t, "everything is acknowledged", func() bool {
			return first.stream.Stats().Connected && b.Unacknowledged("collector") == 0
		})
		clock.Store(noon.Add(step + time.Minute).UnixNano())
		if err := first.Once(t.Context(), noon.Add(step)); err != nil {
			t.Fatal(err)
		}
		checkLake(t, lake, sent, step)
		first.die()
	})
}

// readingsOf returns what three sensors measure in the slot from noon on, in an
// order that no clock has.
func readingsOf(step time.Duration) (sent []collector.Reading) {
	for _, sensor := range []string{"a", "b", "c"} {
		for s := time.Duration(0); s < step; s += 5 * time.Second {
			sent = append(sent, collector.Reading{Sensor: sensor, Time: noon.Add(s), Value: 20 + float64(len(sent))/16})
		}
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(sent), func(i, j int) { sent[i], sent[j] = sent[j], sent[i] })
	return sent
}

func at(when time.Time, value float64) string {
	return fmt.Sprintf(`{"time":%q,"value":%g}`, when.Format(time.RFC3339), value)
}

func beginLife(t *testing.T, c mqtt.Config, lake *dataset.Dataset, dir string, clock *atomic.Int64, deaths int32) *life {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	now := func() time.Time { return time.Unix(0, clock.Load()).UTC() }
	stream, err := mqtt.New("sensors", c, mqtt.Deps{Log: log, Now: now, Jitter: func() float64 { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	mortal := &dying{Stream: stream}
	mortal.n.Store(deaths)
	disk, err := spool.Open(spool.Config{Dir: dir, MaxBytes: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	col, err := collector.New(collector.DefaultConfig(), collector.Deps{
		Streams: []collector.Stream{mortal}, Readings: disk, Lake: lake, Step: 5 * time.Minute, Now: now, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); col.RunStreams(ctx) }()
	die := sync.OnceFunc(func() { cancel(); <-done; disk.Close() })
	t.Cleanup(die)
	l := &life{Collector: col, stream: stream, die: die}
	eventually(t, "the collector connects", func() bool { return stream.Stats().Connected })
	return l
}

func checkLake(t *testing.T, lake *dataset.Dataset, sent []collector.Reading, step time.Duration) {
	t.Helper()
	rows, err := lake.Scan(t.Context(), dataset.Query{From: noon.Add(-48 * time.Hour), To: noon.Add(48 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	got := map[api.Stat]float64{}
	for _, r := range rows {
		if !r.Time.Equal(noon) || r.Group != "web" || r.Metric != "temperature" {
			t.Errorf("a row that no sensor caused: %+v", r)
			continue
		}
		got[r.Stat] = r.Value
	}
	sum, least, most := 0.0, sent[0].Value, sent[0].Value
	for _, r := range sent {
		sum, least, most = sum+r.Value, min(least, r.Value), max(most, r.Value)
	}
	n := float64(len(sent))
	if got[api.StatCount] != n || got[api.StatMin] != least || got[api.StatMax] != most || abs(got[api.StatAvg]-sum/n) > 1e-9 {
		t.Errorf("the lake has %v; want count %g, avg %g, min %g, max %g", got, n, sum/n, least, most)
	}
}

func abs(v float64) float64 { return max(v, -v) }
