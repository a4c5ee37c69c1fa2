package server

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"github.com/forescale/forescale/api"
)

func TestEveryRouteIsDescribedAndEveryDescribedPathIsThere(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(api.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Defaults(), Deps{Step: time.Minute, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer s.catalog.Close()
	template := strings.NewReplacer(":model", "{model}", ":version", "{version}", ":group", "{group}", ":change", "{change}", ":report", "{report}")
	served := map[string]bool{}
	for _, r := range s.handler.(*echo.Echo).Routes() {
		path, method := template.Replace(r.Path), r.Method
		if method == http.MethodHead { // as GET, everywhere
			method = http.MethodGet
		}
		if path == "/" || strings.HasPrefix(path, "/dashboard/") || strings.HasPrefix(path, "/docs/") || path == v2Root+"/" { // pages and their files
			continue
		}
		served[method+" "+path] = true
		if item := doc.Paths.Value(path); item == nil || item.GetOperation(method) == nil {
			t.Errorf("%s %s is not in openapi.yaml", r.Method, r.Path)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if method != http.MethodHead && !served[method+" "+path] {
				t.Errorf("%s %s of openapi.yaml is not served", method, path)
			}
		}
	}
}
