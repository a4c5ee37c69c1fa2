package server_test

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/server"
)

// worldEnd is the end of the newest slot of a world in the past.
var worldEnd = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// startWorld serves a world; its clock stands two minutes after the world's end.
func startWorld(t *testing.T, w *world, change func(*server.Config, *server.Deps)) *running {
	return start(t, newShelf(), func(c *server.Config, d *server.Deps) {
		d.Samples, d.Journal = samplesOf{w}, journalOf{w}
		if change != nil {
			change(c, d)
		}
	})
}

func (r *running) history(path string) api.GroupHistory {
	r.t.Helper()
	got := r.get(path)
	var h api.GroupHistory
	if err := json.Unmarshal(got.body, &h); err != nil || got.status != http.StatusOK {
		r.t.Fatalf("%s: %d %s (%v)", path, got.status, got.body, err)
	}
	return h
}

func TestAGroupsHistoryPutsForecastsBesideWhatCame(t *testing.T) {
	r := startWorld(t, newWorld(worldEnd), func(c *server.Config, _ *server.Deps) { c.Replay = true })
	h := r.history("/api/v1/groups/web?lead=3")
	if !h.To.Equal(worldEnd) || !h.From.Equal(worldEnd.Add(-24*time.Hour)) || !h.NewestEnd.Equal(worldEnd) || h.StepSeconds != 300 ||
		h.Target != api.SeriesDemand || !h.Replay || h.NewestAt.IsZero() {
		t.Errorf("from %s to %s, newest %s, target %s", h.From, h.To, h.NewestEnd, h.Target)
	}
	const slots = 288
	demand := h.Series[api.SeriesDemand]
	if len(demand) != slots || len(h.Series["cpu_utilization"]) != slots || len(h.Lead.Values) != slots+3 || h.Units["cpu_utilization"] != "percent" {
		t.Fatalf("%d values of demand, %d of the forecast", len(demand), len(h.Lead.Values))
	}
	gaps := 0
	for i, v := range demand {
		at := h.From.Add(time.Duration(i) * worldStep)
		if math.IsNaN(v) {
			gaps++
		} else if math.Abs(v-demandAt(at)) > 1e-9 {
			t.Fatalf("demand at %s is %v, was %v", at, v, demandAt(at))
		}
	}
	if gaps != 5 {
		t.Errorf("%d missing slots, want 5", gaps)
	}
	for i, v := range h.Lead.Values { // the forecast for k steps ahead errs by 0.05 (k-1) at most
		at := h.From.Add(time.Duration(i) * worldStep)
		if !(math.Abs(v-demandAt(at)) < 0.11) || !(h.Lead.Low[i] < v && v < h.Lead.High[i]) {
			t.Fatalf("the forecast for %s is %v in %v to %v, came %v", at, v, h.Lead.Low[i], h.Lead.High[i], demandAt(at))
		}
	}
	if n := len(h.Capacity); n != slots+1 || !h.Capacity[n-1].At.Equal(worldEnd) {
		t.Errorf("%d points of capacity", n)
	}
	if len(h.Decisions) != 100 || !h.Decisions[0].Tick.Equal(worldEnd) || h.Decisions[0].Forecast != nil || !h.Forecast.IssuedAt.Equal(worldEnd) {
		t.Errorf("%d decisions, newest %+v", len(h.Decisions), h.Decisions[0])
	}
}

func TestAHistorysRangeAndGroupComeFromTheRequest(t *testing.T) {
	r := startWorld(t, newWorld(worldEnd), nil)
	q := url.Values{"from": {"2026-03-01T13:02:00+01:00"}, "to": {"2026-03-01T14:01:00Z"}}
	h := r.history("/api/v1/groups/web?" + q.Encode())
	if h.From.Format(time.RFC3339) != "2026-03-01T12:00:00Z" || h.To.Format(time.RFC3339) != "2026-03-01T14:05:00Z" || len(h.Series["demand"]) != 25 {
		t.Errorf("from %s to %s, %d slots", h.From, h.To, len(h.Series["demand"]))
	}
	if h = r.history("/api/v1/groups/batch%2Fnight?" + q.Encode()); h.Group != "batch/night" || h.Target != "cpu_utilization" || len(h.Decisions) != 0 {
		t.Errorf("group %q, target %q", h.Group, h.Target)
	}
	for path, want := range map[string]struct {
		status int
		field  string
	}{
		"/api/v1/groups/nobody?" + q.Encode():                                  {404, "group"},
		"/api/v1/groups/..%2F..%2Fx?" + q.Encode():                             {404, "group"},
		"/api/v1/groups/web?from=yesterday":                                    {400, "from"},
		"/api/v1/groups/web?to=2026-03-01":                                     {400, "to"},
		"/api/v1/groups/web?from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z": {400, "from"},
		"/api/v1/groups/web?from=2020-03-02T00:00:00Z&to=2026-03-01T00:00:00Z": {400, "from"},
		"/api/v1/groups/web?lead=0":                                            {400, "lead"},
		"/api/v1/groups/web?lead=x":                                            {400, "lead"},
		"/api/v1/groups/" + strings.Repeat("g", 256):                           {400, "group"},
	} {
		got := r.do(http.MethodGet, path, nil, nil, true)
		if p := got.problem(t); p.Status != want.status || p.Field != want.field {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

func TestTheListOfGroupsHasTheirNewestDecisions(t *testing.T) {
	r := startWorld(t, newWorld(worldEnd), nil)
	var list api.GroupList
	if err := json.Unmarshal(r.get(api.RouteGroups).body, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Groups) != 2 || list.Groups[0].Group != "batch/night" || list.Groups[0].Decision != nil ||
		list.Groups[1].Group != "web" || !list.Groups[1].Decision.Tick.Equal(worldEnd) || list.Groups[1].Decision.Forecast != nil {
		t.Errorf("list %+v", list)
	}
}

func TestAStoreThatCannotBeReadIsAWarningNotAnEmptyPage(t *testing.T) {
	w := newWorld(worldEnd)
	w.fault = errors.New("the bucket is away")
	r := startWorld(t, w, func(c *server.Config, _ *server.Deps) { c.Replay = true })
	for _, path := range []string{api.RouteGroups, "/api/v1/groups/web"} {
		if got := r.get(path); got.status != http.StatusOK || !strings.Contains(string(got.body), "the bucket is away") {
			t.Errorf("%s: %d %.300s", path, got.status, got.body)
		}
	}
}

func TestTheWebPageIsServedWithAStrictPolicy(t *testing.T) {
	r := start(t, newShelf(), nil)
	for path, kind := range map[string]string{"/": "text/html", "/dashboard/app.js": "text/javascript", "/dashboard/chart.js": "text/javascript",
		"/dashboard/app.css": "text/css", "/dashboard/icon.svg": "image/svg+xml"} {
		got := r.do(http.MethodGet, path, nil, nil, true)
		policy := got.header.Get("Content-Security-Policy")
		if got.status != http.StatusOK || !strings.HasPrefix(got.header.Get("Content-Type"), kind) || len(got.body) < 100 ||
			!strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || got.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %s", path, got.status, got.header)
		}
		if strings.Contains(string(got.body), "<script>") || strings.Contains(string(got.body), "style=") || strings.Contains(string(got.body), " onclick=") {
			t.Errorf("%s holds inline script or style", path)
		}
	}
}
