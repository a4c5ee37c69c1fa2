package asg_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/scaler/asg"
)

// late answers a call and keeps its body, as net/http does, which looks at it once
// more when the response may have come already.
type late struct{ bodies []io.Reader }

func (l *late) Do(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	l.bodies = append(l.bodies, r.Body)
	const empty = `<DescribeScalingActivitiesResponse><DescribeScalingActivitiesResult/></DescribeScalingActivitiesResponse>`
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader(empty))}, nil
}

func TestARequestBodyOutlivesItsResponse(t *testing.T) {
	l := &late{}
	target, err := asg.Open(t.Context(), asg.Config{Region: "eu-central-1", Endpoint: "http://127.0.0.1:1", HTTP: l}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := target.Launches(t.Context(), []string{"web"}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if len(l.bodies) != 1 {
		t.Fatalf("%d calls, want 1", len(l.bodies))
	}
	if n, err := io.Copy(io.Discard, l.bodies[0]); n != 0 || err != nil {
		t.Errorf("after the response the body has %d bytes, %v; net/http would take that for a failed request", n, err)
	}
}
