//go:build system

package browsertest

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cdpruntime "github.com/chromedp/cdproto/runtime"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// Tab is a tab of the real browser. A fault ends the test that opened it.
type Tab struct {
	t   testing.TB
	ctx context.Context

	mu         sync.Mutex
	complaints []string // guarded by mu
}

// Open opens a page, and collects what the browser complains of and any
// request to another host than the page's.
func Open(t testing.TB, page string) *Tab {
	t.Helper()
	path := os.Getenv("FORESCALE_CHROMIUM")
	if path == "" {
		t.Fatal("set FORESCALE_CHROMIUM to the path of chromium-headless-shell; `make test-system` does")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1280, 1100))
	host, _, _ := strings.Cut(page, "#")
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &Tab{t: t, ctx: ctx}
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
			complain("exception: %s %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, host) {
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

// Check fails the test when the browser had anything to complain of, but for what
// was expected: a browser logs every answer above 399, for example.
func (b *Tab) Check(expected ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = slices.DeleteFunc(b.complaints, func(complaint string) bool {
		return slices.ContainsFunc(expected, func(e string) bool { return strings.Contains(complaint, e) })
	})
	if len(b.complaints) > 0 {
		b.t.Errorf("the browser complains: %q", b.complaints)
	}
}

// Until waits until a JavaScript expression is true.
func (b *Tab) Until(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 15*time.Second)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool]("Boolean("+expression+")")); err != nil {
		b.mu.Lock()
		complaints := slices.Clone(b.complaints)
		b.mu.Unlock()
		b.t.Fatalf("never came true: %s (%v); the browser complains: %q; the page says\n%.4000s", expression, err, complaints, b.Text("body"))
	}
}

// Run runs JavaScript statements in the page.
func (b *Tab) Run(script string) {
	b.t.Helper()
	evaluate[bool](b, "(() => {"+script+"; return true})()")
}

// Text returns the visible text of the first element that a selector finds, with
// every space an ordinary one.
func (b *Tab) Text(selector string) string {
	b.t.Helper()
	text := evaluate[string](b, fmt.Sprintf("document.querySelector(%q).innerText", selector))
	return strings.NewReplacer("\u00a0", " ", "\u2009", " ", "\u2060", "").Replace(text)
}

// Title returns what the element says when it is pointed at.
func (b *Tab) Title(selector string) string {
	b.t.Helper()
	return evaluate[string](b, fmt.Sprintf("document.querySelector(%q).title", selector))
}

func evaluate[T any](b *Tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// Resize gives the page another width, and light or dark as the viewer's wish.
func (b *Tab) Resize(width int64, scheme string) {
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

// Contrasts returns the contrast of the first element of each selector with what
// is behind it, by the formula of WCAG 2.2, "contrast ratio".
func (b *Tab) Contrasts(selectors ...string) map[string]float64 {
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
