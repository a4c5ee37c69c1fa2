// Package dashboard is the web page of the server: static files that show, in the
// browser, what the JSON interface answers. It is embedded whole, and the page
// asks nothing of any other host.
//
// The files in web are what the browser gets: ES modules, one purpose each, and no
// build step. Only web/vendor is not ours: the charting library, whose version
// npm/package-lock.json pins (`make dashboard` copies it from there).
package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
)

//go:embed web
var files embed.FS

// policy lets the page load its own files and talk to its own server, and do
// nothing else; no other page can frame it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Root is the path of the files; index.html is at / itself.
const Root = "/dashboard/"

// asset is one file as it is sent.
type asset struct {
	contentType string
	tag         string // of the plain bytes, in quotes
	plain       []byte
	zipped      []byte // by gzip, what nearly every browser asks for
}

// assets returns the files by their paths. They are compressed once, by the first
// server that asks, and never per request.
var assets = sync.OnceValues(func() (map[string]asset, error) {
	found := map[string]asset{}
	err := fs.WalkDir(files, "web", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		plain, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		var zipped bytes.Buffer
		w, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression) // the level is valid
		if _, err := w.Write(plain); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		sum := sha256.Sum256(plain)
		a := asset{contentType: contentType(name), tag: `"` + hex.EncodeToString(sum[:8]) + `"`, plain: plain, zipped: zipped.Bytes()}
		if where := strings.TrimPrefix(name, "web/"); where == "index.html" {
			found["/"] = a
		} else {
			found[Root+where] = a
		}
		return nil
	})
	return found, err
})

// contentType does not ask the machine, whose tables differ.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.FormatMediaType("text/plain", map[string]string{"charset": "utf-8"})
}

// Register adds the page and its files to the routes.
func Register(e *echo.Echo) {
	all, err := assets()
	if err != nil {
		panic(fmt.Sprintf("dashboard: %v", err)) // the files are part of the program
	}
	for where, a := range all {
		e.GET(where, a.serve)
		e.HEAD(where, a.serve)
	}
}

// serve answers with the file, or with 304 when the browser has it already: the
// files change with the binary, so that a browser asks each time.
func (a asset) serve(c echo.Context) error {
	h := c.Response().Header()
	h.Set(echo.HeaderContentSecurityPolicy, policy)
	h.Set(echo.HeaderReferrerPolicy, "no-referrer")
	h.Set(echo.HeaderCacheControl, "no-cache")
	h.Set(echo.HeaderVary, echo.HeaderAcceptEncoding)
	h.Set("ETag", a.tag)
	if strings.Contains(c.Request().Header.Get("If-None-Match"), a.tag) {
		return c.NoContent(http.StatusNotModified)
	}
	if accepts(c.Request().Header.Get(echo.HeaderAcceptEncoding), "gzip") {
		h.Set(echo.HeaderContentEncoding, "gzip")
		return c.Blob(http.StatusOK, a.contentType, a.zipped)
	}
	return c.Blob(http.StatusOK, a.contentType, a.plain)
}

// accepts reports whether Accept-Encoding names the coding and does not forbid it
// (RFC 9110, section 12.5.3).
func accepts(header, coding string) bool {
	for item := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(item), ";")
		if strings.EqualFold(strings.TrimSpace(name), coding) {
			q := strings.Trim(strings.TrimPrefix(strings.ReplaceAll(weight, " ", ""), "q="), "0.")
			return weight == "" || q != ""
		}
	}
	return false
}
