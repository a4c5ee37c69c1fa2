// Package dashboard is the web page of the server: static files that show, in the
// browser, what the JSON interface answers. It is embedded whole, and the page
// asks nothing of any other host.
package dashboard

import (
	"embed"
	"net/http"

	"github.com/labstack/echo/v4"
)

//go:embed index.html app.js chart.js app.css icon.svg
var files embed.FS

// policy lets the page load its own files and talk to its own server, and do
// nothing else; no other page can frame it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// assets are the paths of the page and the files behind them.
var assets = map[string]struct{ file, contentType string }{
	"/":                   {"index.html", "text/html; charset=utf-8"},
	"/dashboard/app.js":   {"app.js", "text/javascript; charset=utf-8"},
	"/dashboard/chart.js": {"chart.js", "text/javascript; charset=utf-8"},
	"/dashboard/app.css":  {"app.css", "text/css; charset=utf-8"},
	"/dashboard/icon.svg": {"icon.svg", "image/svg+xml"},
}

// Register adds the page and its files to the routes.
func Register(e *echo.Echo) {
	for path, asset := range assets {
		handler := func(c echo.Context) error {
			content, err := files.ReadFile(asset.file)
			if err != nil {
				return err
			}
			h := c.Response().Header()
			h.Set(echo.HeaderContentSecurityPolicy, policy)
			h.Set(echo.HeaderReferrerPolicy, "no-referrer")
			h.Set(echo.HeaderCacheControl, "no-cache") // the files change with the binary
			return c.Blob(http.StatusOK, asset.contentType, content)
		}
		e.GET(path, handler)
		e.HEAD(path, handler)
	}
}
