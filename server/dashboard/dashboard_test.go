package dashboard_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/forescale/forescale/server/dashboard"
)

// files returns the names below web, where the tests of this package run.
func files(t *testing.T) (names []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("web"), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil || len(names) < 10 {
		t.Fatalf("%v: %v", names, err)
	}
	return names
}

func routeOf(name string) string {
	if name == "index.html" {
		return "/"
	}
	return dashboard.Root + name
}

func get(e *echo.Echo, route string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, route, nil)
	if header != nil {
		r.Header = header
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

func TestThePageIsUnder200KBCompressed(t *testing.T) {
	e := echo.New()
	dashboard.Register(e)
	sum := 0
	for _, name := range files(t) {
		w := get(e, routeOf(name), http.Header{"Accept-Encoding": {"br, gzip"}})
		if w.Code != http.StatusOK || w.Header().Get("Content-Encoding") != "gzip" {
			t.Fatalf("%s: %d %v", name, w.Code, w.Header())
		}
		sum += w.Body.Len()
		r, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		want, wantErr := os.ReadFile("web/" + name)
		if err != nil || wantErr != nil || string(got) != string(want) {
			t.Errorf("%s does not arrive as it is: %v %v", name, err, wantErr)
		}
	}
	if sum > 200_000 || sum < 20_000 {
		t.Errorf("the whole page takes %d bytes compressed", sum)
	}
	t.Logf("%d bytes", sum)
}

func TestAFileIsSentAgainOnlyWhenItHasChanged(t *testing.T) {
	e := echo.New()
	dashboard.Register(e)
	first := get(e, "/dashboard/app.js", nil)
	tag := first.Header().Get("ETag")
	if first.Code != http.StatusOK || tag == "" || first.Header().Get("Content-Encoding") != "" || first.Header().Get("Cache-Control") != "no-cache" {
		t.Fatalf("%d %v", first.Code, first.Header())
	}
	if again := get(e, "/dashboard/app.js", http.Header{"If-None-Match": {"W/" + tag}}); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
		t.Errorf("status %d", again.Code)
	}
	if other := get(e, "/dashboard/fleet.js", http.Header{"If-None-Match": {tag}}); other.Code != http.StatusOK {
		t.Errorf("another file's tag: status %d", other.Code)
	}
}

func TestAnEncodingIsUsedOnlyWhereItIsAccepted(t *testing.T) {
	e := echo.New()
	dashboard.Register(e)
	for header, want := range map[string]string{"gzip": "gzip", "br;q=1.0, GZIP;q=0.5": "gzip", "gzip;q=0": "", "gzip; q=0.000": "", "gzipped": "", "": "", "identity": ""} {
		if got := get(e, "/", http.Header{"Accept-Encoding": {header}}).Header().Get("Content-Encoding"); got != want {
			t.Errorf("Accept-Encoding %q is answered with the encoding %q", header, got)
		}
	}
}

// What the content policy forbids would fail in the browser, and what makes markup
// of data would not: it is not written at all.
func TestThePageHoldsNothingThatItsPolicyForbidsOrThatMakesMarkupOfData(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\("style"|style: ?"|<script>|<style|\sstyle=|\son[a-z]+="|https?://`)
	for _, name := range files(t) {
		if strings.HasPrefix(name, "vendor/") {
			continue
		}
		content, err := os.ReadFile("web/" + name)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(content), "http://www.w3.org/2000/svg", "")
		if found := forbidden.FindString(text); found != "" {
			t.Errorf("%s holds %q", name, found)
		}
		if lines := strings.Count(text, "\n"); lines > 400 {
			t.Errorf("%s has %d lines", name, lines)
		}
	}
}

func TestEachModuleThatIsImportedExists(t *testing.T) {
	imports := regexp.MustCompile(`(?m)^import .* from "\./([^"]+)";|(?:src|href)="/dashboard/([^"]+)"`)
	known := map[string]bool{}
	for _, name := range files(t) {
		known[name] = true
	}
	for name := range known {
		content, err := os.ReadFile("web/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range imports.FindAllStringSubmatch(string(content), -1) {
			if !known[m[1]+m[2]] {
				t.Errorf("%s imports %s", name, m[1]+m[2])
			}
		}
	}
}

// The library is copied into web/vendor; npm says which version that is.
func TestTheLibraryIsTheOneThatTheLockFilePins(t *testing.T) {
	var lock struct {
		Packages map[string]struct{ Version, License string }
	}
	content, err := os.ReadFile("npm/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &lock); err != nil {
		t.Fatal(err)
	}
	library, err := os.ReadFile("web/vendor/uplot.js")
	if err != nil {
		t.Fatal(err)
	}
	pinned := lock.Packages["node_modules/uplot"]
	if pinned.License != "MIT" || !strings.Contains(string(library[:200]), "(v"+pinned.Version+")") {
		t.Errorf("the lock file pins %+v, the library begins with %.200s", pinned, library)
	}
	if _, err := os.Stat(path.Join("web/vendor", "LICENSE.uplot.txt")); err != nil {
		t.Error(err)
	}
}
