//go:build system

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector/mqtt"
	"github.com/forescale/forescale/collector/mqtt/mqtttest"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
)

// tool returns the program that an environment variable names.
func tool(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s must name the program; run make test-system", variable)
	}
	return path
}

// plant is mosquitto with TLS, client certificates and access rules, the real
// collector, and sensors.
type plant struct {
	t       *testing.T
	pki     *mqtttest.PKI
	version string
	addr    string // of the broker
	dir     string
	binary  string
	broker  *exec.Cmd
	collect *exec.Cmd
}

func newPlant(t *testing.T, version string) *plant {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &plant{t: t, pki: mqtttest.NewPKI(t), version: version, addr: l.Addr().String(), dir: t.TempDir()}
	l.Close()
	p.binary = filepath.Join(p.dir, "forescale-collector")
	build := exec.Command("go", "build", "-o", p.binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as the releases are built
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	_, port, _ := net.SplitHostPort(p.addr)
	cert, key := p.pki.Issue("broker")
	write(t, p.path("acl"), "user collector\ntopic read forescale/v1/#\n\npattern write forescale/v1/web/%u/#\n")
	write(t, p.path("mosquitto.conf"), fmt.Sprintf(`
listener %s 127.0.0.1
cafile %s
certfile %s
keyfile %s
require_certificate true
use_identity_as_username true
acl_file %s
user root
persistence true
persistence_location %s/
autosave_interval 1
autosave_on_changes true
max_queued_messages 0
`, port, p.pki.CA, cert, key, p.path("acl"), p.dir))
	cert, key = p.pki.Issue("collector")
	write(t, p.path("forescale.yaml"), fmt.Sprintf(`
data: file://%s
collector:
  settle: 0s
  spool: {dir: %s}
  sources:
    - mqtt:
        broker: mqtts://%s
        version: "%s"
        client_id: collector
        receive_maximum: 50
        tls: {ca: %s, cert: %s, key: %s}
`, p.path("lake"), p.path("spool"), p.addr, version, p.pki.CA, cert, key))
	t.Cleanup(func() {
		p.end(&p.collect, syscall.SIGKILL)
		p.end(&p.broker, syscall.SIGKILL)
		if t.Failed() {
			for _, name := range []string{"mosquitto.log", "forescale-collector.log"} {
				text, _ := os.ReadFile(p.path(name))
				t.Logf("%s:\n%s", name, text)
			}
		}
	})
	return p
}

func (p *plant) path(name string) string { return filepath.Join(p.dir, name) }

// startBroker starts mosquitto and returns when it listens.
func (p *plant) startBroker() {
	p.t.Helper()
	p.broker = p.start(tool(p.t, "FORESCALE_MOSQUITTO"), "-c", p.path("mosquitto.conf"))
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if conn, err := net.Dial("tcp", p.addr); err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			p.t.Fatal("mosquitto does not listen")
		}
	}
}

func (p *plant) startCollector() {
	p.t.Helper()
	p.collect = p.start(p.binary, "-config", p.path("forescale.yaml"))
}

func (p *plant) start(program string, args ...string) *exec.Cmd {
	p.t.Helper()
	cmd := exec.Command(program, args...)
	out, err := os.OpenFile(p.path(filepath.Base(program)+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	return cmd
}

// end sends a signal and returns when the process is gone.
func (p *plant) end(cmd **exec.Cmd, signal syscall.Signal) {
	if *cmd != nil {
		_ = (*cmd).Process.Signal(signal)
		_ = (*cmd).Wait()
		*cmd = nil
	}
}

// tick ends the collector in order and writes what is due to the lake.
func (p *plant) tick() {
	p.t.Helper()
	p.end(&p.collect, syscall.SIGTERM)
	if out, err := exec.Command(p.binary, "-config", p.path("forescale.yaml"), "-once").CombinedOutput(); err != nil {
		p.t.Fatalf("tick: %v\n%s", err, out)
	}
}

// stored returns the number of readings in the lake, and their sum.
func (p *plant) stored() (n int, sum float64) {
	p.t.Helper()
	store, err := blob.Open(context.Background(), "file://"+p.path("lake"))
	if err != nil {
		p.t.Fatal(err)
	}
	rows, err := dataset.New(store).Scan(p.t.Context(), dataset.Query{})
	if err != nil {
		p.t.Fatal(err)
	}
	means := map[time.Time]float64{}
	for _, r := range rows {
		if r.Group != "web" || r.Metric != "temperature" {
			p.t.Errorf("a row that no sensor may cause: %+v", r)
		}
		if r.Stat == api.StatAvg {
			means[r.Time] = r.Value
		}
	}
	for _, r := range rows {
		if r.Stat == api.StatCount {
			n += int(r.Value)
			sum += r.Value * means[r.Time]
		}
	}
	return n, sum
}

// sensor returns the publisher of one sensor, which has a certificate of its own.
func (p *plant) sensor(name string) *mqtt.Publisher {
	p.t.Helper()
	c := mqtt.DefaultConnection()
	c.Broker, c.Version, c.ClientID, c.TLS.CA = "mqtts://"+p.addr, p.version, name, p.pki.CA
	c.TLS.Cert, c.TLS.Key = p.pki.Issue(name)
	s, err := mqtt.NewPublisher(c, mqtt.Deps{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(s.Close)
	return s
}

// publish publishes until the broker has taken the message over.
func (p *plant) publish(s *mqtt.Publisher, topic, payload string) {
	p.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
		err := s.Publish(ctx, topic, []byte(payload))
		cancel()
		var refused *mqtt.RefusedError
		switch {
		case err == nil, errors.As(err, &refused):
			return
		case time.Now().After(end):
			p.t.Fatal(err)
		}
	}
}

// Through kills of the collector at any moment, between receiving and
// acknowledging among them, and restarts and a kill of the broker, every reading
// is in the lake once, and none that the broker's rules forbid.
func TestSystemEveryReadingPassesMosquittoOnce(t *testing.T) {
	for _, version := range []string{"5", "3.1.1"} {
		t.Run("MQTT "+version, func(t *testing.T) {
			p := newPlant(t, version)
			p.startBroker()
			p.startCollector()
			time.Sleep(500 * time.Millisecond) // the first connection makes the session
			const readings = 1200
			begin := time.Now().UTC().Truncate(5 * time.Minute).Add(-15 * time.Minute)
			sensors := []*mqtt.Publisher{p.sensor("rack-0"), p.sensor("rack-1"), p.sensor("rack-2")}
			sum := 0.0
			for i := range readings {
				name := "rack-" + strconv.Itoa(i%3)
				value := 20 + float64(i%64)/8
				sum += value
				p.publish(sensors[i%3], "forescale/v1/web/"+name+"/temperature",
					fmt.Sprintf(`{"time":%d,"value":%g}`, begin.Add(time.Duration(i)*700*time.Millisecond).UnixMilli(), value))
				switch {
				case i%97 == 50: // messages are on their way
					p.end(&p.collect, syscall.SIGKILL)
				case i%97 == 70:
					p.startCollector()
				case i == 400:
					p.end(&p.broker, syscall.SIGTERM)
					p.startBroker()
				case i == 800: // what it has acknowledged is on its disk a moment later
					time.Sleep(300 * time.Millisecond)
					p.end(&p.broker, syscall.SIGKILL)
					p.startBroker()
				}
				if p.collect == nil && i%97 > 70 {
					p.startCollector()
				}
			}
			p.publish(sensors[0], "forescale/v1/web/rack-1/temperature", fmt.Sprintf(`{"time":%d,"value":1e6}`, begin.UnixMilli())) // not its topic
			cert, key := p.pki.Issue("by-hand")
			host, port, _ := net.SplitHostPort(p.addr)
			out, err := exec.Command(tool(t, "FORESCALE_MOSQUITTO_PUB"), "-h", host, "-p", port, "-q", "1", "--cafile", p.pki.CA, "--cert", cert, "--key", key,
				"-t", "forescale/v1/web/by-hand", "-m", fmt.Sprintf(`{"time":%q,"metrics":{"temperature":21.5}}`, begin.Format(time.RFC3339))).CombinedOutput()
			if err != nil {
				t.Fatalf("mosquitto_pub: %v\n%s", err, out)
			}
			sum += 21.5
			for end := time.Now().Add(time.Minute); ; {
				if p.collect == nil {
					p.startCollector()
				}
				time.Sleep(time.Second)
				p.tick()
				n, got := p.stored()
				if n == readings+1 {
					if d := got - sum; d > 1e-6 || d < -1e-6 {
						t.Errorf("the readings add up to %g, want %g", got, sum)
					}
					return
				}
				if n > readings+1 || time.Now().After(end) {
					t.Fatalf("the lake counts %d readings, want %d", n, readings+1)
				}
			}
		})
	}
}
