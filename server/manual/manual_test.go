package manual

import (
	"regexp"
	"strings"
	"testing"

	"github.com/forescale/forescale/api"
)

func TestThePageShowsEveryPathAndEachLinkLeadsSomewhere(t *testing.T) {
	page, err := Render(api.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
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
	page, err := Render(api.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	for _, forbidden := range []string{"<script", "style=", "src=", `href="http`, "url(", "@import", "onclick"} {
		if strings.Contains(string(page), forbidden) || strings.Contains(string(style), forbidden) {
			t.Errorf("it holds %q", forbidden)
		}
	}
}

func TestTextOfTheDocumentIsNeverMarkup(t *testing.T) {
	evil := strings.Replace(string(api.OpenAPI), "title: Forescale inference server", `title: "<script>alert(1)</script>"`, 1)
	page, err := Render([]byte(evil))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(page), "<script>") || !strings.Contains(string(page), "&lt;script&gt;") {
		t.Error("it is")
	}
}
