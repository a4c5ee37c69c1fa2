package server

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/forescale/forescale/api"
)

func TestLargeBodiesTogetherAreBounded(t *testing.T) {
	const large = 2 * smallBody
	b := &bodies{limit: 2 * large}
	// ask sends a body of a length, and calls while it is held.
	ask := func(length int, chunked bool, while func()) error {
		r := httptest.NewRequest(http.MethodPost, "/predict", strings.NewReader(strings.Repeat(" ", length)))
		if chunked {
			r.ContentLength = -1
		}
		c := echo.New().NewContext(r, httptest.NewRecorder())
		return b.bounded(func(c echo.Context) error {
			if _, err := io.Copy(io.Discard, c.Request().Body); err != nil {
				return problem(http.StatusBadRequest, "", "the body ends early")
			}
			while()
			return nil
		})(c)
	}
	nothing := func() {}
	refused := func(err error) bool {
		var p *api.Problem
		return errors.As(err, &p) && p.Status == http.StatusTooManyRequests
	}
	for name, chunked := range map[string]bool{"whose length is known": false, "in chunks": true} {
		t.Run(name, func(t *testing.T) {
			err := ask(large, chunked, func() {
				if err := ask(large, chunked, nothing); err != nil {
					t.Errorf("as many as there is room for: %v", err)
				}
				if err := ask(large+1, chunked, nothing); !refused(err) {
					t.Errorf("one byte more: %v", err)
				}
				if err := ask(smallBody, false, nothing); err != nil {
					t.Errorf("a small one beside them: %v", err)
				}
			})
			if err != nil {
				t.Error(err)
			}
			if held := b.held.Load(); held != 0 {
				t.Errorf("%d bytes are still counted", held)
			}
		})
	}
}

func TestThereIsRoomForSomeOfTheLargestBodies(t *testing.T) {
	if b := newBodies(1 << 40); b.limit != leastBodies<<40 {
		t.Errorf("room for %d bytes", b.limit)
	}
}
