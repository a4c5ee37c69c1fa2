//go:build system

package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/browsertest"
	"github.com/forescale/forescale/server"
	"github.com/forescale/forescale/server/access"
)

// A new user with a token, on a real server: logs in, sees the fleet, a group and its
// decisions live, promotes a model, and logs out.
func TestSystemAUserLogsInLooksAndPromotesAModel(t *testing.T) {
	w := newWorld(time.Now().UTC().Truncate(worldStep))
	token, hash := access.NewToken()
	r, registry := startRegistry(t, func(c *server.Config, d *server.Deps) {
		d.Samples, d.Journal = samplesOf{w}, journalOf{w}
		c.Clients = []access.Client{{Name: "anna", Token: hash, Rights: []string{"read", "admin", "notify"}}}
	})
	b := browsertest.Open(t, r.url+"/#/group/web")
	b.Until(`document.activeElement.id === "token"`)
	b.Press("not " + token + browsertest.Enter)
	b.Until(`document.getElementById("login-error").innerText.includes("does not know this token")`)
	b.Press(token + browsertest.Enter)
	b.Until(`document.querySelector(".viewer")?.textContent === "anna" && document.querySelectorAll(".pane canvas").length >= 3`)
	b.Until(fmt.Sprintf(`document.cookie === "" && !(location.href + JSON.stringify({...localStorage, ...sessionStorage}) + document.documentElement.outerHTML).includes(%q)`, token))
	for selector, want := range map[string]string{"#name": "web", "#state": "predictive", ".verdict": "instances", "#figures": "Forecast, 10 min ahead", ".panes": "Demand, instances", ".tools": "Load"} {
		if got := b.Text(selector); !strings.Contains(got, want) {
			t.Errorf("%s says %q, want %q in it", selector, got, want)
		}
	}
	b.Point("[data-pane=load] .u-over", 0.6)
	b.Until(`document.querySelector(".tip").innerText.includes("measured") && document.querySelector(".tip").textContent.replaceAll("\u00a0", " ").includes("forecast 10 min before")`)
	b.Accessible("a group on the server")

	// A new decision is told, and appears without a reload.
	w.mu.Lock()
	d := w.ticks[len(w.ticks)-1].Decisions[0]
	d.Tick = d.Tick.Add(worldStep)
	d.Capacity.Desired, d.Desired = 7, 9
	d.Reasons = []api.Reason{{Rule: "threshold", From: 7, To: 9, Detail: "a wave is coming"}}
	w.ticks = append(w.ticks, api.TickRecord{Tick: d.Tick, Decisions: []api.Decision{d}})
	w.mu.Unlock()
	if got := r.do(http.MethodPost, api.RouteNotify, []byte(`{"what":["decision"],"groups":["web"]}`), bearer(token), false); got.status != http.StatusNoContent {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	b.Until(`document.querySelector(".verdict").textContent.replace("\u00a0", " ") === "Scale out from 7 to 9 instances" && document.querySelector(".reasons").textContent.includes("a wave is coming")`)

	// The fleet, with a group of a slash in its name that nothing decided on.
	b.Press("gf")
	b.Until(`document.querySelectorAll(".rows .row").length === 2`)
	b.Run(`[...document.querySelectorAll(".rows .name")].find((a) => a.textContent === "batch/night").click()`)
	b.Until(`document.querySelector("#name")?.textContent === "batch/night" && document.querySelector("#last")?.textContent.includes("has not decided")`)

	// A model is promoted, with the reason on record.
	b.Press("gm")
	b.Until(`document.querySelector(".acts")`)
	b.Accessible("models on the server")
	b.Run(`[...document.querySelectorAll(".acts button")].find((e) => e.getAttribute("aria-label") === "Promote v2").click()`)
	b.Press("tested for a week" + browsertest.Enter)
	b.Until(`document.querySelector(".past")?.innerText.includes("tested for a week, by anna") && document.querySelector("tbody tr:nth-child(2)").innerText.includes("champion")`)
	if m, err := registry.Champion(t.Context(), "a/b"); err != nil || m.Version != 2 {
		t.Errorf("champion %d, %v", m.Version, err)
	}

	b.Click("#who button")
	b.Until(`document.getElementById("token")`)
	if logs := r.logs.String(); strings.Contains(logs, token) || !strings.Contains(logs, `what="logged out" client=anna`) {
		t.Errorf("the log has the token, or not that anna has left: %.500s", logs)
	}
	b.Check("status of 401")

	// The server goes away, and the page says so.
	if err := r.close(); err != nil {
		t.Error(err)
	}
	b.Press(token + browsertest.Enter)
	b.Until(`document.getElementById("login-error").innerText.includes("cannot be reached")`)
}

func TestSystemTheWebPageSaysWhyThereIsNothingToShow(t *testing.T) {
	r := start(t, newShelf(), nil)
	b := browsertest.Open(t, r.url+"/")
	b.Until(`document.querySelector(".blank h2")?.textContent === "No groups yet"`)
	b.Press("gm")
	b.Until(`document.querySelector(".blank h2")?.textContent === "No models yet"`)
	b.Press("gw")
	b.Until(`document.querySelector(".blank h2")?.textContent === "No backtest yet"`)
	b.Check()
	if err := r.close(); err != nil {
		t.Error(err)
	}
	b.Until(`document.querySelector("#link").textContent.includes("no connection") && document.getElementById("notices").innerText.includes("cannot be reached")`)
}

func TestSystemANameThatIsMarkupStaysText(t *testing.T) {
	w := newWorld(time.Now().UTC().Truncate(worldStep))
	const evil = `<img src=x onerror="document.title='owned'">`
	for i := range w.samples {
		w.samples[i].Group = evil
	}
	for i := range w.ticks {
		w.ticks[i].Decisions[0].Group, w.ticks[i].Decisions[0].Reasons[0].Detail = evil, evil
	}
	r := start(t, newShelf(), func(_ *server.Config, d *server.Deps) { d.Samples, d.Journal = samplesOf{w}, journalOf{w} })
	b := browsertest.Open(t, r.url+"/")
	b.Until(`document.querySelector(".rows .name")?.textContent.includes("<img")`)
	b.Click(".rows .name")
	b.Until(`document.querySelector(".reasons")?.textContent.includes("<img")`)
	b.Until(`document.querySelectorAll("main img").length === 0 && !document.title.startsWith("owned")`)
	b.Check()
}
