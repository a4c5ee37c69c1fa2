// Generate writes page.html of package manual. 'go generate' runs it in that package's
// directory.
package main

import (
	"fmt"
	"os"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/server/manual"
	"github.com/forescale/forescale/server/manual/render"
)

func main() {
	page, err := render.Page(api.OpenAPI, manual.RouteStyle)
	if err == nil {
		err = os.WriteFile("page.html", page, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}
