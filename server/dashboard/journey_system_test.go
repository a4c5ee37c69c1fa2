//go:build system

package dashboard_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/browsertest"
)

func TestSystemAThousandGroupsAreSearchedSortedAndFollowed(t *testing.T) {
	f := newFake(t, func(f *fake) { f.groups = 1000 })
	tab := browsertest.Open(t, f.url)
	tab.Until(`document.querySelector(".rows")?.dataset.placed === "1000" && document.querySelectorAll(".rows .row").length === 1000`)
	tab.Until(`document.querySelector(".rows .name").textContent.startsWith("payments-003")`) // what is worst comes first
	if got := tab.Text(".rows .row"); !strings.Contains(got, "stale") || !strings.Contains(got, "32 min old") || !strings.Contains(got, "never shrink") {
		t.Errorf("the first row says %q", got)
	}
	if got := tab.Text("#fleet-summary"); !strings.Contains(got, "1000 groups, 50 with a problem") {
		t.Errorf("the summary says %q", got)
	}

	// By keys: the search, into the list, to a group and back.
	tab.Press("/")
	tab.Press("web-04")
	tab.Until(`document.querySelectorAll(".rows .row").length === 2`) // 042 and 047
	tab.Press(browsertest.ArrowDown + browsertest.ArrowDown)
	tab.Until(`document.activeElement.textContent === "eu-west/web-042" || document.activeElement.textContent === "eu-west/web-047"`)
	tab.Press(browsertest.Enter)
	tab.Until(`location.hash.startsWith("#/group/eu-west%2Fweb-04") && document.querySelector("#figures .big")`)
	tab.Press("gf")
	tab.Until(`document.querySelectorAll(".rows .row").length === 1000`)

	// By mouse: a filter, and another order.
	tab.Click(".chip:nth-child(2)")
	tab.Until(`document.querySelectorAll(".rows .row").length === 100 && document.querySelector(".chip:nth-child(2)").innerText.includes("100")`)
	tab.Click(".c-group button")
	tab.Until(`document.querySelector(".rows .name").textContent === "checkout-005" && document.querySelector(".c-group").getAttribute("aria-sort") === "ascending"`)

	// What the server tells is shown, and the focus stays where it is.
	tab.Run(`document.querySelector(".rows .name").focus()`)
	was := tab.Text(".rows .row .c-load")
	f.set("samples", func() { f.bump = 2.5 })
	tab.Until(fmt.Sprintf(`document.querySelector(".rows .row .c-load").innerText !== %q && document.activeElement === document.querySelector(".rows .name")`, was))
	f.set("samples", func() { f.groups = 7 })
	tab.Until(`document.querySelectorAll(".rows .row").length === 2`) // of seven, those that need attention
	tab.Check()
}

func TestSystemAGroupIsReadByMouseAndByKeys(t *testing.T) {
	f := newFake(t, nil)
	tab := browsertest.Open(t, f.url+"#/group/eu-west%2Fweb-002")
	tab.Until(`document.querySelectorAll(".pane canvas").length === 4`)
	for selector, want := range map[string]string{"#name": "eu-west/web-002", "#state": "predictive", "#figures": "Forecast, 10 min ahead", ".panes": "Demand, instances", "[data-pane=sensor-hall_temperature]": "Hall temperature, °C",
		"#last": "Scale out from 20 to 21 instances", ".decisions": "stays 4", "#span": "Mar"} {
		if got := tab.Text(selector); !strings.Contains(got, want) {
			t.Errorf("%s says %q, want %q in it", selector, got, want)
		}
	}
	// Ink of every kind is on the canvas.
	for pane, least := range map[string]float64{"load": 4000, "capacity": 4000, "sensor-cpu_utilization": 800, "sensor-hall_temperature": 800} {
		if ink := tab.Number(fmt.Sprintf(`(() => { const c = document.querySelector("[data-pane='%s'] canvas"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; })()`, pane)); ink < least {
			t.Errorf("%v pixels of the pane %s are drawn on", ink, pane)
		}
	}

	// The cross-hair reads all panes, and what was forecast before.
	tab.Point("[data-pane=load] .u-over", 0.5)
	tab.Until(`!document.querySelector(".tip").hidden`)
	for _, want := range []string{"measured", "forecast 10 min before", "80 % interval", "90 % interval", "in service", "hall temperature"} {
		if got := tab.Text(".tip"); !strings.Contains(got, want) {
			t.Errorf("the cross-hair says %q, want %q in it", got, want)
		}
	}

	// By keys: from slot to slot; a reader hears it; a decision is explained.
	tab.Run(`document.querySelector(".panes").focus()`)
	tab.Press(browsertest.End + browsertest.ArrowLeft)
	tab.Until(`document.getElementById("says").textContent.includes("measured")`)
	tab.Press(strings.Repeat(browsertest.ArrowLeft, 11))
	tab.Until(`document.querySelector(".tip-mark")?.textContent.includes("Scale") && document.querySelector(".decisions .pointed")`)
	tab.Press("+")
	tab.Until(`location.hash.includes("from=") && !document.getElementById("to-live").hidden`)
	tab.Press("0")
	tab.Until(`!location.hash.includes("from=") && document.getElementById("to-live").hidden`)

	// A stretch is selected; the address holds it, and the server is asked for it.
	tab.Drag("[data-pane=load] .u-over", 0.25, 0.5)
	tab.Until(`location.hash.includes("from=2026-03-11T20") && document.getElementById("span").textContent.includes("20:1")`)
	tab.Until(`document.querySelector(".links a").getAttribute("href").includes("from=2026-03-11T20") && document.querySelector(".links a").getAttribute("href").includes("format=csv")`)
	tab.Click("#to-live")
	tab.Click(`#range button[data-value="7d"]`)
	tab.Until(`location.hash.endsWith("range=7d") && document.getElementById("span").textContent.includes("each point is the mean")`)
	tab.Click(`#lead button[data-value="6"]`)
	tab.Until(`location.hash.includes("lead=6") && document.querySelector(".links a").getAttribute("href").includes("lead=6")`)
	f.mu.Lock()
	if asked := strings.Join(f.asked, "\n"); !strings.Contains(asked, "lead=6") || !strings.Contains(asked, "/api/v1/groups/eu-west%2Fweb-002?") {
		t.Errorf("asked for %s", asked)
	}
	f.mu.Unlock()

	// The table holds what is drawn.
	tab.Click(".behind summary")
	tab.Until(`document.querySelectorAll(".behind tbody tr").length === 288 && document.querySelector(".behind thead").innerText.includes("Forecast")`)

	// Live: what comes is shown without a reload.
	was := tab.Text("#figures .big")
	f.set("samples", func() { f.bump = 3 })
	tab.Until(fmt.Sprintf(`document.querySelector("#figures .big").innerText !== %q`, was))
	tab.Check()
}

func TestSystemTimesAreTheViewersOrUTCAndColoursAreChosen(t *testing.T) {
	f := newFake(t, nil)
	tab := browsertest.Open(t, f.url+"#/group/search-001")
	tab.Until(`document.querySelectorAll(".pane canvas").length === 4`)
	tab.Zone("Asia/Kathmandu")
	tab.Open(f.url + "?#/group/search-001")
	tab.Until(`document.querySelector("#span")?.textContent.includes("GMT+5:45") && document.querySelector("#figures").innerText.includes("19:4")`) // 14:00 UTC is 19:45
	tab.Click(`#zone [data-value="UTC"]`)
	tab.Until(`document.querySelector("#span").textContent.includes("UTC") && document.querySelector("#figures").innerText.includes("13:55–14:00")`)
	tab.Click(`#theme [data-value="dark"]`)
	tab.Until(`getComputedStyle(document.body).backgroundColor === "rgb(14, 19, 27)"`)
	tab.Open(f.url + "#/models") // both are kept
	tab.Until(`document.querySelector("#zone [data-value=UTC]").getAttribute("aria-pressed") === "true" && getComputedStyle(document.body).backgroundColor === "rgb(14, 19, 27)"`)
	tab.Check()
}

func TestSystemAModelIsChangedWithAReasonOrNotAtAll(t *testing.T) {
	f := newFake(t, func(f *fake) { f.token, f.inside = "secret", true })
	tab := browsertest.Open(t, f.url+"#/models/shared")
	tab.Until(`document.querySelector(".acts")`)
	for selector, want := range map[string]string{".facts": "promised 80 %", ".detail": "seasonal naive week"} {
		if got := tab.Text(selector); !strings.Contains(got, want) {
			t.Errorf("%s says %q, want %q in it", selector, got, want)
		}
	}
	tab.Run(`[...document.querySelectorAll(".acts button")].find((b) => b.getAttribute("aria-label") === "Promote v5").click()`)
	tab.Until(`document.querySelector("dialog[open] input") === document.activeElement`)
	tab.Press(browsertest.Enter) // without a reason
	tab.Until(`document.querySelector("dialog[open] input:invalid")`)
	tab.Press("please refuse" + browsertest.Enter)
	tab.Until(`document.querySelector("dialog[open] .notice").textContent.includes("version 4 is champion by now")`)
	tab.Press(" no, wait" + browsertest.Escape)
	tab.Until(`!document.querySelector("dialog[open]")`)
	tab.Run(`[...document.querySelectorAll(".detail > .title button")].find((b) => b.textContent === "Roll back to v3").click()`)
	tab.Press("too early on Thursday" + browsertest.Enter)
	tab.Until(`!document.querySelector("dialog[open]") && document.getElementById("says").textContent.includes("done")`)
	f.mu.Lock()
	defer f.mu.Unlock()
	if want := "/api/v1/models/shared/rollback {Version:0 From:4 Reason:too early on Thursday}"; len(f.changes) != 1 || f.changes[0] != want {
		t.Errorf("asked for %q, want %q", f.changes, want)
	}
	tab.Check("status of 409")
}

func TestSystemABacktestShowsPoliciesAndLeadsToItsWorstHours(t *testing.T) {
	tab := browsertest.Open(t, newFake(t, nil).url+"#/whatif")
	tab.Until(`document.querySelectorAll(".curve g path").length >= 8 && document.querySelectorAll(".curve circle").length >= 8`)
	if got := tab.Text(".detail"); !strings.Contains(got, "Recommended: target-tracking at 70") || !strings.Contains(got, "1108.8") {
		t.Errorf("the report says %q", got)
	}
	tab.Run(`[...document.querySelectorAll(".policies button")].find((b) => b.textContent === "target tracking").click()`)
	tab.Run(`document.querySelector("th a").click()`)
	tab.Until(`/^#\/group\/web\?from=2026-0[23]-\d\dT\d\d/.test(location.hash) && document.querySelectorAll(".pane canvas").length === 4 && !document.getElementById("to-live").hidden`)
	tab.Check()
}

func TestSystemALoginKeepsItsTokenToItself(t *testing.T) {
	f := newFake(t, func(f *fake) { f.token = "correct horse" })
	tab := browsertest.Open(t, f.url+"#/group/search-001")
	tab.Until(`document.activeElement.id === "token"`)
	tab.Press("wrong" + browsertest.Enter)
	tab.Until(`document.getElementById("login-error").textContent.includes("does not know this token")`)
	tab.Press("correct horse" + browsertest.Enter)
	tab.Until(`document.getElementById("name")?.textContent === "search-001" && document.querySelector("#who").innerText.includes("operator")`) // where the viewer wanted to go
	tab.Until(`!location.href.includes("horse") && !JSON.stringify({...localStorage, ...sessionStorage}).includes("horse") && !document.documentElement.outerHTML.includes("horse")`)

	// The session ends on the server, in the middle of everything.
	f.set("samples", func() { f.inside = false })
	tab.Until(`document.getElementById("token")`)
	tab.Press("correct horse" + browsertest.Enter)
	tab.Until(`document.querySelector("#who button")`)
	tab.Click("#who button")
	tab.Until(`document.getElementById("token") && !document.querySelector("#who button")`)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inside {
		t.Error("the session goes on after logging out")
	}
	tab.Check("status of 401")
}

func TestSystemWhatIsShownStaysAndIsMarkedOldWhileTheServerIsAway(t *testing.T) {
	f := newFake(t, nil)
	tab := browsertest.Open(t, f.url)
	tab.Until(`document.querySelectorAll(".rows .row").length === 12 && document.querySelector("#link").className === "link live"`)
	f.set("samples", func() { f.fault = 503 })
	tab.Until(`document.querySelector("#link").textContent.includes("no connection") && document.getElementById("notices").innerText.includes("the bucket is away")`)
	tab.Until(`document.querySelectorAll(".rows .row").length === 12`)
	f.set("samples", func() { f.fault = 0 })
	tab.Until(`document.querySelector("#link").className === "link live" && document.getElementById("notices").innerText === ""`)
	tab.Check("status of 503")
}

func TestSystemWithoutTheStreamThePageAsksByItself(t *testing.T) {
	f := newFake(t, func(f *fake) { f.quiet = true })
	tab := browsertest.Open(t, f.url)
	tab.Until(`document.querySelector("#link").className === "link polling" && document.querySelectorAll(".rows .row").length === 12`)
	f.set("", func() { f.groups = 5 })
	tab.Until(`document.querySelectorAll(".rows .row").length === 5`)
	f.set("", func() { f.quiet = false }) // and takes the stream as soon as it is there
	tab.Until(`document.querySelector("#link").className === "link live"`)
	tab.Check("status of 503")
}

func TestSystemANameThatIsMarkupStaysText(t *testing.T) {
	const evil = `<img src=x onerror="document.title='owned'">`
	f := newFake(t, func(f *fake) { f.markup = evil })
	tab := browsertest.Open(t, f.url)
	tab.Until(`document.querySelector(".rows .name")?.textContent.includes("<img")`)
	tab.Click(".rows .row:last-child .name")
	tab.Until(`document.querySelector(".reasons")?.textContent.includes("<img") && document.getElementById("name").textContent.includes("<img")`)
	tab.Point("[data-pane=load] .u-over", 0.5)
	tab.Until(`document.querySelector(".tip").textContent.includes("measured")`)
	tab.Until(`document.querySelectorAll("main img").length === 0 && !document.title.startsWith("owned")`)
	tab.Check()
}

// The first paint of the Fleet with a thousand groups, and when all are there, on a
// processor six times slower than this one.
func BenchmarkSystemFirstPaint(b *testing.B) {
	f := &fake{groups: 1000}
	url := f.serve(b)
	tab := browsertest.Open(b, url)
	paint, rows, all := 0.0, 0.0, 0.0
	for i := range b.N {
		tab.Slow(6)
		tab.Open(fmt.Sprintf("%s?%d", url, i))
		tab.Until(`document.querySelector(".rows .name")`)
		rows += tab.Number(`performance.now()`)
		tab.Until(`document.querySelector(".rows")?.dataset.placed === "1000" && performance.getEntriesByName("first-contentful-paint").length`)
		paint += tab.Number(`performance.getEntriesByName("first-contentful-paint")[0].startTime`)
		all += tab.Number(`performance.now()`)
	}
	b.ReportMetric(paint/float64(b.N), "ms-to-paint")
	b.ReportMetric(rows/float64(b.N), "ms-to-rows")
	b.ReportMetric(all/float64(b.N), "ms-to-all")
}
