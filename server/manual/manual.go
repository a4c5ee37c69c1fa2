// Package manual is the description of the interface as a page for people: made of
// openapi.yaml by package render, without a script, and without anything of another
// host.
package manual

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/forescale/forescale/api"
)

//go:generate go run ./generate

var (
	//go:embed page.html
	page []byte
	//go:embed page.css
	style []byte
)

// policy lets the page load its one style sheet, and do nothing else.
const policy = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// RouteStyle is the path of the style sheet.
const RouteStyle = api.RouteDocs + "/page.css"

// Register adds the page and its style sheet to the routes.
func Register(e *echo.Echo) {
	serve := func(path, contentType string, body []byte) {
		handler := func(c echo.Context) error {
			h := c.Response().Header()
			h.Set(echo.HeaderContentSecurityPolicy, policy)
			h.Set(echo.HeaderCacheControl, "no-cache") // it changes with the binary
			return c.Blob(http.StatusOK, contentType, body)
		}
		e.GET(path, handler)
		e.HEAD(path, handler)
	}
	serve(api.RouteDocs, "text/html; charset=utf-8", page)
	serve(RouteStyle, "text/css; charset=utf-8", style)
}
