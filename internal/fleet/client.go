package fleet

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// HTTPClient returns an HTTP client for the SDK's clients of a server as near as
// this one, one per call.
//
// The SDK closes a request's body as soon as it has the response, net/http looks
// at the body once more after sending it, and then takes the closed body for a
// failed request and drops the connection while the response is being read. A
// server on loopback is fast enough to lose that race in a few per cent of the
// calls with large answers. The SDK's standard retryer hides it, at the price of
// its back-off; this client avoids it by sending the body from memory.
func HTTPClient() *http.Client {
	return &http.Client{Transport: inMemory{&http.Transport{MaxIdleConnsPerHost: 16}}}
}

// inMemory sends request bodies from memory.
type inMemory struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return t.next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if closeErr := r.Body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("read the request body: %w", err)
	}
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return t.next.RoundTrip(r)
}
