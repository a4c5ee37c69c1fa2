//go:build system

package dashboard_test

import (
	"testing"

	"github.com/forescale/forescale/internal/browsertest"
)

// ready is true when a page shows what it has to show.
const ready = `document.querySelector("main h1, main h2") && !document.querySelector(".skeleton")`

func TestSystemEachPageIsAccessibleInLightAndDark(t *testing.T) {
	full, empty, closed := newFake(t, nil), newFake(t, func(f *fake) { f.groups = 0 }), newFake(t, func(f *fake) { f.token = "secret" })
	broken := newFake(t, func(f *fake) { f.fault = 503 })
	for name, page := range map[string]struct{ url, until, do string }{
		"Fleet":                 {url: full.url},
		"an empty Fleet":        {url: empty.url},
		"a Fleet without match": {url: full.url, do: `const s = document.getElementById("search"); s.value = "nothing of this name"; s.dispatchEvent(new Event("input"))`},
		"Group":                 {url: full.url + "#/group/search-001", until: `document.querySelectorAll(".pane canvas").length === 4`},
		"Group, all open":       {url: full.url + "#/group/search-001?range=7d", until: `document.querySelectorAll(".pane canvas").length === 4`, do: `document.querySelectorAll("details").forEach((d) => { d.open = true; })`},
		"Group, unknown":        {url: full.url + "#/group/nobody"},
		"Models":                {url: full.url + "#/models/shared", until: `document.querySelector(".acts")`},
		"Models, asking":        {url: full.url + "#/models/shared", until: `document.querySelector(".acts")`, do: `document.querySelector(".acts button").click()`},
		"Models, failed":        {url: full.url + "#/models/batch%2Fnight"},
		"What if":               {url: full.url + "#/whatif", until: `document.querySelector(".curve")`},
		"login":                 {url: closed.url, until: `document.querySelector("#token")`},
		"help":                  {url: full.url, do: `document.getElementById("help-open").click()`},
		"no connection":         {url: broken.url},
	} {
		t.Run(name, func(t *testing.T) {
			tab := browsertest.Open(t, page.url)
			tab.Until(ready)
			if page.until != "" {
				tab.Until(page.until)
			}
			tab.Run(page.do)
			for _, scheme := range []string{"light", "dark"} {
				tab.Resize(1280, scheme)
				tab.Accessible(name + " in " + scheme)
			}
			tab.Resize(390, "light")
			tab.Until(`document.documentElement.scrollWidth <= 390`)
			tab.Accessible(name + " on a telephone")
			tab.Check("status of 401", "status of 503", "status of 404")
		})
	}
}
