package client_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/forescale/forescale/api/client"
)

func TestACallCarriesTheTraceOfItsContext(t *testing.T) {
	trace, span := [16]byte{15: 0xab}, [8]byte{7: 1}
	for name, c := range map[string]struct {
		ctx  context.Context
		want string
	}{
		"none":             {t.Context(), ""},
		"sampled":          {client.WithTrace(t.Context(), trace, span, true), "00-000000000000000000000000000000ab-0000000000000001-01"},
		"not sampled":      {client.WithTrace(t.Context(), trace, span, false), "00-000000000000000000000000000000ab-0000000000000001-00"},
		"no id of a trace": {client.WithTrace(t.Context(), [16]byte{}, span, true), ""},
		"no id of a span":  {client.WithTrace(t.Context(), trace, [8]byte{}, true), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan string, 1)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got <- r.Header.Get("Traceparent")
				_, _ = w.Write([]byte(`{"status":"ready"}`))
			}))
			defer s.Close()
			cl, err := client.New(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			if err := cl.Ready(c.ctx); err != nil {
				t.Fatal(err)
			}
			if parent := <-got; parent != c.want {
				t.Errorf("traceparent %q, want %q", parent, c.want)
			}
		})
	}
}
