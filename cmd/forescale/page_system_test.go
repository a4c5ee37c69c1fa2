//go:build system

package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/browsertest"
)

// drawn is true when a pane of the time line holds ink of a line.
const drawn = `(() => { const c = document.querySelector("[data-pane=%s] canvas"); if (!c) return false;
	const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data; let n = 0;
	for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n > 800; })()`

// Somebody runs the demo, opens its page in a real browser, and looks around.
func TestSystemDemoPageLeadsFromTheFleetToEachGroupAndItsModel(t *testing.T) {
	bin := programs(t)
	demo := exec.Command(filepath.Join(bin, "forescale"), "demo", "-headless", "-pace", "4", "-dir", t.TempDir())
	page := daemon(t, demo, `page: (http://[0-9.:]+/)`)
	tab := browsertest.Open(t, page)

	// Fleet: both groups, what they need, and that it moves.
	tab.Until(`document.querySelectorAll(".rows .row").length === 2 && document.querySelector(".rows").innerText.includes("web-reactive")`)
	tab.Until(`document.querySelector(".rows").innerText.includes("predictive") && document.querySelector(".rows .spark path.load") && !document.getElementById("replay").hidden`)
	for range 2 { // it is not only the first answer
		was := tab.Text("#fleet-summary")
		tab.Until(fmt.Sprintf(`document.querySelector("#fleet-summary").innerText !== %q`, was))
	}
	tab.Until(`document.querySelector("#link").className === "link live"`) // by the server's events
	tab.Accessible("the demo's Fleet")

	// Group: the load with what had been forecast for it, and the capacity.
	tab.Run(`[...document.querySelectorAll(".rows .name")].find((a) => a.textContent === "web").click()`)
	for _, pane := range []string{"load", "capacity"} {
		tab.Until(fmt.Sprintf(drawn, pane))
	}
	tab.Until(`document.querySelector("#state").textContent === "predictive"`)
	tab.Click(`#range [data-value="1h"]`)
	tab.Until(`location.hash.endsWith("range=1h")`)
	tab.Until(`document.querySelectorAll(".decisions details").length > 2`) // it has gone on for a while
	tab.Point("[data-pane=load] .u-over", 0.46)                             // just before the newest slot
	tab.Until(`document.querySelector(".tip").innerText.includes("measured") && document.querySelector(".tip").innerText.includes("forecast")`)
	for range 2 {
		was := tab.Text("#last .when")
		tab.Until(fmt.Sprintf(`document.querySelector("#last .when").innerText !== %q`, was))
	}
	tab.Click(`#range [data-value="24h"]`)
	tab.Click(".behind summary")
	tab.Until(`document.querySelectorAll(".behind tbody tr").length > 100`)
	if table := tab.Text(".behind thead"); !strings.Contains(table, "Forecast") || !strings.Contains(table, "In service") {
		t.Errorf("the table's head says %q", table)
	}
	if lines := tab.Number(`(() => { const x = new XMLHttpRequest(); x.open("GET", document.querySelector(".links a").href, false); x.send(); return x.responseText.split("\n").length; })()`); lines < 100 {
		t.Errorf("the CSV has %v lines", lines)
	}
	tab.Accessible("the demo's group")

	// A group whose policy reads no forecast has not lost one.
	tab.Open(page + "#/group/web-reactive")
	tab.Until(`document.querySelector("#name")?.textContent === "web-reactive" && document.querySelector("#state")?.textContent === "reactive"`)
	tab.Until(fmt.Sprintf(drawn, "load"))
	if why := tab.Title("#state"); strings.Contains(why, "No usable forecast") {
		t.Errorf("a group that is configured to be reactive is said to lack a forecast: %q", why)
	}

	// Models: what serves it.
	tab.Press("gm")
	tab.Until(`document.querySelector(".detail .name") && document.querySelector(".detail").innerText.includes("champion") && document.querySelector("meter.own")`)
	tab.Accessible("the demo's models")
	tab.Press("gw")
	tab.Until(`document.querySelector("main").innerText.includes("forescale backtest -publish")`)

	// Nothing is cut off, on a telephone or on a wide screen.
	for _, where := range []string{"#/", "#/group/web", "#/models"} {
		tab.Open(page + where)
		tab.Until(`document.querySelector("main h1") && !document.querySelector(".skeleton")`)
		for _, width := range []int64{360, 768, 1280, 2200} {
			tab.Resize(width, "dark")
			tab.Until(fmt.Sprintf("innerWidth === %d && document.documentElement.scrollWidth <= innerWidth", width))
		}
	}
	tab.Check()
}
