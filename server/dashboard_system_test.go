//go:build system

package server_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/server"
)

// browser is a tab of the real browser on a page.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string // guarded by mu
}

// browse opens a page, and collects what the browser complains of and any request
// to another host than the server.
func browse(t *testing.T, base string) *browser {
	t.Helper()
	path := os.Getenv("FORESCALE_CHROMIUM")
	if path == "" {
		t.Fatal("set FORESCALE_CHROMIUM to the path of chromium-headless-shell; `make test-system` does")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1280, 1100))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, func(event any) { b.listen(base, event) }); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(base+"/")); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *browser) listen(base string, event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		b.complaints = append(b.complaints, "log: "+e.Entry.Text)
	case *cdpruntime.EventExceptionThrown:
		b.complaints = append(b.complaints, "exception: "+e.ExceptionDetails.Text)
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, base) {
			b.complaints = append(b.complaints, "request to another host: "+e.Request.URL)
		}
	}
}

// check fails the test when the browser had anything to complain of.
func (b *browser) check() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.complaints) > 0 {
		b.t.Errorf("the browser complains: %q", b.complaints)
	}
}

// until waits until a JavaScript expression is true.
func (b *browser) until(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 15*time.Second)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool]("Boolean("+expression+")")); err != nil {
		text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		b.t.Fatalf("never came true: %s (%v); the page says\n%s", expression, err, text)
	}
}

// text returns the visible text of the element.
func (b *browser) text(selector string) string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.querySelector("`+selector+`").innerText`))
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// do runs JavaScript.
func (b *browser) do(script string) {
	b.t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("(() => {"+script+"; return true})()")); err != nil {
		b.t.Fatal(err)
	}
}

func TestSystemTheWebPageShowsAGroupAndFollowsItLive(t *testing.T) {
	spec := onnxtest.Spec(4, 2)
	registry := newShelf()
	m, model := onnxtest.Persistence(spec, 1)
	m.Groups = []string{"web"}
	registry.put("web", m, model)
	w := newWorld(time.Now().UTC().Truncate(worldStep))
	r := start(t, registry, func(_ *server.Config, d *server.Deps) { d.Samples, d.Journal = samplesOf{w}, journalOf{w} })
	b := browse(t, r.url)
	b.until(`document.querySelector(".verdict")`)
	b.until(`document.querySelector("#load-chart path.load").getTotalLength() > 500`)
	b.until(`document.querySelector("#load-chart path.ahead").getTotalLength() > 10`)
	b.until(`document.querySelector("#capacity-chart path.service").getTotalLength() > 500`)
	for selector, want := range map[string]string{"#name": "web", ".verdict": "instances", "#figures": "Forecast, 10 min ahead",
		"#load-title": "Demand, instances of work", "#group-list": "batch/night", "#mode": "live", "#link": "UTC", "#last": "policy threshold"} {
		if got := b.text(selector); !strings.Contains(got, want) {
			t.Errorf("%s says %q, want %q in it", selector, got, want)
		}
	}

	// A new decision appears without a reload.
	w.mu.Lock()
	d := &w.ticks[len(w.ticks)-1].Decisions[0]
	d.Capacity.Desired, d.Desired = 7, 9
	d.Reasons = []api.Reason{{Rule: "threshold", From: 7, To: 9, Detail: "a wave is coming"}}
	w.mu.Unlock()
	b.until(`document.querySelector(".verdict").textContent === "Scale out from 7 to 9 instances" && document.querySelector(".reasons").textContent.includes("a wave is coming")`)

	// The cross-hair tells the values of a slot.
	b.do(`const s = document.querySelector("#load-chart svg"), box = s.getBoundingClientRect();
		s.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + box.width / 2, clientY: box.top + 50}))`)
	if tip := b.text("#load-chart .tip"); !strings.Contains(tip, "measured") || !strings.Contains(tip, "forecast 10 min before") {
		t.Errorf("the cross-hair tells %q", tip)
	}

	// A longer range, and a group with a slash in its name that nothing decided on.
	b.do(`[...document.querySelectorAll("#range button")].find((e) => e.textContent === "3 d").click()`)
	b.until(`document.querySelector("#load-chart").textContent.match(/[A-Z][a-z]{2}/g).length >= 2`)
	b.do(`document.querySelector("#group-list li:first-child button").click()`)
	b.until(`document.querySelector("#name").textContent === "batch/night" && document.querySelector("#last").textContent.includes("has not decided")`)
	b.check()

	// The server goes away, and the page says so.
	if err := r.close(); err != nil {
		t.Error(err)
	}
	b.until(`document.querySelector("#link").textContent.includes("no connection") && document.querySelector("#notices").textContent.includes("cannot be reached")`)
}

func TestSystemTheWebPageSaysWhyThereIsNothingToShow(t *testing.T) {
	b := browse(t, start(t, newShelf(), nil).url)
	b.until(`document.querySelector("#empty-title").textContent === "No groups yet"`)
	b.check()
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
	b := browse(t, r.url)
	b.until(`document.querySelector(".reasons")?.textContent.includes("<img")`)
	b.until(`document.querySelectorAll("main img").length === 0 && !document.title.startsWith("owned")`)
	b.check()
}
