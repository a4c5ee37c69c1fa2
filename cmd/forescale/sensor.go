package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/forescale/forescale/collector/mqtt"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/spool"
)

const sensorManual = `forescale sensor publishes this host's own metrics over MQTT: CPU, memory, network
in and out, load, disk, and temperature where there is a sensor. A collector with
the source mqtt brings them into the lake.

  forescale sensor -broker mqtts://broker.example -ca ca.pem -cert host.pem -key host.key -group web
  forescale sensor -group web -dry-run          # print what would be sent

All metrics of a moment go as one message to forescale/v1/GROUP/SENSOR, with
quality of service 1. While the broker is away they wait: in memory, and with
-spool on disk, where they outlive the process. When the room is used up the oldest
go. SIGTERM sends what is waiting before the process ends, for up to 5 seconds.

Passwords come from a file or an environment variable, never from the command line,
which others can read.`

// flushTimeout bounds what SIGTERM waits for.
const flushTimeout = 5 * time.Second

// sensor is the agent and its command line.
type sensor struct {
	conn          mqtt.Connection
	group, sensor string
	every         time.Duration
	dryRun        bool
	queue         int    // messages in memory
	spoolDir      string // "": none
	spoolMB       int

	topic string
	out   io.Writer
	log   *slog.Logger
	now   func() time.Time
	read  func(context.Context) (hostState, error)
}

func sensorCommand() cli.Command {
	s := &sensor{conn: mqtt.DefaultConnection(), out: os.Stdout, now: time.Now, read: readHost,
		log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	return cli.Command{
		Name: "forescale sensor", Manual: sensorManual, Flags: s.flags, Check: s.check,
		Run: func(ctx context.Context, args []string) error {
			if len(args) > 0 {
				return cli.Usagef("unexpected argument %q", args[0])
			}
			return s.run(ctx)
		},
	}
}

func (s *sensor) flags(fs *flag.FlagSet) {
	host, _ := os.Hostname() // empty: -sensor is asked for
	fs.StringVar(&s.conn.Broker, "broker", "", "`URL` of the broker: mqtts://HOST[:8883] or mqtt://HOST[:1883]")
	fs.StringVar(&s.conn.Version, "mqtt", s.conn.Version, "`VERSION` of the protocol: 5 or 3.1.1")
	fs.StringVar(&s.conn.ClientID, "client-id", "", "`NAME` at the broker, unique there (default forescale-sensor-GROUP-SENSOR, with a digest in place of what exceeds 128 bytes)")
	fs.StringVar(&s.conn.TLS.CA, "ca", "", "PEM `FILE` of the broker's authorities (default: the system's)")
	fs.StringVar(&s.conn.TLS.Cert, "cert", "", "PEM `FILE` of this host's certificate")
	fs.StringVar(&s.conn.TLS.Key, "key", "", "PEM `FILE` of its key")
	fs.StringVar(&s.conn.TLS.ALPN, "alpn", "", "protocol `NAME` to ask for (AWS IoT Core on port 443: x-amzn-mqtt-ca)")
	fs.StringVar(&s.conn.Username, "user", "", "user `NAME`")
	fs.StringVar(&s.conn.Password.File, "password-file", "", "`FILE` that holds the password")
	fs.StringVar(&s.conn.Password.Env, "password-env", "", "environment `VARIABLE` that holds the password")
	fs.StringVar(&s.group, "group", "", "`GROUP` that the host belongs to, as the collector and the scaler call it")
	fs.StringVar(&s.sensor, "sensor", host, "`NAME` of this host within the group")
	fs.DurationVar(&s.every, "every", 10*time.Second, "time between readings")
	fs.IntVar(&s.queue, "queue", 8640, "`MESSAGES` that wait in memory, at most, while the broker is away")
	fs.StringVar(&s.spoolDir, "spool", "", "keep what waits in this `DIR` instead of in memory")
	fs.IntVar(&s.spoolMB, "spool-size", 16, "`MB` of disk that -spool may take")
	fs.BoolVar(&s.dryRun, "dry-run", false, "print topic and payload instead of sending them")
}

// clientID returns the default name at the broker. One that is too long ends with a
// digest: hosts whose names begin alike would evict each other without end.
func clientID(group, sensor string) string {
	id := "forescale-sensor-" + group + "-" + sensor
	if len(id) <= maxClientIDLen {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	digest := "-" + hex.EncodeToString(sum[:8])
	return strings.ToValidUTF8(id[:maxClientIDLen-len(digest)], "") + digest
}

// maxClientIDLen is what AWS IoT Core takes, in bytes.
const maxClientIDLen = 128

func (s *sensor) check() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if s.group == "" {
		bad("-group: is required")
	}
	if s.sensor == "" {
		bad("-sensor: is required; this host has no name")
	}
	if s.group != "" && s.sensor != "" {
		topic, err := mqtt.Topic(s.group, s.sensor, "")
		if err != nil {
			faults = append(faults, err)
		}
		s.topic = topic
	}
	if s.conn.ClientID == "" {
		s.conn.ClientID = clientID(s.group, s.sensor)
	}
	if s.every < time.Second || s.every > time.Hour {
		bad("-every: %s is not in 1s..1h", s.every)
	}
	if s.queue < 1 || s.queue > 1_000_000 {
		bad("-queue: %d is not in 1..1000000", s.queue)
	}
	if s.spoolMB < 1 || s.spoolMB > 1<<20 {
		bad("-spool-size: %d is not in 1..%d", s.spoolMB, 1<<20)
	}
	if !s.dryRun {
		if err := s.conn.Validate(); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

func (s *sensor) run(ctx context.Context) error {
	if s.dryRun {
		return s.sample(ctx, func(payload []byte) error {
			_, err := fmt.Fprintf(s.out, "%s %s\n", s.topic, payload)
			return err
		})
	}
	var waiting backlog = &memoryBacklog{most: s.queue}
	if s.spoolDir != "" {
		disk, err := spool.Open(spool.Config{Dir: s.spoolDir, MaxBytes: int64(s.spoolMB) << 20})
		if err != nil {
			return fmt.Errorf("-spool: %w", err)
		}
		waiting = disk
	}
	defer waiting.Close()
	publisher, err := mqtt.NewPublisher(s.conn, mqtt.Deps{Log: s.log})
	if err != nil {
		return err
	}
	defer publisher.Close()
	out := &sender{topic: s.topic, backlog: waiting, publish: publisher.Publish, retry: mqtt.NewRetry(nil), log: s.log, more: make(chan struct{}, 1)}
	sending := make(chan struct{})
	go func() {
		defer close(sending)
		out.run(ctx)
	}()
	err = s.sample(ctx, func(payload []byte) error {
		if _, err := waiting.Append(payload); err != nil {
			s.log.Error("reading lost", "err", err) // a full disk: later ones may fit again
			return nil
		}
		select {
		case out.more <- struct{}{}:
		default: // it will look anyway
		}
		return nil
	})
	<-sending
	return errors.Join(err, s.leave(out))
}

// leave sends what is waiting, for a while, after a signal has ended the work.
func (s *sensor) leave(out *sender) error {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	err := out.flush(ctx)
	left := out.backlog.Stats()
	s.log.Info("stopped", "dropped", left.Dropped, "waiting", left.Records)
	switch {
	case left.Records == 0:
		return nil
	case s.spoolDir != "":
		s.log.Warn("what was not sent waits on disk for the next start", "messages", left.Records, "dir", s.spoolDir, "err", err)
		return nil
	}
	return fmt.Errorf("%d messages are lost: the broker did not take them: %w", left.Records, err)
}

// sample reads the host every interval until ctx ends and passes on each payload. A
// last one is taken at the end, so that the network's counters miss nothing.
func (s *sensor) sample(ctx context.Context, pass func(payload []byte) error) error {
	ticker := time.NewTicker(s.every)
	defer ticker.Stop()
	var before *hostState
	for {
		// Reading is quick, and the last time it is done the context has ended.
		state, err := s.read(context.WithoutCancel(ctx))
		if err != nil {
			s.log.Warn("the host does not tell everything", "err", err)
		}
		if metrics := hostMetrics(before, state); len(metrics) > 0 {
			payload, err := mqtt.Encode(s.now().UTC().Truncate(time.Millisecond), metrics)
			if err != nil {
				return err
			}
			if err := pass(payload); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		before = &state
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}
