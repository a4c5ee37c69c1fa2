package server_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/internal/reports"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server"
	"github.com/forescale/forescale/server/catalog"
)

// modelPage is what GET /api/v1/models/{model} answers, as far as it is looked at.
type modelPage struct {
	catalog.Status
	Record api.ModelRecord
}

func (r *running) model(name string) modelPage {
	r.t.Helper()
	var m modelPage
	if got := r.get("/api/v1/models/" + name); got.status != http.StatusOK || json.Unmarshal(got.body, &m) != nil {
		r.t.Fatalf("status %d: %s", got.status, got.body)
	}
	return m
}

// startRegistry serves a real registry with three versions of a model, of which the
// first is champion.
func startRegistry(t *testing.T, change func(*server.Config, *server.Deps)) (*running, *models.Registry) {
	t.Helper()
	registry := models.NewRegistry(blob.NewMemory())
	for i := range 3 {
		m, model := onnxtest.Persistence(onnxtest.Spec(4, 2), float32(1+i))
		m.Name, m.Groups = "a/b", []string{"web"}
		share := 0.81
		m.Scores = []models.HorizonScore{{Steps: 1, Minutes: 5, N: 9, Model: models.Score{WAPE: 0.1, Coverage80: &share}, Baselines: map[string]models.Score{"persistence": {WAPE: 0.2}}}}
		if _, err := registry.Put(t.Context(), m, model); err != nil {
			t.Fatal(err)
		}
	}
	verdict := json.RawMessage(`{"policy":"capacity","verdict":{"promote":false,"reasons":[{"check":"cost","passed":true,"detail":"cheap"},{"check":"error","passed":false,"detail":"it errs more"}]}}`)
	if err := registry.PutVerdict(t.Context(), "a/b", 3, verdict); err != nil {
		t.Fatal(err)
	}
	r := start(t, models.NewWatch(registry), func(c *server.Config, d *server.Deps) {
		c.ModelControl, d.Models = true, registry
		if change != nil {
			change(c, d)
		}
	})
	eventually(t, "ready", func() bool { return r.get(api.RouteReady).status == http.StatusOK })
	return r, registry
}

func TestModelsArePromotedPinnedAndRolledBackByRequest(t *testing.T) {
	r, registry := startRegistry(t, nil)
	m := r.model("a%2Fb")
	if v := m.Record.Versions; len(v) != 3 || v[0].Version != 3 || !v[2].Champion || *v[0].Scores[0].WAPE != 0.1 || *v[0].Scores[0].Baselines["persistence"] != 0.2 || *v[0].Scores[0].Coverage80 != 0.81 ||
		v[0].Judged.Promote || v[0].Judged.Summary != "it errs more" || v[1].Judged != nil || len(m.Record.Problems) > 0 {
		t.Errorf("%+v", m.Record)
	}
	change := func(verb, body string, status int) api.ModelMove {
		t.Helper()
		got := r.do(http.MethodPost, "/api/v1/models/a%2Fb/"+verb, []byte(body), nil, status == http.StatusBadRequest || status == http.StatusNotFound)
		if got.status != status {
			t.Errorf("%s %s: status %d: %s", verb, body, got.status, got.body)
		}
		var done api.ModelMove
		_ = json.Unmarshal(got.body, &done) // a problem has none of its fields
		return done
	}
	if done := change("promote", `{"version":2,"from":1,"reason":"tested"}`, 200); done.Version != 2 || done.From != 1 || done.By != "anonymous" || done.Why != "tested" || done.At.IsZero() {
		t.Errorf("%+v", done)
	}
	if m = r.model("a%2Fb"); m.Champion != 2 || m.Record.History[0].Why != "tested" || m.Record.History[0].By != "anonymous" || !m.Record.Versions[1].Champion {
		t.Errorf("after it: %+v", m.Record)
	}
	change("promote", `{"version":3,"from":1,"reason":"too late"}`, 409)
	change("promote", `{"version":2,"reason":"again"}`, 409)
	change("promote", `{"version":9,"reason":"none such"}`, 404)
	change("pin", `{"version":2,"reason":"audit"}`, 200)
	change("promote", `{"version":3,"reason":"pinned"}`, 409)
	change("shadow", `{"version":3,"reason":"trial"}`, 200)
	if m = r.model("a%2Fb"); m.Pinned[0] != 2 || m.Shadow != 3 || m.Record.Pinned[0].Why != "audit" || m.Record.Shadow.Version != 3 {
		t.Errorf("%+v", m)
	}
	change("shadow", `{"version":0,"reason":"enough"}`, 200)
	change("unpin", `{"version":2,"reason":"audit is over"}`, 200)
	change("unpin", `{"version":2,"reason":"once more"}`, 404)
	if done := change("rollback", `{"reason":"too high"}`, 200); done.Version != 1 || done.From != 2 || !done.RollBack {
		t.Errorf("%+v", done)
	}
	change("rollback", `{"reason":"too high"}`, 409)
	if c, err := registry.Champion(t.Context(), "a/b"); err != nil || c.Version != 1 {
		t.Errorf("%+v %v", c.Version, err)
	}
	for body, field := range map[string]string{`{"version":2}`: "reason", `{"version":2,"reason":"x"}`: "reason", `{"version":2,"reason":"two\nlines"}`: "reason",
		`{"reason":"no version"}`: "version", `{"version":-1,"reason":"what"}`: "version", `{"version":2,"from":-1,"reason":"what"}`: "from", `[]`: ""} {
		got := r.do(http.MethodPost, "/api/v1/models/a%2Fb/promote", []byte(body), nil, true)
		if p := got.problem(t); p.Status != http.StatusBadRequest || p.Field != field {
			t.Errorf("%s: %+v", body, p)
		}
	}
	change("delete", `{"version":2,"reason":"no such verb"}`, 404)
	if got := r.do(http.MethodPost, "/api/v1/models/a%2Fb/promote", []byte(`{"version":2,"reason":"not mine"}`), http.Header{"Sec-Fetch-Site": {"cross-site"}}, true); got.status != http.StatusForbidden {
		t.Errorf("another site's page: status %d", got.status)
	}
	if got := r.do(http.MethodGet, "/api/v1/models/none", nil, nil, false); got.status != http.StatusNotFound {
		t.Errorf("status %d", got.status)
	}
	for _, want := range []string{`msg=audit what="model promote" client=anonymous`, `model=a/b version=2 from=1 reason=tested outcome=done`, `reason="too late" outcome="model \"a/b\": champion is version 2, not 1`} {
		if !strings.Contains(r.logs.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
}

func TestModelsAreNotChangedWhereThatIsNotPermitted(t *testing.T) {
	r, _ := startRegistry(t, func(c *server.Config, _ *server.Deps) { c.ModelControl = false })
	if got := r.do(http.MethodPost, "/api/v1/models/a%2Fb/promote", []byte(`{"version":2,"reason":"tested"}`), nil, false); got.status != http.StatusForbidden || !strings.Contains(string(got.body), "server.model_control") {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	var tokens map[string]string
	r, _ = startRegistry(t, func(c *server.Config, _ *server.Deps) { tokens = oneTokenEach(c) })
	if got := r.do(http.MethodPost, "/api/v1/models/a%2Fb/promote", []byte(`{"version":2,"reason":"tested"}`), bearer(tokens["read"]), false); got.status != http.StatusForbidden {
		t.Errorf("a reader: status %d: %s", got.status, got.body)
	}
	got := r.do(http.MethodPost, "/api/v1/models/a%2Fb/promote", []byte(`{"version":2,"reason":"tested"}`), bearer(tokens["admin"]), false)
	if got.status != http.StatusOK || !strings.Contains(string(got.body), `"by":"the admin"`) {
		t.Errorf("status %d: %s", got.status, got.body)
	}
}

func TestBacktestsThatWerePublishedAreShown(t *testing.T) {
	store := blob.NewMemory()
	published := reports.New(store)
	if err := published.Put(t.Context(), "web/march", []byte(`{"trace":"web","policies":[]}`)); err != nil {
		t.Fatal(err)
	}
	r := start(t, newShelf(), func(_ *server.Config, d *server.Deps) { d.Backtests = published })
	var list api.BacktestList
	if err := json.Unmarshal(r.get(api.RouteBacktests).body, &list); err != nil || len(list.Backtests) != 1 || list.Backtests[0].Name != "web/march" {
		t.Errorf("%+v, %v", list, err)
	}
	if got := r.get("/api/v1/backtests/web%2Fmarch"); got.status != http.StatusOK || !strings.Contains(string(got.body), `"trace":"web"`) {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	if got := r.get("/api/v1/backtests/none"); got.status != http.StatusNotFound {
		t.Errorf("status %d", got.status)
	}
	r = start(t, newShelf(), nil)
	if got := r.get(api.RouteBacktests); got.status != http.StatusOK || !strings.Contains(string(got.body), `"backtests":[]`) {
		t.Errorf("without a store: %d %s", got.status, got.body)
	}
	if _, err := published.Get(t.Context(), "x"); !errors.Is(err, blob.ErrNotFound) {
		t.Error(err)
	}
}
