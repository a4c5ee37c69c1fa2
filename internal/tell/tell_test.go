package tell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/conf"
)

// listener is a server that takes a while.
type listener struct {
	takes time.Duration
	err   error
	heard []string
}

func (l *listener) Notify(ctx context.Context, news api.Changed) error {
	l.heard = append(l.heard, fmt.Sprint(news.At.Unix(), news.What, news.Groups))
	select {
	case <-time.After(l.takes):
		return l.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func at(unix int64) time.Time { return time.Unix(unix, 0) }

func TestTellingReturnsAtOnceAndJoinsWhatComesMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &listener{takes: time.Second}
		var log bytes.Buffer
		teller := New(l, time.Now, slog.New(slog.NewTextHandler(&log, nil)))
		began := time.Now()
		teller.Tell(api.Changed{At: at(1), What: []string{"samples"}, Groups: []string{"a"}})
		synctest.Wait() // it is on its way
		teller.Tell(api.Changed{At: at(3), What: []string{"decision"}, Groups: []string{"c", "b"}})
		teller.Tell(api.Changed{At: at(2), What: []string{"decision", "forecast"}, Groups: []string{"b"}})
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %s", took)
		}
		teller.Wait(context.Background())
		if got := strings.Join(l.heard, "; "); got != "1 [samples] [a]; 3 [decision forecast] [b c]" {
			t.Errorf("heard %s", got)
		}
		teller.Tell(api.Changed{At: at(4), What: []string{"samples"}, Groups: []string{"a"}})
		synctest.Wait()
		teller.Tell(api.Changed{At: at(5), What: []string{"samples"}, Groups: []string{"a"}})
		teller.Tell(api.Changed{At: at(6), What: []string{"samples"}}) // of any group
		teller.Wait(context.Background())
		if got := l.heard[3]; got != "6 [samples] []" {
			t.Errorf("heard %s", got)
		}
		if log.Len() > 0 {
			t.Errorf("logged %s", log.String())
		}
	})
}

func TestAServerThatHangsIsGivenUpAndOneThatRefusesIsLetAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &listener{takes: time.Hour}
		var log bytes.Buffer
		teller := New(l, time.Now, slog.New(slog.NewTextHandler(&log, nil)))
		tell := func() int {
			before := len(l.heard)
			teller.Tell(api.Changed{What: []string{"samples"}})
			teller.Wait(context.Background())
			return len(l.heard) - before
		}
		began := time.Now()
		if tell() != 1 || time.Since(began) != timeout {
			t.Errorf("given up after %s", time.Since(began))
		}
		l.takes, l.err = 0, errors.New("connection refused")
		tell()
		if n := strings.Count(log.String(), "cannot be told"); n != 1 {
			t.Errorf("%d lines of the log", n)
		}
		l.err = nil
		tell()
		if !strings.Contains(log.String(), "is told of news again") {
			t.Error("nobody says that it works again")
		}
		l.err = fmt.Errorf("notify: %w", &api.Problem{Title: "Forbidden", Status: 403})
		tell()
		l.err = nil
		if tell() != 0 {
			t.Error("a server that refuses is asked again at once")
		}
		time.Sleep(resign)
		if tell() != 1 {
			t.Error("it is never asked again")
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		l.takes = time.Second
		teller.Tell(api.Changed{What: []string{"samples"}})
		teller.Wait(ctx) // does not wait for it
		teller.Wait(context.Background())
	})
	var nobody *Teller
	nobody.Tell(api.Changed{})
	nobody.Wait(context.Background())
}

func TestTheConfigurationNamesEveryFault(t *testing.T) {
	token := conf.Secret{Env: "TOKEN"}
	for name, c := range map[string]struct {
		cfg  Config
		want []string // parts of the error; none: it is valid
	}{
		"nothing":                      {Config{}, nil},
		"a token without a URL":        {Config{Token: token}, []string{"url"}},
		"a server on this machine":     {Config{URL: "http://127.0.0.1:8650", Token: token}, nil},
		"a token in clear text":        {Config{URL: "http://server:8650", Token: token}, []string{"token", "allow_plaintext"}},
		"asked for by name":            {Config{URL: "http://server:8650", Token: token, AllowPlaintext: true}, nil},
		"TLS":                          {Config{URL: "https://server:8650", Token: token, CAFile: "ca"}, nil},
		"files that say nothing":       {Config{URL: "http://server:8650", CAFile: "ca"}, []string{"ca_file"}},
		"a certificate without a key":  {Config{URL: "https://server", CertFile: "c"}, []string{"cert_file, key_file"}},
		"a password in the URL":        {Config{URL: "http://me:secret@server"}, []string{"holds a user"}},
		"no URL":                       {Config{URL: "server:8650"}, []string{"url"}},
		"two places to read the token": {Config{URL: "https://s", Token: conf.Secret{Env: "A", File: "b"}, CertFile: "c"}, []string{"token", "cert_file"}},
	} {
		err := c.cfg.Validate()
		if (err != nil) != (c.want != nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range c.want {
			if err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret@")) {
				t.Errorf("%s: %v does not say %q", name, err, want)
			}
		}
	}
	if teller, err := (Config{}).Open(slog.Default()); teller != nil || err != nil {
		t.Error("somebody is told")
	}
	if teller, err := (Config{URL: "http://127.0.0.1:1"}).Open(slog.Default()); teller == nil || err != nil {
		t.Error(err)
	}
	if err := (Config{URL: "https://s", CAFile: "/nonexistent/ca"}).Check(); err == nil || !strings.Contains(err.Error(), "/nonexistent/ca") {
		t.Error(err)
	}
}
