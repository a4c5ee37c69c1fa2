package render

import (
	"strings"
	"testing"

	"github.com/forescale/forescale/api"
)

func TestTextOfTheDocumentIsNeverMarkup(t *testing.T) {
	evil := strings.Replace(string(api.OpenAPI), "title: Forescale inference server", `title: "<script>alert(1)</script>"`, 1)
	page, err := Page([]byte(evil), "/style.css")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(page), "<script>") || !strings.Contains(string(page), "&lt;script&gt;") {
		t.Error("it is")
	}
}
