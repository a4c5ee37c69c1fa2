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

// Somebody runs the demo and watches its page in a real browser.
func TestSystemDemoPageFollowsBothGroupsLive(t *testing.T) {
	bin := programs(t)
	demo := exec.Command(filepath.Join(bin, "forescale"), "demo", "-headless", "-pace", "4", "-dir", t.TempDir())
	page := daemon(t, demo, `page: (http://[0-9.:]+/)`)
	tab := browsertest.Open(t, page)

	tab.Until(`document.querySelector("#group-list")?.innerText.includes("web-reactive") && document.querySelectorAll("#group-list li").length === 2`)
	tab.Until(`document.querySelector(".verdict")`)
	for _, path := range []string{"#load-chart path.load", "#load-chart path.ahead", "#load-chart path.lead", "#capacity-chart path.service"} {
		tab.Until(fmt.Sprintf(`document.querySelector(%q)?.getTotalLength() > 20`, path))
	}
	tab.Until(`document.querySelector("#basis").textContent === "predictive"`)
	for range 2 { // it is not only the first answer
		was := tab.Text(`#last .when`)
		tab.Until(fmt.Sprintf(`document.querySelector("#last .when").innerText !== %q`, was))
	}

	tab.Run(`[...document.querySelectorAll("#group-list button")].at(-1).click()`)
	tab.Until(`document.querySelector("#name").textContent === "web-reactive" && document.querySelector("#basis").textContent === "reactive"`)
	tab.Until(`document.querySelector("#load-chart path.load")?.getTotalLength() > 20`)
	if why := tab.Title("#basis"); strings.Contains(why, "No usable forecast") {
		t.Errorf("a group that is configured to be reactive is said to lack a forecast: %q", why)
	}

	// Nothing is cut off, on a telephone or on a wide screen, by day or by night.
	for _, width := range []int64{360, 768, 1280, 2200} {
		for _, scheme := range []string{"light", "dark"} {
			tab.Resize(width, scheme)
			tab.Until(fmt.Sprintf("innerWidth === %d", width))
			tab.Until(`document.documentElement.scrollWidth <= innerWidth && document.querySelector("#load-chart svg").getBoundingClientRect().right <= innerWidth`)
			tab.Until(`document.querySelectorAll("#load-chart .time").length >= 3`)
			for selector, ratio := range tab.Contrasts(".figures .note", ".legend", ".chart text", "#group-list .s", ".when", "th", "#link") {
				if ratio < 4.5 {
					t.Errorf("%s at %d pixels: the contrast of %s is %.1f, want 4.5", scheme, width, selector, ratio)
				}
			}
		}
	}
	tab.Check()
}
