package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server"
)

func TestModelsOfTheRegistryAreLoadedBeforeAnybodyAsks(t *testing.T) {
	registry := newShelf()
	registry.put("foreign", models.Manifest{}, onnxtest.Foreign())
	r := start(t, registry, func(c *server.Config, _ *server.Deps) { c.LoadAhead = true })
	eventually(t, "the model serves", func() bool {
		return strings.Contains(string(r.get(api.RouteMetrics).body), `forescale_model_info{model="foreign",version="1"} 1`)
	})
}

// TestEachOfManyCallersGetsItsOwnRows is for runs that many requests share: of both
// forms, of several rows, larger than a run, and wrong ones among them.
func TestEachOfManyCallersGetsItsOwnRows(t *testing.T) {
	spec := onnxtest.Spec(4, 2, .1, .5, .9)
	registry := newShelf()
	registry.put("foreign", models.Manifest{}, onnxtest.Foreign())
	m, model := onnxtest.Persistence(spec, 1)
	registry.put("ours", m, model)
	r := start(t, registry, func(c *server.Config, _ *server.Deps) { c.Workers, c.Queue = 2, 1<<16 })
	var wait sync.WaitGroup
	for caller := range 24 {
		wait.Go(func() {
			for i := range 30 {
				n := 1 + (caller*7+i)%5
				if i == 17 {
					n = 150
				}
				if err := ask(r, caller*1000+i, n, (caller+i)%3); err != nil {
					t.Errorf("caller %d, request %d: %v", caller, i, err)
				}
			}
		})
	}
	wait.Wait()
	if text := string(r.get(api.RouteMetrics).body); !strings.Contains(text, "forescale_predict_rows_waiting 0") || !strings.Contains(text, "forescale_predict_runs_in_progress 0") {
		t.Error("runs or rows are left over")
	}
}

// ask sends n rows that hold numbers from seed on, in one of the forms, and returns an
// error unless the answer is that of those rows.
func ask(r *running, seed, n, form int) error {
	var parts, want []string
	for i := range n {
		v := seed + i
		switch form {
		case 0:
			parts = append(parts, fmt.Sprintf("[%d,0,0]", v))
			want = append(want, fmt.Sprintf("[%v,0]", float64(v)+0.25))
		case 1:
			parts = append(parts, fmt.Sprintf(`{"group":"g%d","end":"2026-03-02T12:05:00Z","step_seconds":300,"series":{"demand":[1,null,3,%d]}}`, v, v))
			want = append(want, fmt.Sprintf(`{"group":"g%d","issued_at":"2026-03-02T12:05:00Z","step_seconds":300,"model":"ours","version":1,"point":[%d,%d],`+
				`"quantiles":[0.1,0.5,0.9],"values":[[%d,%d,%d],[%d,%d,%d]]}`, v, v, v, v-1, v, v+1, v-1, v, v+1))
		default:
			parts = append(parts, fmt.Sprintf("[%d]", v)) // one value instead of three
		}
	}
	status, body, answer := http.StatusOK, "", ""
	switch form {
	case 0:
		body = `{"model":"foreign","instances":[` + strings.Join(parts, ",") + `]}`
		answer = `{"predictions":[` + strings.Join(want, ",") + `]}`
	case 1:
		body = `{"windows":[` + strings.Join(parts, ",") + `]}`
		answer = `{"model":"ours","version":1,"forecasts":[` + strings.Join(want, ",") + `]}`
	default:
		body, status = `{"model":"foreign","instances":[`+strings.Join(parts, ",")+`]}`, http.StatusUnprocessableEntity
	}
	got := r.post(body)
	if got.status != status || answer != "" && string(got.body) != answer {
		return fmt.Errorf("%d rows got %d %.300s, want %d %.300s", n, got.status, got.body, status, answer)
	}
	return nil
}
