// Package awshttp is the HTTP client that the AWS SDK's clients share here. It is
// for services whose request bodies are small, which S3 is not.
package awshttp

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkhttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// maxAnswer bounds one answer after decompression, in bytes: the SDK reads it into
// memory as a whole. A page of CloudWatch's largest answer is some 3 MB.
const maxAnswer = 64 << 20

// Whole returns an HTTP client that bounds answers, and sends request bodies from memory by next, or,
// where that is nil, by the SDK's own client.
//
// The SDK closes a request's body as soon as it has the response. net/http looks at
// the body once more after sending it, takes a closed one for a failed request, and
// drops the connection while the response is being read. A near endpoint, or a busy
// machine, loses that race in some calls with large answers. Retries would hide it,
// at the price of their back-off, and not every call has one.
func Whole(next aws.HTTPClient) aws.HTTPClient {
	if next == nil { // the SDK leaves it to each service's client
		next = sdkhttp.NewBuildableClient()
	}
	return whole{next}
}

type whole struct{ next aws.HTTPClient }

// Do implements aws.HTTPClient.
func (c whole) Do(r *http.Request) (*http.Response, error) {
	resp, err := c.send(r)
	if err == nil {
		resp.Body = &bounded{ReadCloser: resp.Body, left: maxAnswer}
	}
	return resp, err
}

// bounded is a body that ends in an error when it is longer than what is left.
type bounded struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
	}
	return n, err
}

func (c whole) send(r *http.Request) (*http.Response, error) {
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
