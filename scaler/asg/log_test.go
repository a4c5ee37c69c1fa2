package asg_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/scaler/asg"
)

// A connection that breaks in the middle of an answer makes the SDK complain in
// its own log, which is standard error unless it is given another one.
func TestTheSDKWritesToOurLog(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, "<DescribeAutoScalingGroupsResponse>")
	}))
	t.Cleanup(server.Close)
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	target, err := asg.Open(t.Context(), asg.Config{Region: "eu-central-1", Endpoint: server.URL}, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := target.Capacities(ctx, []string{"web"}); err == nil {
		t.Error("half an answer was taken for one")
	}
	if !strings.Contains(out.String(), `level=DEBUG msg="AWS SDK" class=WARN`) {
		t.Errorf("the log has nothing of the SDK: %q", out.String())
	}
}
