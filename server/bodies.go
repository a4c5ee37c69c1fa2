package server

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/labstack/echo/v4"

	"github.com/forescale/forescale/internal/machine"
)

// bodies bounds the memory that the bodies of requests take together. They are read
// whole, so that otherwise each connection could hold server.body_limit, for as long as
// server.read_timeout.
type bodies struct {
	limit int64 // bytes
	held  atomic.Int64
}

const (
	// smallBody is the length in bytes of a body that is not counted, so that whoever
	// sends large ones keeps nobody from sending small ones.
	smallBody = 16 << 10
	// bodyShare of the memory, as a divisor, is what the others may hold. What is made
	// of a body takes several times its length.
	bodyShare = 16
	// leastBodies is how many of the largest bodies there is room for at least.
	leastBodies = 4
)

// newBodies returns the bound for bodies of which the largest has that many bytes.
func newBodies(largest int64) *bodies {
	return &bodies{limit: max(leastBodies*largest, machine.Memory()/bodyShare)}
}

// errBodies refuses a body that there is no room for.
var errBodies = errors.New("too many large bodies at once")

// bounded counts the body of a request until the request has been answered.
func (b *bodies) bounded(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if 0 <= r.ContentLength && r.ContentLength <= smallBody {
			return next(c)
		}
		body := &countedBody{ReadCloser: r.Body, all: b}
		defer func() { b.held.Add(-body.held) }()
		r.Body = body
		err := next(c)
		if body.refused {
			c.Response().Header().Set(echo.HeaderConnection, "close") // rather than read on to the end
			return problem(http.StatusTooManyRequests, "", "%v; try again later", errBodies)
		}
		return err
	}
}

// countedBody is a body that ends with errBodies when there is no room for it.
type countedBody struct {
	io.ReadCloser
	all     *bodies
	held    int64
	refused bool
}

// Read implements io.Reader.
func (c *countedBody) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.held += int64(n)
	if c.all.held.Add(int64(n)) > c.all.limit {
		c.refused = true
		return 0, errBodies
	}
	return n, err
}
