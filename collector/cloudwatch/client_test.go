package cloudwatch

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

	"github.com/forescale/forescale/internal/conf"
)

// A connection that breaks in the middle of an answer makes the SDK complain in
// its own log, which is standard error unless it is given another one.
func TestTheSDKWritesToOurLog(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nSmithy-Protocol: rpc-v2-cbor\r\nContent-Length: 1000\r\n\r\n\xa0")
	}))
	defer srv.Close()
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg := Config{Groups: []Group{{Name: "web"}}}
	client, err := NewClient(t.Context(), cfg, conf.AWS{Region: "us-east-1", CloudWatchEndpoint: srv.URL}, log)
	if err != nil {
		t.Fatal(err)
	}
	src, err := New("cloudwatch", cfg, client, step, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // no need to wait for the retries
	defer cancel()
	if _, err := src.Fetch(ctx, fslot(0), fslot(1)); err == nil {
		t.Error("half an answer was taken for one")
	}
	if text := out.String(); !strings.Contains(text, `level=DEBUG msg="AWS SDK" class=WARN`) {
		t.Errorf("the log has nothing of the SDK: %q", text)
	}
}
