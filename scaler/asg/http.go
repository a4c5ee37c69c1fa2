package asg

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// wholeBodies is the SDK's HTTP client with request bodies sent from memory.
//
// The SDK closes a request's body as soon as it has the response. net/http looks at
// the body once more after sending it, takes a closed one for a failed request, and
// drops the connection while the response is being read. A near endpoint, or a busy
// machine, loses that race in some calls with large answers. Retries would hide it,
// but not every call has one. Bodies of this service are a few hundred bytes.
type wholeBodies struct{ next aws.HTTPClient }

// Do implements aws.HTTPClient.
func (c wholeBodies) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return c.next.Do(r)
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
	return c.next.Do(r)
}
