package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/server/catalog"
	"github.com/forescale/forescale/server/view"
)

// Samples and Journal are the stores that pages show, and Calendar the events on them.
type (
	Samples  = view.Samples
	Journal  = view.Journal
	Calendar = view.Calendar
)

// page is an answer that is ready to be sent, to any number of viewers.
type page struct{ plain, zipped []byte }

// least is the size, in bytes, from which on a page is compressed.
const least = 1 << 10

// newPage encodes an answer once for all who ask for it. No page holds a secret that
// its length could betray.
func newPage(answer any) (*page, error) {
	plain, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	p := &page{plain: append(plain, '\n')}
	if len(plain) < least {
		return p, nil
	}
	var zipped bytes.Buffer
	w, err := gzip.NewWriterLevel(&zipped, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err = w.Write(p.plain); err == nil {
		err = w.Close()
	}
	p.zipped = zipped.Bytes()
	return p, err
}

// send answers with the page.
func (p *page) send(c echo.Context) error {
	h := c.Response().Header()
	h.Set(echo.HeaderVary, echo.HeaderAcceptEncoding)
	if p.zipped != nil && acceptsGzip(c.Request().Header.Get(echo.HeaderAcceptEncoding)) {
		h.Set(echo.HeaderContentEncoding, "gzip")
		return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, p.zipped)
	}
	return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, p.plain)
}

// acceptsGzip reports whether a header Accept-Encoding names gzip and does not refuse
// it.
//
// Source: RFC 9110, section 12.5.3.
func acceptsGzip(header string) bool {
	for _, part := range strings.Split(header, ",") {
		coding, weight, weighed := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		q, found := strings.CutPrefix(strings.ReplaceAll(weight, " ", ""), "q=")
		value, err := strconv.ParseFloat(q, 64)
		return !weighed || !found || err != nil || value > 0
	}
	return false
}

// show answers with what find finds, at most a second old. Any number of viewers cost
// the stores, and the encoding, one finding.
func (s *Server) show(c echo.Context, key string, find func(ctx context.Context) (any, error)) error {
	found, err := s.answers.get(c.Request().Context(), key, s.deps.Now(), func(ctx context.Context) (any, error) {
		answer, err := find(ctx)
		if err != nil {
			return nil, err
		}
		return newPage(answer)
	})
	if err != nil {
		return err
	}
	return found.(*page).send(c)
}

// showFleet answers GET /api/v1/fleet.
func (s *Server) showFleet(c echo.Context) error {
	return s.show(c, "fleet", func(ctx context.Context) (any, error) { return s.view.Fleet(ctx) })
}

// showGroups answers GET /api/v1/groups.
func (s *Server) showGroups(c echo.Context) error {
	return s.show(c, "groups", func(ctx context.Context) (any, error) { return s.view.Groups(ctx) })
}

// showGroup answers GET /api/v1/groups/{group}, as JSON or as a table.
func (s *Server) showGroup(c echo.Context) error {
	q, err := parseQuery(c)
	if err != nil {
		return err
	}
	switch format := c.QueryParam("format"); format {
	case "", "json":
		key := fmt.Sprint("group ", q.Lead, q.Points, q.From, q.To, q.Group)
		return s.show(c, key, func(ctx context.Context) (any, error) { return s.view.Group(ctx, q) })
	case "csv":
		return s.sendTable(c, q)
	default:
		return problem(http.StatusBadRequest, "format", "%.40q is not json or csv", format)
	}
}

// sendTable answers with a group's history as CSV.
func (s *Server) sendTable(c echo.Context, q view.Query) error {
	h, err := s.view.Group(c.Request().Context(), q)
	if err != nil {
		return err
	}
	var table bytes.Buffer
	if err := view.WriteCSV(&table, h); err != nil {
		return err
	}
	name := strings.Map(func(r rune) rune {
		if r < 0x7f && (r == '-' || r == '_' || r == '.' || '0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z') {
			return r
		}
		return '_'
	}, q.Group)
	c.Response().Header().Set(echo.HeaderContentDisposition, `attachment; filename="`+name+`.csv"`)
	return c.Blob(http.StatusOK, "text/csv; charset=utf-8", table.Bytes())
}

// parseQuery reads the parameters of the route.
func parseQuery(c echo.Context) (view.Query, error) {
	q := view.Query{Lead: view.DefaultLead, Points: view.MaxPoints}
	var err error
	if q.Group, err = nameParam(c, "group"); err != nil {
		return q, err
	}
	for name, into := range map[string]*time.Time{"from": &q.From, "to": &q.To} {
		text := c.QueryParam(name)
		if text == "" {
			continue
		}
		if err := into.UnmarshalText([]byte(text)); err != nil || into.IsZero() || into.Year() >= view.FarFuture().Year() {
			return q, problem(http.StatusBadRequest, name, "%.40q is not a time such as 2006-01-02T15:04:05Z", text)
		}
	}
	for _, p := range []struct {
		name   string
		into   *int
		lo, hi int
	}{{"lead", &q.Lead, 1, 1000}, {"points", &q.Points, view.MinPoints, view.MaxPoints}} {
		text := c.QueryParam(p.name)
		if text == "" {
			continue
		}
		if *p.into, err = strconv.Atoi(text); err != nil || *p.into < p.lo || *p.into > p.hi {
			return q, problem(http.StatusBadRequest, p.name, "%.40q is not a number from %d to %d", text, p.lo, p.hi)
		}
	}
	return q, nil
}

// nameParam returns the name that a part of the path is. It may hold any character,
// slashes too, when the path escapes them.
func nameParam(c echo.Context, param string) (string, error) {
	name := c.Param(param)
	if c.Request().URL.RawPath != "" { // then the router has matched the escaped path
		var err error
		if name, err = url.PathUnescape(name); err != nil {
			return "", problem(http.StatusBadRequest, param, "%v", err)
		}
	}
	if name == "" || len(name) > api.MaxNameLen {
		return "", problem(http.StatusBadRequest, param, "must be 1 to %d bytes long", api.MaxNameLen)
	}
	return name, nil
}

// standings shows the catalog to the pages.
type standings struct{ *catalog.Catalog }

// Standings implements view.Models.
func (s standings) Standings() map[string]view.Standing {
	list, _ := s.Status()
	out := make(map[string]view.Standing, len(list))
	for _, m := range list {
		one := view.Standing{Version: m.Champion, TrainedUntil: m.Manifest.TrainedUntil}
		if m.Serving != 0 {
			one.Version = m.Serving
		}
		if f := m.Failure; f != nil {
			one.Problem = f.Reason
			if m.Serving != 0 && f.Version != 0 {
				one.Problem = fmt.Sprintf("version %d was refused: %s", f.Version, f.Reason)
			}
		}
		out[m.Name] = one
	}
	return out
}

// newView returns what pages ask, with stand-ins for stores that are not configured.
func newView(cfg Config, deps Deps, known view.Models) *view.View {
	c := view.Config{Samples: deps.Samples, Journal: deps.Journal, Models: known, Calendar: deps.Calendar, Now: deps.Now, Step: deps.Step, Replay: cfg.Replay}
	if c.Samples == nil {
		c.Samples = noSamples{}
	}
	if c.Journal == nil {
		c.Journal = noJournal{}
	}
	return view.New(c)
}

// noSamples and noJournal stand in for stores that are not configured.
type (
	noSamples struct{}
	noJournal struct{}
)

func (noSamples) Scan(context.Context, string, time.Time, time.Time) ([]api.Sample, error) {
	return nil, nil
}

func (noSamples) Newest(context.Context, time.Time, time.Time) ([]api.Sample, error) { return nil, nil }

func (noSamples) Groups(context.Context, time.Time, time.Time) ([]string, error) { return nil, nil }

func (noJournal) Latest(context.Context, time.Time) (api.TickRecord, bool, error) {
	return api.TickRecord{}, false, nil
}

func (noJournal) Ticks(context.Context, time.Time, time.Time) ([]time.Time, error) { return nil, nil }

func (noJournal) Group(context.Context, string, []time.Time) ([]api.Decision, error) {
	return nil, nil
}
