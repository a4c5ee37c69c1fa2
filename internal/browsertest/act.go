//go:build system

package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Keys that have no character.
const (
	ArrowLeft, ArrowRight = kb.ArrowLeft, kb.ArrowRight
	ArrowUp, ArrowDown    = kb.ArrowUp, kb.ArrowDown
	Escape, Enter, End    = kb.Escape, kb.Enter, kb.End
)

// Press types text, or presses keys, wherever the focus is.
func (b *Tab) Press(keys string) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.KeyEvent(keys)); err != nil {
		b.t.Fatal(err)
	}
}

// Click clicks the middle of the first element that a selector finds, as a mouse
// does: what lies over it gets the click.
func (b *Tab) Click(selector string) {
	b.t.Helper()
	x, y := b.middle(selector)
	if err := chromedp.Do(b.ctx, chromedp.MouseClickXY(x, y)); err != nil {
		b.t.Fatal(err)
	}
}

// Point moves the mouse to a share of the width of the first element that a selector
// finds, 0.5 being its middle.
func (b *Tab) Point(selector string, share float64) {
	b.t.Helper()
	x, y := b.middle(selector)
	width := evaluate[float64](b, fmt.Sprintf("document.querySelector(%q).getBoundingClientRect().width", selector))
	b.mouse(input.DispatchMouseEventTypeMouseMoved, x+(share-0.5)*width, y, input.MouseButtonNone)
}

// Drag presses the mouse at one share of an element's width, moves it to another, and
// lets it go.
func (b *Tab) Drag(selector string, from, to float64) {
	b.t.Helper()
	x, y := b.middle(selector)
	width := evaluate[float64](b, fmt.Sprintf("document.querySelector(%q).getBoundingClientRect().width", selector))
	at := func(share float64) float64 { return x + (share-0.5)*width }
	b.mouse(input.DispatchMouseEventTypeMouseMoved, at(from), y, input.MouseButtonNone)
	b.mouse(input.DispatchMouseEventTypeMousePressed, at(from), y, input.MouseButtonLeft)
	b.mouse(input.DispatchMouseEventTypeMouseMoved, at((from+to)/2), y, input.MouseButtonLeft)
	b.mouse(input.DispatchMouseEventTypeMouseMoved, at(to), y, input.MouseButtonLeft)
	b.mouse(input.DispatchMouseEventTypeMouseReleased, at(to), y, input.MouseButtonLeft)
}

func (b *Tab) mouse(kind input.DispatchMouseEventType, x, y float64, button input.MouseButton) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.MouseEvent(kind, x, y, chromedp.ButtonType(button), chromedp.ClickCount(1))); err != nil {
		b.t.Fatal(err)
	}
}

// middle scrolls an element into view and returns where its middle is.
func (b *Tab) middle(selector string) (x, y float64) {
	b.t.Helper()
	at := evaluate[[]float64](b, fmt.Sprintf(`(() => {
		const e = document.querySelector(%q);
		e.scrollIntoView({block: "center", behavior: "instant"});
		const r = e.getBoundingClientRect();
		return [r.left + r.width / 2, r.top + r.height / 2];
	})()`, selector))
	return at[0], at[1]
}

// Number returns the value of a JavaScript expression.
func (b *Tab) Number(expression string) float64 {
	b.t.Helper()
	return evaluate[float64](b, expression)
}

// Slow makes the processor so many times slower, from here on.
func (b *Tab) Slow(times float64) {
	b.t.Helper()
	err := chromedp.Do(b.ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: times})
		return err
	}))
	if err != nil {
		b.t.Fatal(err)
	}
}

// Zone moves the viewer into another time zone; it holds from the next page on.
func (b *Tab) Zone(name string) {
	b.t.Helper()
	err := chromedp.Do(b.ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: name})
		return err
	}))
	if err != nil {
		b.t.Fatal(err)
	}
}

// Open goes to another address in the same tab.
func (b *Tab) Open(page string) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.Navigate(page)); err != nil {
		b.t.Fatal(err)
	}
}

// Accessible fails the test when axe-core finds anything wrong with the page as it
// stands: by WCAG 2.2 to level AA, and by its own best practices.
func (b *Tab) Accessible(where string) {
	b.t.Helper()
	path := os.Getenv("FORESCALE_AXE")
	source, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatalf("set FORESCALE_AXE to axe.min.js of the npm package axe-core; `make test-system` does (%v)", err)
	}
	if err := chromedp.Do(b.ctx, chromedp.Evaluate[chromedp.Void](string(source))); err != nil {
		b.t.Fatal(err)
	}
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`axe.run(document).then((r) => {
		if (r.passes.length < 10) throw new Error("axe has looked at next to nothing");
		return JSON.stringify(r.violations.map((v) => v.id + ": " + v.help + ": " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + " " + n.failureSummary).join(" | ")));
	})`, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", where, err)
	}
	var violations []string
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		b.t.Fatal(err)
	}
	for _, v := range violations {
		b.t.Errorf("%s: %s", where, v)
	}
}

// Screenshot writes the whole page, as it is shown, to a PNG file.
func (b *Tab) Screenshot(file string) {
	b.t.Helper()
	image, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(file, image, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
