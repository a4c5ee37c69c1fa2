package manual

import (
	"regexp"
	"strings"
	"testing"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/server/manual/render"
)

func TestThePageShowsEveryPathAndEachLinkLeadsSomewhere(t *testing.T) {
	text := string(page)
	for _, path := range regexp.MustCompile(`(?m)^  (/\S*):$`).FindAllStringSubmatch(string(api.OpenAPI), -1) {
		if !strings.Contains(text, "<code>"+path[1]+"</code>") {
			t.Errorf("%s is missing", path[1])
		}
	}
	ids := map[string]bool{}
	for _, id := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		if ids[id[1]] {
			t.Errorf("two parts are called %s", id[1])
		}
		ids[id[1]] = true
	}
	links := regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(text, -1)
	for _, link := range links {
		if !ids[link[1]] {
			t.Errorf("a link leads to %s, which is not there", link[1])
		}
	}
	if len(links) < 30 {
		t.Errorf("only %d links", len(links))
	}
	for _, want := range []string{"Right: predict", "No right is needed", "pytorch_lstm", "&#34;step_seconds&#34;"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestThePageNeedsNoOtherHostAndRunsNothing(t *testing.T) {
	for _, forbidden := range []string{"<script", "style=", "src=", `href="http`, "url(", "@import", "onclick"} {
		if strings.Contains(string(page), forbidden) || strings.Contains(string(style), forbidden) {
			t.Errorf("it holds %q", forbidden)
		}
	}
}

func TestThePageIsThatOfTheDocument(t *testing.T) {
	want, err := render.Page(api.OpenAPI, RouteStyle)
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != string(want) {
		t.Error("server/manual/page.html is not made of api/openapi.yaml as it is; run 'go generate ./server/manual'")
	}
}
