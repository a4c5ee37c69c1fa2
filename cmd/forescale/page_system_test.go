//go:build system

package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Somebody runs the demo and watches its page in a real browser.
func TestSystemDemoPageFollowsBothGroupsLive(t *testing.T) {
	bin := programs(t)
	demo := exec.Command(filepath.Join(bin, "forescale"), "demo", "-headless", "-pace", "4", "-dir", t.TempDir())
	page := daemon(t, demo, `page: (http://[0-9.:]+/)`)
	tab := openTab(t, page)

	tab.until(`document.querySelector("#group-list")?.innerText.includes("web-reactive") && document.querySelectorAll("#group-list li").length === 2`)
	tab.until(`document.querySelector(".verdict")`)
	for _, path := range []string{"#load-chart path.load", "#load-chart path.ahead", "#load-chart path.lead", "#capacity-chart path.service"} {
		tab.until(fmt.Sprintf(`document.querySelector(%q)?.getTotalLength() > 20`, path))
	}
	tab.until(`document.querySelector("#basis").textContent === "predictive"`)
	for range 2 { // it is not only the first answer
		was := tab.text(`#last .when`)
		tab.until(fmt.Sprintf(`document.querySelector("#last .when").innerText !== %q`, was))
	}

	tab.run(`[...document.querySelectorAll("#group-list button")].at(-1).click()`)
	tab.until(`document.querySelector("#name").textContent === "web-reactive" && document.querySelector("#basis").textContent === "reactive"`)
	tab.until(`document.querySelector("#load-chart path.load")?.getTotalLength() > 20`)
	if why := tab.title("#basis"); strings.Contains(why, "No usable forecast") {
		t.Errorf("a group that is configured to be reactive is said to lack a forecast: %q", why)
	}

	// Nothing is cut off, on a telephone or on a wide screen, by day or by night.
	for _, width := range []int64{360, 768, 1280, 2200} {
		for _, scheme := range []string{"light", "dark"} {
			tab.resize(width, scheme)
			tab.until(fmt.Sprintf("innerWidth === %d", width))
			tab.until(`document.documentElement.scrollWidth <= innerWidth && document.querySelector("#load-chart svg").getBoundingClientRect().right <= innerWidth`)
			tab.until(`document.querySelectorAll("#load-chart .time").length >= 3`)
			for selector, ratio := range tab.contrasts(".figures .note", ".legend", ".chart text", "#group-list .s", ".when", "th", "#link") {
				if ratio < 4.5 {
					t.Errorf("%s at %d pixels: the contrast of %s is %.1f, want 4.5", scheme, width, selector, ratio)
				}
			}
		}
	}
	tab.check()
}

// tab is a tab of the real browser.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string // guarded by mu
}

// openTab opens a page, and collects what the browser complains of and any
// request to another host than the page's.
func openTab(t *testing.T, page string) *tab {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(fromEnv(t, "FORESCALE_CHROMIUM")), chromedp.NoSandbox, chromedp.WindowSize(1280, 1100))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	complain := func(format string, args ...any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.complaints = append(b.complaints, fmt.Sprintf(format, args...))
	}
	if err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *log.EventEntryAdded:
			complain("log: %s", e.Entry.Text)
		case *cdpruntime.EventConsoleAPICalled:
			complain("console.%s", e.Type)
		case *cdpruntime.EventExceptionThrown:
			complain("exception: %s", e.ExceptionDetails.Text)
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, page) {
				complain("request to another host: %s", e.Request.URL)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(page)); err != nil {
		t.Fatal(err)
	}
	return b
}

// check fails the test when the browser had anything to complain of.
func (b *tab) check() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.complaints) > 0 {
		b.t.Errorf("the browser complains: %q", b.complaints)
	}
}

// until waits until a JavaScript expression is true.
func (b *tab) until(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 15*time.Second)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool]("Boolean("+expression+")")); err != nil {
		b.t.Fatalf("never came true: %s (%v); the page says\n%s", expression, err, b.text("body"))
	}
}

func (b *tab) run(script string) {
	b.t.Helper()
	evaluate[bool](b, "(() => {"+script+"; return true})()")
}

func (b *tab) text(selector string) string {
	b.t.Helper()
	return evaluate[string](b, fmt.Sprintf("document.querySelector(%q).innerText", selector))
}

func (b *tab) title(selector string) string {
	b.t.Helper()
	return evaluate[string](b, fmt.Sprintf("document.querySelector(%q).title", selector))
}

func evaluate[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// resize gives the page another width, and light or dark as the viewer's wish.
func (b *tab) resize(width int64, scheme string) {
	b.t.Helper()
	err := chromedp.Do(b.ctx, chromedp.EmulateViewport(width, 1100), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
	if err != nil {
		b.t.Fatal(err)
	}
}

// contrasts returns the contrast of the first element of each selector with what
// is behind it, by the formula of WCAG 2.2, "contrast ratio".
func (b *tab) contrasts(selectors ...string) map[string]float64 {
	b.t.Helper()
	return evaluate[map[string]float64](b, fmt.Sprintf(`(() => {
		const parse = (c) => c.match(/[\d.]+/g).map(Number);
		const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
			.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
		const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
		const answer = {};
		for (const selector of %q.split("|")) {
			const e = document.querySelector(selector);
			if (!e) continue;
			const style = getComputedStyle(e), a = luminance(parse(e instanceof SVGElement ? style.fill : style.color)), b = luminance(behind(e));
			answer[selector] = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		}
		return answer;
	})()`, strings.Join(selectors, "|")))
}
