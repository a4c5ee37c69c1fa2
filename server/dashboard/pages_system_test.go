//go:build system

package dashboard_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/forescale/forescale/internal/browsertest"
)

func TestSystemLook(t *testing.T) {
	f := newFake(t, nil)
	out := os.Getenv("SHOTS")
	for name, hash := range map[string]string{"fleet": "#/", "group": "#/group/eu-west%2Fweb-002", "group7d": "#/group/eu-west%2Fweb-002?range=7d", "models": "#/models/shared", "whatif": "#/whatif", "login": "#/"} {
		if name == "login" {
			f = newFake(t, func(f *fake) { f.token = "secret" })
		}
		tab := browsertest.Open(t, f.url+hash)
		tab.Until(`!document.querySelector(".skeleton") && (document.querySelector("main h1"))`)
		for _, scheme := range []string{"light", "dark"} {
			tab.Resize(1360, scheme)
			tab.Screenshot(filepath.Join(out, name+"-"+scheme+".png"))
		}
		tab.Resize(400, "light")
		tab.Screenshot(filepath.Join(out, name+"-narrow.png"))
		tab.Check()
	}
}
