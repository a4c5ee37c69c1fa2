package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/server"
	"github.com/forescale/forescale/server/access"
)

// clock is a clock that a test sets while a server looks at it.
type clock struct{ at atomic.Int64 }

func clockAt(t time.Time) *clock {
	c := &clock{}
	c.at.Store(t.UnixNano())
	return c
}

func (c *clock) now() time.Time       { return time.Unix(0, c.at.Load()) }
func (c *clock) pass(d time.Duration) { c.at.Add(int64(d)) }

// browser is a page that has logged in: it sends its cookie by itself.
type browser struct {
	*running
	cookie string
	csrf   string
}

// as returns the headers of a request by the page.
func (b *browser) as(change bool) http.Header {
	h := http.Header{"Cookie": {b.cookie}, "Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Dest": {"empty"}}
	if change {
		h["Origin"], h[http.CanonicalHeaderKey(api.CSRFHeader)] = []string{b.url}, []string{b.csrf}
	}
	return h
}

func (b *browser) session() (api.Session, reply) {
	b.t.Helper()
	got := b.do(http.MethodGet, api.RouteSession, nil, b.as(false), false)
	var s api.Session
	if got.status == http.StatusOK {
		if err := json.Unmarshal(got.body, &s); err != nil {
			b.t.Fatal(err)
		}
	}
	return s, got
}

// login logs a page in.
func login(r *running, token string) *browser {
	r.t.Helper()
	got := r.do(http.MethodPost, api.RouteSession, []byte(`{"token":"`+token+`"}`), http.Header{"Origin": {r.url}}, false)
	if got.status != http.StatusNoContent {
		r.t.Fatalf("login: status %d: %s", got.status, got.body)
	}
	b := &browser{running: r}
	b.cookie, _, _ = strings.Cut(got.header.Get("Set-Cookie"), ";")
	s, reply := b.session()
	if reply.status != http.StatusOK {
		r.t.Fatalf("session: status %d: %s", reply.status, reply.body)
	}
	b.csrf = s.CSRF
	return b
}

func TestATokenIsExchangedForASessionThatNoScriptCanRead(t *testing.T) {
	began := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	wall := clockAt(began)
	var tokens map[string]string
	r := start(t, shelfWithForeign(), func(cfg *server.Config, deps *server.Deps) {
		tokens = oneTokenEach(cfg)
		cfg.ModelControl = true
		deps.Now = wall.now
	})
	got := r.do(http.MethodPost, api.RouteSession, []byte(`{"token":"`+tokens["read"]+`"}`), nil, false)
	cookie := got.header.Get("Set-Cookie")
	for _, want := range []string{api.SessionCookie + "=", "HttpOnly", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie %q lacks %s", cookie, want)
		}
	}
	if strings.Contains(cookie, tokens["read"]) || strings.Contains(cookie, "Secure") { // there is no TLS here
		t.Errorf("cookie %q", cookie)
	}
	b := login(r, tokens["read"])
	s, _ := b.session()
	if s.Name != "the read" || len(s.Rights) != 1 || s.Rights[0] != "read" || len(s.CSRF) < 40 || !s.Login || !s.Until.Equal(began.Add(12*time.Hour)) {
		t.Errorf("%+v", s)
	}
	if got := b.do(http.MethodGet, api.RouteFleet, nil, b.as(false), false); got.status != http.StatusOK {
		t.Errorf("its right: status %d", got.status)
	}
	if got := b.do(http.MethodGet, api.RouteMetrics, nil, b.as(false), false); got.status != http.StatusForbidden {
		t.Errorf("another right: status %d", got.status)
	}
	if got := b.do(http.MethodDelete, api.RouteSession, nil, b.as(true), false); got.status != http.StatusNoContent || !strings.Contains(got.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("logout: status %d, %s", got.status, got.header)
	}
	_, ended := b.session()
	if ended.status != http.StatusUnauthorized || len(ended.header.Values("WWW-Authenticate")) != 1 { // a script must not bring up the browser's own question
		t.Errorf("after it: status %d, %s", ended.status, ended.header)
	}
	b = login(r, tokens["admin"])
	wall.pass(time.Hour)
	if _, got := b.session(); got.status != http.StatusUnauthorized {
		t.Errorf("an hour later: status %d", got.status)
	}
	for _, secret := range append([]string{b.cookie, b.csrf}, tokens["read"], tokens["admin"]) {
		if strings.Contains(r.logs.String(), secret) {
			t.Error("a secret is in the log")
		}
	}
	for _, want := range []string{`what="logged in" client="the read"`, `what="logged out" client="the read"`} {
		if !strings.Contains(r.logs.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
}

func TestALoginThatIsNone(t *testing.T) {
	var tokens map[string]string
	wall := clockAt(time.Now())
	r := start(t, shelfWithForeign(), func(cfg *server.Config, deps *server.Deps) {
		tokens = oneTokenEach(cfg)
		deps.Now = wall.now
	})
	unknown, _ := access.NewToken()
	for name, c := range map[string]struct {
		body   string
		header http.Header
		status int
	}{
		"an unknown token":     {`{"token":"` + unknown + `"}`, nil, 401},
		"no token":             {`{}`, nil, 400},
		"no JSON":              {`token=` + tokens["read"], nil, 400},
		"a form":               {`{"token":"` + tokens["read"] + `"}`, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, 415},
		"another site's page":  {`{"token":"` + tokens["read"] + `"}`, http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		"another origin":       {`{"token":"` + tokens["read"] + `"}`, http.Header{"Origin": {"http://elsewhere.example"}}, 403},
		"far too long a token": {`{"token":"` + strings.Repeat("x", 1<<20) + `"}`, nil, 413},
	} {
		got := r.do(http.MethodPost, api.RouteSession, []byte(c.body), c.header, true)
		if got.status != c.status || got.header.Get("Set-Cookie") != "" || strings.Contains(string(got.body), tokens["read"]) || strings.Contains(string(got.body), unknown) {
			t.Errorf("%s: status %d, want %d: %s", name, got.status, c.status, got.body)
		}
	}
	for range 25 {
		r.do(http.MethodPost, api.RouteSession, []byte(`{"token":"`+unknown+`"}`), nil, true)
	}
	if got := r.do(http.MethodPost, api.RouteSession, []byte(`{"token":"`+tokens["read"]+`"}`), nil, true); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("after many: status %d", got.status)
	}
	wall.pass(2 * time.Second)
	login(r, tokens["read"])
	if strings.Contains(r.logs.String(), unknown) {
		t.Error("a wrong token is in the log")
	}
}

func TestAChangeBySessionComesFromAPageOfThisServer(t *testing.T) {
	var tokens map[string]string
	r := start(t, shelfWithForeign(), func(cfg *server.Config, _ *server.Deps) {
		tokens = oneTokenEach(cfg)
		cfg.ModelControl = true
	})
	eventually(t, "ready", func() bool { return r.get(api.RouteReady).status == http.StatusOK })
	b, other := login(r, tokens["admin"]), login(r, tokens["admin"])
	for name, c := range map[string]struct {
		change func(http.Header)
		status int
	}{
		"as a page sends it":                {func(http.Header) {}, 200},
		"without the token":                 {func(h http.Header) { h.Del(api.CSRFHeader) }, 403},
		"with the token of another session": {func(h http.Header) { h.Set(api.CSRFHeader, other.csrf) }, 403},
		"without an origin":                 {func(h http.Header) { h.Del("Origin") }, 403},
		"from another site":                 {func(h http.Header) { h.Set("Origin", "https://elsewhere.example") }, 403},
		"from another port of the host":     {func(h http.Header) { h.Set("Origin", "http://127.0.0.1:1") }, 403},
		"from a page without an origin":     {func(h http.Header) { h.Set("Origin", "null") }, 403},
		"with a cookie that is none":        {func(h http.Header) { h.Set("Cookie", api.SessionCookie+"=x") }, 401},
		"by a token, which no browser has": {func(h http.Header) {
			h.Del("Origin")
			h.Del(api.CSRFHeader)
			h.Del("Cookie")
			h.Set("Authorization", "Bearer "+tokens["admin"])
		}, 200},
		"by a token beside a session's cookie": {func(h http.Header) {
			h.Del("Origin")
			h.Del(api.CSRFHeader)
			h.Set("Authorization", "Bearer "+tokens["admin"])
		}, 200},
	} {
		h := b.as(true)
		c.change(h)
		if got := r.do(http.MethodPost, "/v2/repository/models/foreign/load", []byte("{}"), h, true); got.status != c.status {
			t.Errorf("%s: status %d, want %d: %s", name, got.status, c.status, got.body)
		}
	}
	if got := r.do(http.MethodGet, "/v2", nil, login(r, tokens["read"]).as(false), false); got.status != http.StatusOK {
		t.Errorf("what changes nothing: status %d", got.status)
	}
}

func TestWithoutClientsNobodyLogsIn(t *testing.T) {
	r := start(t, shelfWithForeign(), nil)
	var s api.Session
	if err := json.Unmarshal(r.get(api.RouteSession).body, &s); err != nil || s.Login || s.Changes || s.CSRF != "" || len(s.Rights) != 5 {
		t.Errorf("%+v, %v", s, err)
	}
	if got := r.do(http.MethodPost, api.RouteSession, []byte(`{"token":"x"}`), nil, false); got.status != http.StatusBadRequest {
		t.Errorf("status %d", got.status)
	}
	if got := r.do(http.MethodDelete, api.RouteSession, nil, nil, false); got.status != http.StatusNoContent {
		t.Errorf("status %d", got.status)
	}
}
