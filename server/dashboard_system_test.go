//go:build system

package server_test

import (
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/browsertest"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/server"
)

func TestSystemTheWebPageShowsAGroupAndFollowsItLive(t *testing.T) {
	spec := onnxtest.Spec(4, 2)
	registry := newShelf()
	m, model := onnxtest.Persistence(spec, 1)
	m.Groups = []string{"web"}
	registry.put("web", m, model)
	w := newWorld(time.Now().UTC().Truncate(worldStep))
	r := start(t, registry, func(_ *server.Config, d *server.Deps) { d.Samples, d.Journal = samplesOf{w}, journalOf{w} })
	b := browsertest.Open(t, r.url+"/")
	b.Until(`document.querySelector(".verdict")`)
	b.Until(`document.querySelector("#load-chart path.load").getTotalLength() > 500`)
	b.Until(`[...document.querySelectorAll("#load-chart path.band")].filter((e) => e.getTotalLength() > 10).length === 2`) // what was forecast, and what is
	b.Until(`document.querySelector("#load-chart path.ahead").getTotalLength() > 10`)
	b.Until(`document.querySelector("#capacity-chart path.service").getTotalLength() > 500`)
	for selector, want := range map[string]string{"#name": "web", ".verdict": "instances", "#figures": "Forecast, 10 min ahead",
		"#load-title": "Demand, instances of work", "#group-list": "batch/night", "#mode": "live", "#link": "UTC", "#last": "policy threshold"} {
		if got := b.Text(selector); !strings.Contains(got, want) {
			t.Errorf("%s says %q, want %q in it", selector, got, want)
		}
	}

	// A new decision appears without a reload.
	w.mu.Lock()
	d := &w.ticks[len(w.ticks)-1].Decisions[0]
	d.Capacity.Desired, d.Desired = 7, 9
	d.Reasons = []api.Reason{{Rule: "threshold", From: 7, To: 9, Detail: "a wave is coming"}}
	w.mu.Unlock()
	b.Until(`document.querySelector(".verdict").textContent === "Scale out from 7 to 9 instances" && document.querySelector(".reasons").textContent.includes("a wave is coming")`)

	// The cross-hair tells the values of a slot.
	b.Run(`const s = document.querySelector("#load-chart svg"), box = s.getBoundingClientRect();
		s.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + box.width / 2, clientY: box.top + 50}))`)
	if tip := b.Text("#load-chart .tip"); !strings.Contains(tip, "measured") || !strings.Contains(tip, "forecast 10 min before") {
		t.Errorf("the cross-hair tells %q", tip)
	}

	// A longer range, and a group with a slash in its name that nothing decided on.
	b.Run(`[...document.querySelectorAll("#range button")].find((e) => e.textContent === "3 d").click()`)
	b.Until(`document.querySelector("#load-chart").textContent.match(/[A-Z][a-z]{2}/g).length >= 2`)
	b.Run(`document.querySelector("#group-list li:first-child button").click()`)
	b.Until(`document.querySelector("#name").textContent === "batch/night" && document.querySelector("#last").textContent.includes("has not decided")`)
	b.Check()

	// The server goes away, and the page says so.
	if err := r.close(); err != nil {
		t.Error(err)
	}
	b.Until(`document.querySelector("#link").textContent.includes("no connection") && document.querySelector("#notices").textContent.includes("cannot be reached")`)
}

func TestSystemTheWebPageSaysWhyThereIsNothingToShow(t *testing.T) {
	b := browsertest.Open(t, start(t, newShelf(), nil).url+"/")
	b.Until(`document.querySelector("#empty-title").textContent === "No groups yet"`)
	b.Check()
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
	b.Until(`document.querySelector(".reasons")?.textContent.includes("<img")`)
	b.Until(`document.querySelectorAll("main img").length === 0 && !document.title.startsWith("owned")`)
	b.Check()
}
