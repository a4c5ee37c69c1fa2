package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/blob/s3test"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/lambdahost"
)

// message is what the broker of the crash test and the collector under it say to
// each other, one JSON object a line: readings and their acknowledgement, a tick
// to run and that it ran.
type message struct {
	ID       int                 `json:"id,omitempty"`
	Readings []collector.Reading `json:"readings,omitempty"`
	Tick     time.Time           `json:"tick,omitzero"`
	Acked    bool                `json:"acked,omitempty"`
	Ticked   bool                `json:"ticked,omitempty"`
	Failed   string              `json:"failed,omitempty"`
}

// The environment that makes the test binary the collector of the crash test.
const childConfig, childBroker = "FORESCALE_CRASH_CONFIG", "FORESCALE_CRASH_BROKER"

func TestMain(m *testing.M) {
	if config := os.Getenv(childConfig); config != "" {
		if err := collectFor(config, os.Getenv(childBroker)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	lambdahost.Clean()
	os.Exit(code)
}

// collectFor is a collector as the command wires it, but that its clock and its
// ticks are the broker's. It ends with the connection.
func collectFor(config, broker string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p := &program{config: config}
	if err := p.check(); err != nil {
		return err
	}
	conn, err := net.Dial("tcp", broker)
	if err != nil {
		return err
	}
	line := &lineStream{conn: conn, ticks: make(chan message, 10)}
	p.streams = append(p.streams, line)
	logs, err := p.openSpools()
	if err != nil {
		return err
	}
	defer logs.close()
	store, err := blob.Open(ctx, p.common.Data)
	if err != nil {
		return err
	}
	first := <-line.hello()
	line.clock.Store(first.Tick.UnixNano())
	c, err := collector.New(p.section.Config, collector.Deps{
		Sources: p.sources, Streams: p.streams, Ticks: logs.ticks, Readings: logs.readings, Lake: dataset.New(store),
		State: store, Calendar: p.calendar, Step: p.common.Step, Log: p.log,
		Now: func() time.Time { return time.Unix(0, line.clock.Load()) },
	})
	if err != nil {
		return err
	}
	var done sync.WaitGroup
	done.Go(func() { c.RunStreams(ctx) })
	for m := range line.ticks {
		answer := message{Ticked: true}
		if err := c.Once(ctx, m.Tick); err != nil {
			answer.Failed = err.Error()
		}
		line.say(answer)
	}
	cancel()
	done.Wait()
	return nil
}

// lineStream is the stream of the crash test.
type lineStream struct {
	conn  net.Conn
	lines *bufio.Scanner
	ticks chan message
	clock atomic.Int64
	mu    sync.Mutex // guards writing
}

// hello returns the first message, which tells the time.
func (s *lineStream) hello() <-chan message {
	s.lines = bufio.NewScanner(s.conn)
	s.lines.Buffer(nil, 1<<20)
	ch := make(chan message, 1)
	var m message
	if s.lines.Scan() {
		_ = json.Unmarshal(s.lines.Bytes(), &m)
	}
	ch <- m
	return ch
}

func (s *lineStream) say(m message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = json.NewEncoder(s.conn).Encode(m) // a broker that is gone asks for nothing
}

// Name implements collector.Stream.
func (s *lineStream) Name() string { return "sensors" }

// Run implements collector.Stream.
func (s *lineStream) Run(ctx context.Context, emit collector.Emit) error {
	var emits sync.WaitGroup
	for s.lines.Scan() {
		var m message
		if err := json.Unmarshal(s.lines.Bytes(), &m); err != nil {
			return err
		}
		if !m.Tick.IsZero() {
			s.clock.Store(m.Tick.UnixNano())
			s.ticks <- m
			continue
		}
		emits.Go(func() {
			if err := emit(ctx, m.Readings); err == nil {
				s.say(message{ID: m.ID, Acked: true})
			}
		})
	}
	emits.Wait()
	close(s.ticks)
	<-ctx.Done()
	return nil
}

// broker keeps messages until they are acknowledged.
type broker struct {
	next    int
	sent    map[string]collector.Reading
	mu      sync.Mutex
	pending map[int][]collector.Reading // guarded by mu
	acked   int                         // guarded by mu
}

// publish makes messages of a few readings, some of them doubled.
func (b *broker) publish(rng *rand.Rand, slot time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range 5 + rng.IntN(20) {
		var list []collector.Reading
		for range 1 + rng.IntN(4) {
			r := collector.Reading{Group: "hall", Sensor: fmt.Sprint("s", rng.IntN(5)), Metric: "temperature",
				Time: slot.Add(time.Duration(rng.IntN(300)) * time.Second), Value: 20 + rng.NormFloat64()}
			id := r.Sensor + r.Time.String()
			if first, twice := b.sent[id]; twice {
				r = first
			}
			b.sent[id] = r
			list = append(list, r)
			if rng.IntN(10) == 0 {
				list = append(list, r)
			}
		}
		b.next++
		b.pending[b.next] = list
	}
}

// life serves one collector: what is pending, in any order, and the ticks. It
// returns when the collector has done them or is dead.
func (b *broker) life(l net.Listener, rng *rand.Rand, ticks []time.Time) {
	conn, err := l.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	out := json.NewEncoder(conn)
	if out.Encode(message{Tick: ticks[0]}) != nil {
		return
	}
	b.mu.Lock()
	for id, list := range b.pending {
		if out.Encode(message{ID: id, Readings: list}) != nil {
			break
		}
		if rng.IntN(20) == 0 { // delivered twice, as QoS 1 may
			_ = out.Encode(message{ID: id, Readings: list})
		}
	}
	waiting := len(b.pending)
	b.mu.Unlock()
	for _, at := range ticks {
		if out.Encode(message{Tick: at}) != nil {
			return
		}
	}
	ticked := 0
	for lines := bufio.NewScanner(conn); (ticked < len(ticks) || waiting > 0) && lines.Scan(); {
		var m message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return // cut by the kill
		}
		b.mu.Lock()
		if _, there := b.pending[m.ID]; m.Acked && there {
			delete(b.pending, m.ID)
			b.acked++
			waiting--
		}
		b.mu.Unlock()
		if m.Ticked {
			ticked++
		}
	}
}

// samples returns what the readings sent are to become.
func (b *broker) samples() []api.Sample {
	cells := map[time.Time][]float64{}
	for _, r := range b.sent {
		slot := r.Time.Truncate(step)
		cells[slot] = append(cells[slot], r.Value)
	}
	var out []api.Sample
	for _, slot := range slices.SortedFunc(maps.Keys(cells), time.Time.Compare) {
		values := slices.Sorted(slices.Values(cells[slot]))
		n, sum := len(values), 0.0
		for _, v := range values {
			sum += v
		}
		for stat, v := range map[api.Stat]float64{api.StatCount: float64(n), api.StatAvg: sum / float64(n), api.StatMin: values[0],
			api.StatMax: values[n-1], api.StatP95: values[int(math.Ceil(0.95*float64(n)))-1]} {
			out = append(out, api.Sample{Group: "hall", Metric: "temperature", Stat: stat, Time: slot, Value: v})
		}
	}
	return out
}

// A collector of a source and of sensors is killed at a random moment of each of
// 200 lives, while the S3 server that holds the lake is killed amid writes and
// comes back, too. The lake ends up with what was sent.
func TestKillingCollectorAndStoreAtAnyMomentLosesNothing(t *testing.T) {
	const first, lives = 6, 200
	s := newSystem(t, evening, fleet.Traps{
		Gaps: []fleet.Gap{{Points: fleet.Points{Metric: "CPUUtilization", Share: 0.05}}},
		Late: []fleet.Late{{Points: fleet.Points{Share: 0.2}, Delay: 4 * time.Minute}},
	})
	server := s3test.StartServer(t)
	lake, home := server.URL(""), t.TempDir()
	config, err := os.ReadFile(s.configFile)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.configFile, "# the lake is in S3\n"+
		strings.Replace(string(config), "data: file://"+s.lake, "data: "+lake, 1)+
		"  store_timeout: 1s\n  fetch_timeout: 5s\n  catch_up: 168h\n  stream: {keep: 48h}\n  spool: {dir: "+home+"}\n")
	b := &broker{pending: map[int][]collector.Reading{}, sent: map[string]collector.Reading{}}
	rng := rand.New(rand.NewPCG(9, uint64(time.Now().UnixNano())))

	killed, storeKilled, slot, quiet := 0, 0, first, false
	live := func(ticks int, kill time.Duration) {
		var at []time.Time
		for range ticks {
			if !quiet {
				b.publish(rng, s.slot(slot))
			}
			slot++
			s.advance(slot)
			at = append(at, s.slot(slot))
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var log tail
		cmd := exec.Command(os.Args[0])
		cmd.Env = []string{childConfig + "=" + s.configFile, childBroker + "=" + listener.Addr().String(), "HOME=" + home,
			"AWS_ACCESS_KEY_ID=" + s3test.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s3test.SecretKey, "AWS_EC2_METADATA_DISABLED=true"}
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		timer := time.AfterFunc(kill, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		served := make(chan struct{})
		go func() { b.life(listener, rand.New(rand.NewPCG(1, uint64(slot))), at); close(served) }()
		err = <-ended
		listener.Close() // for a life that never came to connect
		<-served
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			killed++
		} else if err != nil {
			t.Fatalf("the collector: %v\n%s", err, log.String())
		}
	}
	var stopped chan struct{} // closed when the store is dead; nil: it lives
	restart := func() {
		if stopped != nil && rng.IntN(2) == 0 {
			<-stopped
			stopped = nil
			if err := server.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	start := time.Now()
	live(1, time.Minute)
	usual := time.Since(start)
	for range lives {
		restart()
		if stopped == nil && rng.IntN(3) == 0 {
			storeKilled++
			stopped = make(chan struct{})
			time.AfterFunc(time.Duration(rng.Int64N(int64(usual))), func() { server.Kill(); close(stopped) })
		}
		live(1+rng.IntN(2), usual/4+time.Duration(rng.Int64N(int64(usual*4))))
	}
	t.Logf("%d of %d collectors and the store %d times were killed; %d messages were acknowledged; an undisturbed life takes %s",
		killed, lives, storeKilled, b.acked, usual)
	if killed < lives/3 || storeKilled < lives/8 {
		t.Error("too few were killed: the test proves little")
	}
	for stopped != nil {
		restart()
	}
	for i := range 4 {
		// Readings and the tick race: what comes after a tick is stored by the next one.
		quiet = i > 1
		live(1, time.Minute)
	}
	if len(b.pending) > 0 {
		t.Errorf("%d messages were never acknowledged", len(b.pending))
	}
	store, err := blob.Open(t.Context(), lake)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := dataset.New(store).Scan(t.Context(), dataset.Query{})
	if err != nil {
		t.Fatal(err)
	}
	s.compareRows(rows, append(s.offered(first-2, slot), b.samples()...), first-2, slot)
	if _, err := os.Stat(filepath.Join(home, "spool")); err != nil {
		t.Error(err)
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

var _ io.Writer = (*tail)(nil)

// Write implements io.Writer.
func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	l.text = l.text[max(0, len(l.text)-8000):]
	return len(p), nil
}

// String returns what was kept.
func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}
