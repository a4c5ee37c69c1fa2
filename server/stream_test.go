package server_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/server"
)

// news reads the next news of a stream.
func news(t *testing.T, lines *bufio.Scanner) api.Changed {
	t.Helper()
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var c api.Changed
			if err := json.Unmarshal([]byte(data), &c); err != nil {
				t.Fatal(err)
			}
			return c
		}
	}
	t.Fatal("the stream has ended")
	return api.Changed{}
}

func TestWhatCollectorAndScalerTellIsOnTheScreenAndIsAskedAnew(t *testing.T) {
	w := newWorld(worldEnd)
	r := startWorld(t, w, func(c *server.Config, _ *server.Deps) {
		c.Replay = true
		c.ReadTimeout, c.WriteTimeout, c.RequestTimeout = 200*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond
	})
	response := r.openStream(nil)
	lines := bufio.NewScanner(response.Body)
	if response.Header.Get("Content-Type") != "text/event-stream" || response.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", response.Header)
	}
	newest := func() time.Time {
		var fleet api.Fleet
		if err := json.Unmarshal(r.get(api.RouteFleet).body, &fleet); err != nil {
			t.Fatal(err)
		}
		return fleet.Tick
	}
	if at := newest(); !at.Equal(worldEnd) {
		t.Errorf("newest is %s", at)
	}
	time.Sleep(300 * time.Millisecond) // longer than each time limit, which must not cut the stream
	newest()                           // and is remembered for a second
	next := worldEnd.Add(worldStep)
	w.mu.Lock()
	w.ticks = append(w.ticks, api.TickRecord{Tick: next, Decisions: []api.Decision{w.decide(next, api.Capacity{InService: 6, Desired: 6, Min: 2, Max: 20}, 50)}})
	w.mu.Unlock()
	body, err := json.Marshal(api.Changed{At: next, What: []string{"decision", "forecast"}, Groups: []string{"web"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.do(http.MethodPost, api.RouteNotify, body, nil, false); got.status != http.StatusNoContent {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	if c := news(t, lines); !c.At.Equal(next) || strings.Join(c.What, " ") != "decision forecast" || c.Groups[0] != "web" {
		t.Errorf("told %+v", c)
	}
	if at := newest(); !at.Equal(next) {
		t.Errorf("who is told and asks gets what was before: %s", at)
	}
	if m := r.metric("forescale_stream_viewers"); m != "forescale_stream_viewers 1" {
		t.Error(m)
	}
	began := time.Now()
	if err := r.close(); err != nil || time.Since(began) > 10*time.Second {
		t.Errorf("the drain took %s: %v", time.Since(began), err)
	}
	for lines.Scan() { // the stream ends with the drain
	}
}

func TestANotificationIsChecked(t *testing.T) {
	r := startWorld(t, newWorld(worldEnd), nil)
	for name, c := range map[string]struct {
		body   string
		header http.Header
		status int
		field  string
	}{
		"no JSON":                {"what", nil, 400, ""},
		"nothing new":            {`{"what":[]}`, nil, 400, "what"},
		"an unknown kind":        {`{"what":["weather"]}`, nil, 400, "what"},
		"a group without a name": {`{"what":["samples"],"groups":["web",""]}`, nil, 400, "groups[1]"},
		"too long":               {`{"what":["` + strings.Repeat("x", 5<<20) + `"]}`, nil, 413, ""},
		"another site's page":    {`{"what":["samples"]}`, http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403, ""},
	} {
		if p := r.do(http.MethodPost, api.RouteNotify, []byte(c.body), c.header, true).problem(t); p.Status != c.status || p.Field != c.field {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestTheGroupPageIsServedInBucketsAndAsATable(t *testing.T) {
	r := startWorld(t, newWorld(worldEnd), func(c *server.Config, _ *server.Deps) { c.Replay = true })
	h := r.history("/api/v1/groups/web?points=100")
	if n := len(h.Series["demand"]); n > 100 || n < 60 || h.BucketSeconds != 900 || len(h.Lows["demand"]) != n || len(h.Fan.Quantiles["0.9"]) != len(h.Fan.Times) || len(h.Marks) == 0 {
		t.Errorf("%d values, bucket %d s, %d marks", n, h.BucketSeconds, len(h.Marks))
	}
	got := r.get("/api/v1/groups/web?format=csv")
	if got.header.Get("Content-Type") != "text/csv; charset=utf-8" || !strings.Contains(got.header.Get("Content-Disposition"), `filename="web.csv"`) ||
		!strings.HasPrefix(string(got.body), "time,cpu_utilization,demand,") || strings.Count(string(got.body), "\n") != 288+2+1 {
		t.Errorf("%v\n%.300s", got.header, got.body)
	}
	if got := r.do(http.MethodGet, "/api/v1/groups/batch%2Fnight%0d%0a?format=csv&to=2026-03-02T12:00:00Z", nil, nil, true); strings.ContainsAny(got.header.Get("Content-Disposition"), "/\r\n") {
		t.Errorf("%v", got.header)
	}
	for path, field := range map[string]string{"/api/v1/groups/web?points=9": "points", "/api/v1/groups/web?points=2001": "points", "/api/v1/groups/web?format=xml": "format"} {
		if p := r.do(http.MethodGet, path, nil, nil, true).problem(t); p.Status != http.StatusBadRequest || p.Field != field {
			t.Errorf("%s: %+v", path, p)
		}
	}
	plain := r.do(http.MethodGet, api.RouteFleet, nil, http.Header{"Accept-Encoding": {"gzip;q=0"}}, false)
	if plain.header.Get("Content-Encoding") != "" || plain.header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("%v", plain.header)
	}
	req, err := http.NewRequest(http.MethodGet, r.url+"/api/v1/groups/web", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "br, gzip")
	response, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	unzipped, err := gzip.NewReader(response.Body)
	if err != nil || response.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("%v, %v", response.Header, err)
	}
	if err := json.NewDecoder(unzipped).Decode(&h); err != nil || h.Group != "web" {
		t.Error(err)
	}
}
