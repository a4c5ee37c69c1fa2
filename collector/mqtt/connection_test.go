package mqtt_test

import (
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/forescale/forescale/collector/mqtt"
	"github.com/forescale/forescale/collector/mqtt/mqtttest"
	"github.com/forescale/forescale/internal/conf"
)

func TestClientCertificatesAreReadAgainAtEachConnection(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		pki, stranger := mqtttest.NewPKI(t), mqtttest.NewPKI(t)
		settings := pki.Server()
		settings.NextProtos = []string{"x-amzn-mqtt-ca"}
		b := mqtttest.NewBroker(t, mqtttest.Config{TLS: settings})
		c := config(b, version)
		c.Broker = "mqtts://" + b.Addr
		c.TLS.CA, c.TLS.ALPN = stranger.CA, "x-amzn-mqtt-ca"
		c.TLS.Cert, c.TLS.Key = stranger.Issue("collector")
		s := start(t, c, &sink{})
		eventually(t, "a word about the broker's certificate", func() bool { return strings.Contains(s.logs.String(), "unknown authority") })
		replace(t, pki.CA, c.TLS.CA)
		eventually(t, "a word about ours", func() bool {
			return strings.Contains(s.logs.String(), "tls: ") || s.Stats().DialFailed > 1
		})
		cert, key := pki.Issue("collector")
		replace(t, cert, c.TLS.Cert)
		replace(t, key, c.TLS.Key)
		s.connected(t)
		if got := b.Protocols(); !slices.Contains(got, "x-amzn-mqtt-ca") {
			t.Errorf("the broker was asked for %q", got)
		}
		b.Publish(t, "forescale/v1/web/a/power", reading(1), false, 1)
		eventually(t, "a reading", func() bool { return len(s.sink.keys()) == 1 })
	})
}

func replace(t *testing.T, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to+".new", raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(to+".new", to); err != nil {
		t.Fatal(err)
	}
}

func TestAWrongPasswordIsNamedAndNotShown(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		b := mqtttest.NewBroker(t, mqtttest.Config{User: "user", Password: "right"})
		c := config(b, version)
		t.Setenv("FORESCALE_TEST_PASSWORD", "hunter2")
		c.Username, c.Password = "user", conf.Secret{Env: "FORESCALE_TEST_PASSWORD"}
		s := start(t, c, &sink{})
		eventually(t, "a word about it", func() bool {
			text := strings.ToLower(s.logs.String())
			return strings.Contains(text, "bad user name or password") || strings.Contains(text, "not authorized")
		})
		if strings.Contains(s.logs.String(), "hunter2") {
			t.Errorf("the log shows the password:\n%s", s.logs)
		}
	})
}

func TestPublisher(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		b := mqtttest.NewBroker(t, mqtttest.Config{Allow: func(client, topic string, publish bool) bool {
			return !publish || client != "agent" || !strings.Contains(topic, "forbidden")
		}})
		s := start(t, config(b, "5"), &sink{}).connected(t)
		c := config(b, version).Connection
		c.ClientID = "agent"
		p, err := mqtt.NewPublisher(c, mqtt.Deps{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		publish := func(second int) error {
			return p.Publish(t.Context(), "forescale/v1/web/a/power", []byte(reading(float64(second))))
		}
		if err := publish(1); err != nil {
			t.Fatal(err)
		}
		b.Kick("agent")
		eventually(t, "it connects again", func() bool { return publish(2) == nil })
		p.Close()
		if err := publish(3); err != nil {
			t.Fatal(err)
		}
		eventually(t, "three readings", func() bool { return len(s.sink.keys()) == 3 })
		var refused *mqtt.RefusedError
		if err := p.Publish(t.Context(), "forescale/v1/web/forbidden/power", []byte(reading(4))); version == "5" && !errors.As(err, &refused) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAMessageThatTheBrokerDoesNotTakeNowIsNoLostOne(t *testing.T) {
	for code, hopeless := range map[byte]bool{0x80: false, 0x83: false, 0x97: false, 0x87: true, 0x90: true, 0x99: true} {
		busy := atomic.Bool{}
		busy.Store(true)
		b := mqtttest.NewBroker(t, mqtttest.Config{Answer: func(string) byte {
			if busy.Load() {
				return code
			}
			return 0
		}})
		c := config(b, "5").Connection
		c.ClientID = "agent"
		p, err := mqtt.NewPublisher(c, mqtt.Deps{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		publish := func() error { return p.Publish(t.Context(), "forescale/v1/web/a/power", []byte(reading(1))) }
		var refused *mqtt.RefusedError
		if err := publish(); err == nil || errors.As(err, &refused) != hopeless {
			t.Errorf("code %#x: got %v", code, err)
		}
		busy.Store(false)
		if err := publish(); err != nil {
			t.Errorf("code %#x: once it takes messages: %v", code, err)
		}
		p.Close()
	}
}
