//go:build system

package dashboard_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/server/dashboard"
)

// fake is the page with an interface behind it that answers the types of api with
// made-up data, so that states can be shown that are hard to bring about: a thousand
// groups, none, stale data, faults. The journeys with real data are the server's and
// the demo's tests.
type fake struct {
	url string

	mu      sync.Mutex
	groups  int                       // guarded by mu, with what follows
	bump    float64                   // added to every load
	fault   int                       // status that every question is answered with; 0: none
	token   string                    // that a login needs; empty: there are no logins
	inside  bool                      // somebody has logged in
	changes []string                  // asked for: path, body
	asked   []string                  // paths of GET
	viewers map[chan string]time.Time // of the stream
	quiet   bool                      // the stream answers 503
	markup  string                    // is in every text, when set
}

const fakeStep = 300 * time.Second

var fakeNow = time.Date(2026, 3, 12, 14, 0, 0, 0, time.UTC)

func newFake(t *testing.T, set func(*fake)) *fake {
	t.Helper()
	f := &fake{groups: 12}
	if set != nil {
		set(f)
	}
	f.url = f.serve(t)
	return f
}

// serve returns the address of the page.
func (f *fake) serve(t testing.TB) string {
	f.viewers = map[chan string]time.Time{}
	e := echo.New()
	dashboard.Register(e)
	e.GET("/api/v1/session", f.showSession)
	e.POST("/api/v1/session", f.login)
	e.DELETE("/api/v1/session", f.logout)
	e.GET("/api/v1/stream", f.stream)
	e.POST("/api/v1/models/:name/:change", f.change)
	for route, answer := range map[string]func(echo.Context) any{
		"/api/v1/fleet": f.fleet, "/api/v1/groups/:group": f.history, "/api/v1/models": f.models, "/api/v1/models/:name": f.model,
		"/api/v1/backtests": f.backtests, "/api/v1/backtests/:name": f.backtest,
	} {
		e.GET(route, func(c echo.Context) error { return f.answer(c, answer) })
	}
	server := httptest.NewServer(e)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return server.URL + "/"
}

// set changes the world, and tells the viewers when what is not empty.
func (f *fake) set(what string, change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	if what == "" {
		return
	}
	for v := range f.viewers {
		v <- fmt.Sprintf("event: changed\ndata: {\"what\":[%q],\"groups\":[]}\n\n", what)
	}
}

func problem(c echo.Context, status int, detail string) error {
	c.Response().Header().Set("Content-Type", api.ProblemType)
	return c.JSON(status, map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}

func (f *fake) answer(c echo.Context, with func(echo.Context) any) error {
	f.mu.Lock()
	f.asked = append(f.asked, c.Request().URL.RequestURI())
	fault, outside := f.fault, f.token != "" && !f.inside
	f.mu.Unlock()
	switch {
	case fault != 0:
		return problem(c, fault, "the bucket is away")
	case outside:
		return problem(c, http.StatusUnauthorized, "log in")
	}
	body := with(c)
	if body == nil {
		return problem(c, http.StatusNotFound, "nothing is known of it")
	}
	return c.JSON(http.StatusOK, body)
}

func (f *fake) showSession(c echo.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.token != "" && !f.inside {
		return problem(c, http.StatusUnauthorized, "log in")
	}
	s := api.Session{Rights: []string{"read", "admin"}, Changes: true}
	if f.token != "" {
		s.Name, s.CSRF, s.Login = "operator", "proof", true
	}
	return c.JSON(http.StatusOK, s)
}

func (f *fake) login(c echo.Context) error {
	var asked api.SessionRequest
	if err := c.Bind(&asked); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if asked.Token != f.token {
		return problem(c, http.StatusUnauthorized, "no such token")
	}
	f.inside = true
	return c.NoContent(http.StatusNoContent)
}

func (f *fake) logout(c echo.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.token != "" && c.Request().Header.Get(api.CSRFHeader) != "proof" {
		return problem(c, http.StatusForbidden, "the CSRF token is missing")
	}
	f.inside = false
	return c.NoContent(http.StatusNoContent)
}

func (f *fake) change(c echo.Context) error {
	var asked api.ModelChange
	if err := c.Bind(&asked); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.token != "" && c.Request().Header.Get(api.CSRFHeader) != "proof" {
		return problem(c, http.StatusForbidden, "the CSRF token is missing")
	}
	if strings.Contains(asked.Reason, "refuse") {
		return problem(c, http.StatusConflict, "version 4 is champion by now")
	}
	f.changes = append(f.changes, fmt.Sprintf("%s %+v", c.Request().URL.Path, asked))
	return c.JSON(http.StatusOK, map[string]any{})
}

func (f *fake) stream(c echo.Context) error {
	viewer := make(chan string, 16)
	f.mu.Lock()
	quiet := f.quiet
	f.viewers[viewer] = time.Now()
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.viewers, viewer)
		f.mu.Unlock()
	}()
	if quiet {
		return problem(c, http.StatusServiceUnavailable, "no stream")
	}
	w := c.Response()
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	w.Flush()
	for {
		select {
		case <-c.Request().Context().Done():
			return nil
		case event := <-viewer:
			if _, err := w.Write([]byte(event)); err != nil {
				return nil
			}
			w.Flush()
		}
	}
}

// loadAt is a day with a peak and some noise, in instances of work.
func loadAt(t time.Time, seed int) float64 {
	h := float64(t.Unix()%86400) / 3600
	return (4+float64(seed%7))*(1.2-math.Cos(2*math.Pi*(h-3)/24)) + 0.3*math.Sin(9*h+float64(seed)) + 0.2*math.Sin(31*h+float64(t.YearDay()))
}

var fakeReasons = map[api.GroupState]string{
	api.StatePredictive: "forecast 8.4 within 20 min fits 11 instances at 75 %",
	api.StateDrift:      "61 % of the last day lay in the 80 % interval: the live load decides until it is 72 % again",
	api.StateStale:      "no sample for 32 min: hold or grow, never shrink",
	api.StateFrozen:     "frozen until 18:00 by the operator: release week",
	api.StateReactive:   "the policy target tracking reads no forecast",
	api.StateUnknown:    "the scaler has not decided on this group",
}

func (f *fake) fleet(echo.Context) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := api.Fleet{Now: fakeNow, StepSeconds: 300, Tick: fakeNow, Scaler: "scaler-1", Warnings: []string{}, Groups: []api.FleetRow{}}
	for i := range f.groups {
		out.Groups = append(out.Groups, f.row(i))
	}
	slices.SortStableFunc(out.Groups, func(a, b api.FleetRow) int { return b.Attention - a.Attention })
	return out
}

func (f *fake) row(i int) api.FleetRow {
	age, old := 140.0, 5.5*86400
	name := fmt.Sprintf("%s-%03d", []string{"checkout", "search", "eu-west/web", "payments", "images"}[i%5], i)
	r := api.FleetRow{Group: name + f.markup, State: api.StatePredictive, Mode: api.ModeLive, Policy: "threshold", DataAgeSeconds: &age,
		Model: &api.FleetModel{Name: "shared", Version: 4, AgeSeconds: &old}, Outcome: api.OutcomeNone}
	now := loadAt(fakeNow, i) + f.bump
	r.Load = &api.FleetLoad{Series: "demand", Value: now, Unit: "instances of work", At: fakeNow.Add(-fakeStep)}
	ahead := loadAt(fakeNow.Add(10*time.Minute), i)
	r.Forecast = &api.FleetForecast{Value: ahead, At: fakeNow.Add(10 * time.Minute), LeadSeconds: 600, Quantiles: map[string]float64{"0.1": ahead - 0.8, "0.5": ahead, "0.9": ahead + 0.9}}
	size := int(now/0.75) + 1
	r.Capacity = &api.FleetCapacity{InService: size, Before: size, Desired: size + i%2, Min: 2, Max: 40, Pending: i % 3}
	for k := 24; k > 0; k-- {
		r.Spark = append(r.Spark, loadAt(fakeNow.Add(-time.Duration(k)*fakeStep), i))
	}
	switch i % 40 {
	case 3:
		late := 1920.0
		r.State, r.Attention, r.DataAgeSeconds, r.Forecast = api.StateStale, 306, &late, nil
		r.Spark[22], r.Spark[23] = math.NaN(), math.NaN()
	case 5:
		r.State, r.Attention = api.StateDrift, 210
	case 7:
		r.State, r.Attention = api.StateFrozen, 100
		r.NextEvent = &api.FleetEvent{Name: "spring_sale", From: fakeNow.Add(5 * time.Hour), To: fakeNow.Add(14 * time.Hour)}
	case 9:
		r.State, r.Model, r.Mode = api.StateReactive, nil, api.ModeDryRun
	case 11:
		r = api.FleetRow{Group: r.Group, State: api.StateUnknown, Attention: 100, Spark: api.Series{}}
	}
	r.Reason = fakeReasons[r.State] + f.markup
	return r
}

func (f *fake) history(c echo.Context) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	group, err := url.PathUnescape(c.Param("group"))
	if err != nil || strings.HasPrefix(group, "nobody") {
		return nil
	}
	to, from := fakeNow, fakeNow.Add(-24*time.Hour)
	if v, err := time.Parse(time.RFC3339, c.QueryParam("to")); err == nil && v.Before(to) {
		to = v
	}
	if v, err := time.Parse(time.RFC3339, c.QueryParam("from")); err == nil {
		from = v.Truncate(fakeStep)
	}
	return fakeHistory(group, from, to, f.bump, f.markup)
}

func fakeHistory(group string, from, to time.Time, bump float64, markup string) api.GroupHistory {
	bucket := fakeStep
	for to.Sub(from)/bucket > 1000 {
		bucket *= 2
	}
	n := int(to.Sub(from) / bucket)
	h := api.GroupHistory{Group: group, Now: fakeNow, From: from, To: to, StepSeconds: 300, BucketSeconds: int(bucket / time.Second), NewestEnd: to, Target: "demand",
		Series: map[string]api.Series{}, Units: map[string]string{"demand": "instances of work", "cpu_utilization": "percent"}, Lead: api.LeadForecast{Steps: 2},
		Fan: api.Fan{LeadSteps: 2, Quantiles: map[string]api.Series{}}, Sensors: map[string]api.Sensor{}, Events: []api.FleetEvent{}, Marks: []api.Mark{}}
	if bucket > fakeStep {
		h.Lows, h.Highs = map[string]api.Series{}, map[string]api.Series{}
	}
	temperature := api.Sensor{Unit: "degrees Celsius"}
	size := 6
	for i := range n {
		at := from.Add(time.Duration(i) * bucket)
		load := loadAt(at, 3) + bump
		shown := load
		if at.Hour() == 5 && at.Minute() < 20 {
			shown = math.NaN()
		}
		h.Series["demand"] = append(h.Series["demand"], shown)
		h.Series["cpu_utilization"] = append(h.Series["cpu_utilization"], min(100, 100*shown/float64(size)))
		if h.Lows != nil {
			h.Lows["demand"], h.Highs["demand"] = append(h.Lows["demand"], load-1), append(h.Highs["demand"], load+1.4)
		}
		expected := loadAt(at, 3) + 0.25*math.Sin(float64(i)/3)
		h.Fan.Times, h.Fan.Point = append(h.Fan.Times, at), append(h.Fan.Point, expected)
		for q, d := range map[string]float64{"0.05": -1.3, "0.1": -1, "0.5": 0, "0.9": 1.1, "0.95": 1.5} {
			h.Fan.Quantiles[q] = append(h.Fan.Quantiles[q], expected+d)
		}
		temperature.Times, temperature.Values = append(temperature.Times, at), append(temperature.Values, 21+load/4)
		wanted := int(expected/0.75) + 1
		to := max(4, min(20, wanted))
		p := api.CapacityPoint{At: at, InService: size, Before: size, Desired: to, Min: 4, Max: 20}
		h.Capacity = append(h.Capacity, p)
		if to != size || wanted != to && i%12 == 0 {
			h.Marks = append(h.Marks, fakeMark(at, size, wanted, to, markup))
		}
		size = to
	}
	slices.Reverse(h.Marks)
	h.Sensors["hall_temperature"] = temperature
	day := to.Truncate(24 * time.Hour)
	h.Events = append(h.Events, api.FleetEvent{Name: "spring_sale" + markup, From: day.Add(9 * time.Hour), To: day.Add(12 * time.Hour)})
	forecast := &api.Forecast{Group: group, IssuedAt: to, StepSeconds: 300, Model: "shared", Version: 4, Quantiles: []float64{.05, .1, .5, .9, .95}}
	for k := range 12 {
		v, d := loadAt(to.Add(time.Duration(k)*fakeStep), 3), 0.3+0.08*float64(k)
		forecast.Point = append(forecast.Point, v)
		forecast.Values = append(forecast.Values, []float64{v - 1.5*d, v - d, v, v + d, v + 1.5*d})
	}
	h.Forecast = forecast
	h.Decisions = []api.Decision{{Group: group, Tick: to, Mode: api.ModeLive, Basis: api.BasisPredictive, Policy: "threshold", Safety: api.SafetyPredictive, Model: "shared", ModelVersion: 4,
		Capacity: api.Capacity{InService: size, Desired: size, Min: 4, Max: 20}, Observed: map[string]float64{"demand": loadAt(to, 3), "cpu_utilization": 62}, ObservedAt: to.Add(-fakeStep),
		Wanted: size + 1, Desired: size + 1, Reasons: fakeMark(to, size, size+1, size+1, markup).Reasons, Outcome: api.Outcome{Status: api.OutcomeAccepted}}}
	return h
}

func fakeMark(at time.Time, from, wanted, to int, markup string) api.Mark {
	m := api.Mark{At: at, From: from, Wanted: wanted, To: to, Mode: api.ModeLive, Policy: "threshold", Basis: api.BasisPredictive, Safety: api.SafetyPredictive, Outcome: api.OutcomeAccepted,
		Reasons: []api.Reason{{Rule: "threshold", From: from, To: wanted, Detail: fmt.Sprintf("forecast %.1f in 10 min fits %d instances at 75 %%%s", float64(wanted)*0.75, wanted, markup)}}}
	if wanted != to {
		m.Clamps = []string{"min"}
		m.Reasons = append(m.Reasons, api.Reason{Rule: "min", From: wanted, To: to, Detail: fmt.Sprintf("the group may not be smaller than %d", to)})
	}
	return m
}

// file answers what is in testdata, as it is.
func file(name string) any {
	content, err := os.ReadFile("testdata/" + name)
	if err != nil {
		return nil
	}
	return json.RawMessage(content)
}

func (f *fake) models(echo.Context) any { return file("models.json") }

func (f *fake) model(c echo.Context) any {
	if c.Param("name") != "shared" {
		return nil
	}
	return file("model.json")
}

func (f *fake) backtests(echo.Context) any {
	return api.BacktestList{Backtests: []api.BacktestEntry{{Name: "web-march", Published: fakeNow.Add(-48 * time.Hour)}, {Name: "web-february", Published: fakeNow.Add(-900 * time.Hour)}}}
}

func (f *fake) backtest(c echo.Context) any { return file("backtest.json") }
