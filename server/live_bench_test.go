package server_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/server"
)

// BenchmarkPredictBesideViewers answers predictions while so many pages look: each has
// a stream open and asks for the fleet whenever it is told. News come once in minutes;
// once a second, with the pages themselves in the same process, is the worst that a
// replay can do. What viewers cost is the difference to none.
func BenchmarkPredictBesideViewers(b *testing.B) {
	for _, c := range []struct {
		name    string
		viewers int
		news    time.Duration
	}{{"0 viewers", 0, time.Hour}, {"200 viewers", 200, time.Hour}, {"200 viewers, news each second", 200, time.Second}} {
		b.Run(c.name, func(b *testing.B) {
			spec := onnxtest.Spec(4, 2)
			registry := newShelf()
			m, model := onnxtest.Persistence(spec, 1)
			m.Groups = []string{"web"}
			registry.put("web", m, model)
			w := newWorld(worldEnd)
			r := start(b, registry, func(c *server.Config, d *server.Deps) {
				c.Replay, d.Samples, d.Journal = true, samplesOf{w}, journalOf{w}
			})
			body, err := json.Marshal(api.PredictRequest{Windows: []api.Window{ramp(spec, "web", 10)}})
			if err != nil {
				b.Fatal(err)
			}
			predict := func() {
				response, err := http.Post(r.url+api.RoutePredict, "application/json", bytes.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if response.StatusCode != http.StatusOK {
					b.Fatal(response.StatusCode)
				}
			}
			predict() // loads the model
			for range c.viewers {
				go follow(r.url, r.openStream(nil).Body)
			}
			stop := make(chan struct{})
			defer close(stop)
			go func() {
				tell := time.NewTicker(c.news)
				defer tell.Stop()
				for {
					select {
					case <-stop:
						return
					case <-tell.C:
						response, err := http.Post(r.url+api.RouteNotify, "application/json", bytes.NewReader([]byte(`{"what":["samples"]}`)))
						if err == nil {
							response.Body.Close()
						}
					}
				}
			}()
			for b.Loop() {
				predict()
			}
		})
	}
}

// follow is a page: it asks for the fleet whenever the stream says anything, until
// the stream ends.
func follow(url string, stream io.Reader) {
	buf := make([]byte, 4096)
	for {
		if _, err := stream.Read(buf); err != nil {
			return
		}
		if response, err := http.Get(url + api.RouteFleet); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
	}
}
