package server

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/server/oip"
)

// The Open Inference Protocol over HTTP lies under one path. Its errors are not
// problems but, as the protocol has it, {"error": "…"}.
const (
	v2Root      = "/v2"
	v2Model     = "/v2/models/:model"
	v2Version   = "/v2/models/:model/versions/:version"
	v2Control   = "/v2/repository/models/:model"
	octetStream = echo.MIMEOctetStream
)

// routeV2 adds the routes of the protocol.
func (s *Server) routeV2(e *echo.Echo) {
	get := func(path string, handler echo.HandlerFunc) {
		e.GET(path, handler)
		e.HEAD(path, handler)
	}
	get(v2Root, s.v2Server)
	get(v2Root+"/", s.v2Server)
	get(v2Root+"/health/live", func(c echo.Context) error { return c.JSON(http.StatusOK, map[string]bool{"live": true}) })
	get(v2Root+"/health/ready", s.v2Ready)
	for _, model := range []string{v2Model, v2Version} {
		get(model, s.v2Metadata)
		get(model+"/ready", s.v2ModelReady)
		e.POST(model+"/infer", s.v2Infer)
	}
	e.POST(v2Root+"/repository/index", s.v2Index)
	e.POST(v2Control+"/load", s.v2Load)
	e.POST(v2Control+"/unload", s.v2Unload)
}

// isV2 reports whether a path belongs to the protocol.
func isV2(path string) bool { return path == v2Root || strings.HasPrefix(path, v2Root+"/") }

// writeV2Error answers with an error in the protocol's form.
func writeV2Error(w http.ResponseWriter, p *api.Problem) error {
	text := p.Detail
	if p.Field != "" {
		text = p.Field + ": " + text
	}
	body, err := json.Marshal(map[string]string{"error": text})
	if err != nil {
		return err
	}
	return writeBody(w, p.Status, echo.MIMEApplicationJSON, body)
}

// v2Server answers GET /v2.
func (s *Server) v2Server(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string]any{"name": serverName, "version": cli.Version, "extensions": extensions})
}

// v2Ready answers GET /v2/health/ready.
func (s *Server) v2Ready(c echo.Context) error {
	if err := s.readiness(); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]bool{"ready": true})
}

// modelParam returns the name and the version of the path; no version is "". A name
// may hold any character that the path escapes.
func modelParam(c echo.Context) (name, version string, err error) {
	name, version = c.Param("model"), c.Param("version")
	if c.Request().URL.RawPath != "" { // then the router has matched the escaped path
		if name, err = url.PathUnescape(name); err != nil {
			return "", "", problem(http.StatusBadRequest, "model", "%v", err)
		}
	}
	if name == "" || len(name) > api.MaxNameLen {
		return "", "", problem(http.StatusBadRequest, "model", "must be 1 to %d bytes long", api.MaxNameLen)
	}
	if version == "" && strings.Contains(c.Path(), ":version") {
		return "", "", problem(http.StatusBadRequest, "version", "is empty")
	}
	return name, version, nil
}

// v2Metadata answers GET /v2/models/{model}[/versions/{version}].
func (s *Server) v2Metadata(c echo.Context) error {
	name, version, err := modelParam(c)
	if err != nil {
		return err
	}
	m, err := s.metadata(c.Request().Context(), name, version)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, m)
}

// v2ModelReady answers GET /v2/models/{model}[/versions/{version}]/ready. A model
// that is not loaded yet is loaded: whoever waits for it to be ready would
// otherwise wait for ever.
func (s *Server) v2ModelReady(c echo.Context) error {
	name, version, err := modelParam(c)
	if err != nil {
		return err
	}
	v, err := s.version(c.Request().Context(), name, version)
	if err != nil {
		return err
	}
	v.Release()
	return c.JSON(http.StatusOK, map[string]any{"name": name, "ready": true})
}

// v2Infer answers POST /v2/models/{model}[/versions/{version}]/infer.
func (s *Server) v2Infer(c echo.Context) error {
	name, version, err := modelParam(c)
	if err != nil {
		return err
	}
	body, err := s.bodyOf(c, nil, echo.MIMEApplicationJSON, octetStream, echo.MIMEApplicationForm)
	if err != nil {
		return err
	}
	header := 0
	if text := c.Request().Header.Get(oip.HeaderLength); text != "" {
		if header, err = strconv.Atoi(text); err != nil || header < 1 {
			return problem(http.StatusBadRequest, oip.HeaderLength, "%.40q is not the length of the JSON in bytes", text)
		}
	}
	req, err := oip.Parse(body, header)
	if err != nil {
		return err
	}
	response, err := s.infer(c.Request().Context(), name, version, req)
	if err != nil {
		return err
	}
	answer, header, err := response.Encode()
	if err != nil {
		return err
	}
	if header == 0 {
		return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, answer)
	}
	c.Response().Header().Set(oip.HeaderLength, strconv.Itoa(header))
	return c.Blob(http.StatusOK, octetStream, answer)
}

// v2Index answers POST /v2/repository/index.
func (s *Server) v2Index(c echo.Context) error {
	body, err := s.body(c, nil)
	if err != nil {
		return err
	}
	onlyReady, err := oip.ParseIndex(body)
	if err != nil {
		return err
	}
	if err := s.readiness(); err != nil && !s.draining.Load() {
		return err // an empty list would say that there is nothing
	}
	return c.JSON(http.StatusOK, s.repositoryIndex(onlyReady))
}

// v2Load answers POST /v2/repository/models/{model}/load.
func (s *Server) v2Load(c echo.Context) error {
	return s.control(c, func(name string) error { return s.loadModel(c.Request().Context(), name) })
}

// v2Unload answers POST /v2/repository/models/{model}/unload.
func (s *Server) v2Unload(c echo.Context) error { return s.control(c, s.unloadModel) }

// crossOrigin tells requests that a browser makes for some other site's page.
var crossOrigin = http.NewCrossOriginProtection()

// control reads a request to change what is loaded, and does it, unless it is some
// web page's doing.
func (s *Server) control(c echo.Context, do func(name string) error) error {
	name, _, err := modelParam(c)
	if err != nil {
		return err
	}
	if err := crossOrigin.Check(c.Request()); err != nil {
		return problem(http.StatusForbidden, "", "%v", err)
	}
	body, err := s.bodyOf(c, nil, echo.MIMEApplicationJSON)
	if err != nil {
		return err
	}
	if err := oip.ParseControl(body); err != nil {
		return err
	}
	if err := do(name); err != nil {
		return err
	}
	return c.NoContent(http.StatusOK)
}
