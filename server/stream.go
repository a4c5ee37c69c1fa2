package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/server/live"
	"github.com/forescale/forescale/server/view"
)

const (
	lookEvery   = 5 * time.Second  // how often the stores are asked while anyone looks
	lookTimeout = 10 * time.Second // of asking one of them
	faultsEvery = time.Minute      // how often it is logged that one cannot be asked
	maxNotify   = 4 << 20          // bytes: the names of ten thousand groups
)

// except applies a middleware to every route but one, which has one of its own.
func except(route string, usual, own echo.MiddlewareFunc) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		usual, own := usual(next), own(next)
		return func(c echo.Context) error {
			if c.Path() == route {
				return own(c)
			}
			return usual(c)
		}
	}
}

// observeStream does for a stream what observe does for a request: but a stream has
// no time limit, and how long it took says nothing.
func (s *Server) observeStream(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		c.Response().Header().Set(echo.HeaderXContentTypeOptions, "nosniff")
		defer func() {
			if p := recover(); p != nil {
				s.metrics.panics.Inc()
				s.deps.Log.Error("handler panicked", "path", c.Request().URL.Path, "panic", p, "stack", string(debug.Stack()))
				err = errors.New("handler panicked")
			}
			if err != nil {
				s.metrics.errors.WithLabelValues(reasonOf(err)).Inc()
				c.Error(err)
			}
		}()
		return next(c)
	}
}

// stream answers GET /api/v1/stream.
func (s *Server) stream(c echo.Context) error {
	err := s.live.Serve(c.Request().Context(), c.Response(), c.Request().Header.Get("Last-Event-ID"))
	switch {
	case errors.Is(err, live.ErrFull), errors.Is(err, live.ErrClosed):
		return problem(http.StatusServiceUnavailable, "", "%v", err)
	case err != nil:
		s.deps.Log.Debug("viewer dropped", "remote", c.Request().RemoteAddr, "err", err) // it comes back by itself
	}
	return nil
}

// notify answers POST /api/v1/notify.
func (s *Server) notify(c echo.Context) error {
	if err := crossOrigin.Check(c.Request()); err != nil {
		return problem(http.StatusForbidden, "", "%v", err)
	}
	c.Request().Body = http.MaxBytesReader(c.Response().Writer, c.Request().Body, maxNotify)
	body, err := s.bodyOf(c, nil, echo.MIMEApplicationJSON)
	if err != nil {
		return err
	}
	var news api.Changed
	if err := json.Unmarshal(body, &news); err != nil {
		return problem(http.StatusBadRequest, "", "the body is not what a notification is: %v", err)
	}
	if err := live.Check(news); err != nil {
		field, _, _ := strings.Cut(err.Error(), ":")
		return problem(http.StatusBadRequest, field, "%v", err)
	}
	s.live.Tell(news)
	return c.NoContent(http.StatusNoContent)
}

// newLive returns the hub, which is counted, and forgets answers when there are news.
func (s *Server) newLive() *live.Hub {
	hub := live.New(s.deps.Now, s.answers.forget)
	s.metrics.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "forescale", Name: "stream_viewers",
		Help: "Viewers that a stream of news is open to."}, func() float64 { return float64(hub.Viewers()) }))
	return hub
}

// watch asks the stores what is new while anyone looks, until ctx ends.
func (s *Server) watch(ctx context.Context) error {
	toldAt := map[string]time.Time{}
	s.live.Watch(ctx, s.sources(), lookEvery, lookTimeout, func(source string, err error) {
		if now := s.deps.Now(); now.Sub(toldAt[source]) >= faultsEvery {
			toldAt[source] = now
			s.deps.Log.Warn("a store cannot be asked what is new", "store", source, "err", err)
		}
	})
	return nil
}

// sources are the stores that viewers look at.
func (s *Server) sources() []live.Source {
	list := []live.Source{{Name: "registry", What: []string{api.ChangedModel}, Mark: s.markModels}}
	newest := time.Time{}
	if s.deps.Journal != nil {
		list = append(list, live.Source{Name: "journal", What: []string{api.ChangedDecision, api.ChangedForecast},
			Mark: func(ctx context.Context) (string, time.Time, error) {
				ticks, err := s.deps.Journal.Ticks(ctx, s.since(newest), view.FarFuture())
				if err != nil || len(ticks) == 0 {
					return "", newest, err
				}
				newest = ticks[len(ticks)-1]
				return newest.UTC().Format(time.RFC3339), newest, nil
			}})
	}
	if m, ok := s.deps.Samples.(Marker); ok {
		list = append(list, live.Source{Name: "data", What: []string{api.ChangedSamples}, Mark: func(ctx context.Context) (string, time.Time, error) {
			mark, err := m.Mark(ctx, s.since(newest).Add(-24*time.Hour))
			if s.cfg.Replay { // whose clock is not that of the data
				return mark, newest, err
			}
			return mark, time.Time{}, err
		}})
	}
	return list
}

// since is when to look from: around what was newest, or the clock.
func (s *Server) since(newest time.Time) time.Time {
	if newest.IsZero() && !s.cfg.Replay {
		return s.deps.Now().Add(-24 * time.Hour)
	}
	return newest
}

// Marker is what Samples may be besides: it tells, cheaply, when there is something
// new. The mark is another one then.
type Marker interface {
	// Mark looks at what speaks of days from the given one on.
	Mark(ctx context.Context, from time.Time) (string, error)
}

// markModels changes when a model stands otherwise. It does no I/O.
func (s *Server) markModels(context.Context) (string, time.Time, error) {
	list, registry := s.catalog.Status()
	sum := fnv.New64a()
	for _, m := range list {
		failed := 0
		if m.Failure != nil {
			failed = max(1, m.Failure.Version)
		}
		fmt.Fprintln(sum, m.Name, m.State, m.Champion, m.Serving, failed, m.Shadow, m.Pinned)
	}
	fmt.Fprintln(sum, registry.Error != "")
	return fmt.Sprint(sum.Sum64()), time.Time{}, nil
}
