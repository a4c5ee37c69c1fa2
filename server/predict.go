package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server/catalog"
	"github.com/forescale/forescale/server/request"
	"github.com/forescale/forescale/server/tensor"
)

// scratch is the memory of one prediction request, for the next one.
type scratch struct {
	body    []byte
	request request.Request
	input   []float32
	answer  []byte
}

var scratches = sync.Pool{New: func() any { return &scratch{} }}

// maxScratch bounds what is kept for the next request; larger ones are rare.
const maxScratch = 1 << 20

func (m *scratch) free() {
	if cap(m.body)+4*cap(m.input)+cap(m.answer)+m.request.Size() <= maxScratch {
		scratches.Put(m)
	}
}

// predict answers POST /predict.
func (s *Server) predict(c echo.Context) error {
	m := scratches.Get().(*scratch)
	defer m.free() // all that was made of it has been written then
	var err error
	if m.body, err = s.body(c, m.body); err != nil {
		return err
	}
	if err := m.request.Parse(m.body); err != nil {
		return err
	}
	if m.request.Instances != nil {
		err = s.predictInstances(c, m)
	} else {
		err = s.predictWindows(c, m)
	}
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, m.answer)
}

func (s *Server) predictWindows(c echo.Context, m *scratch) error {
	response, err := s.forecast(c.Request().Context(), &m.request)
	if err != nil {
		return err
	}
	m.answer, err = appendResponse(m.answer[:0], &response)
	return err
}

// body reads the JSON body of a request, whole and bounded. The type of a form is
// what curl -d sends unasked. A prediction changes nothing, so taking it for JSON lets
// no other site do harm.
func (s *Server) body(c echo.Context, into []byte) ([]byte, error) {
	return s.bodyOf(c, into, echo.MIMEApplicationJSON, echo.MIMEApplicationForm)
}

// bodyOf reads a body of one of the given content types, or of none, into memory that
// may be nil; with an error too it returns memory for the next body.
func (s *Server) bodyOf(c echo.Context, into []byte, kinds ...string) ([]byte, error) {
	r := c.Request()
	if coding := r.Header.Get(echo.HeaderContentEncoding); coding != "" && !strings.EqualFold(coding, "identity") {
		// A few kilobytes of gzip unfold into gigabytes; windows are small enough
		// to come as they are.
		c.Response().Header().Set("Accept-Encoding", "identity")
		return into, problem(http.StatusUnsupportedMediaType, "", "content encoding %.40q is not supported; send the body as it is", coding)
	}
	if text := r.Header.Get(echo.HeaderContentType); text != "" && text != kinds[0] {
		if kind, _, err := mime.ParseMediaType(text); err != nil || !slices.Contains(kinds, kind) {
			return into, problem(http.StatusUnsupportedMediaType, "", "content type %.80q is not %s", text, kinds[0])
		}
	}
	limit := s.cfg.BodyLimit
	if r.ContentLength > limit {
		c.Response().Header().Set(echo.HeaderConnection, "close") // rather than read on to the end
		return into, &http.MaxBytesError{Limit: limit}
	}
	buf := bytes.NewBuffer(into[:0])
	if r.ContentLength > 0 {
		buf.Grow(int(min(r.ContentLength, 1<<20)) + bytes.MinRead) // no more than was claimed, nor much on a mere claim
	}
	if _, err := buf.ReadFrom(http.MaxBytesReader(c.Response().Writer, r.Body, limit)); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return buf.Bytes(), err
		}
		return buf.Bytes(), fmt.Errorf("%w: %w", errGone, problem(http.StatusBadRequest, "", "the body ends early: %v", cause(err)))
	}
	return buf.Bytes(), nil
}

// errGone marks the error of a client that went away, or ended its side of the
// connection, before its request was whole.
var errGone = errors.New("client gone")

// cause keeps addresses of the connection out of an answer.
func cause(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.ErrUnexpectedEOF
	}
	return errors.New("it could not be read")
}

// predictInstances answers the form that suits any model with one input.
func (s *Server) predictInstances(c echo.Context, m *scratch) error {
	ctx := c.Request().Context()
	name, err := s.instancesModel(ctx, m.request.Model)
	if err != nil {
		return err
	}
	v, err := s.catalog.Named(ctx, name)
	if err != nil {
		return inField(err, "model")
	}
	defer v.Release()
	input, err := m.instancesTensor(v)
	if err != nil {
		return err
	}
	outputs, err := s.runTensors(ctx, v, []tensor.Tensor{input})
	if err != nil {
		return err
	}
	if err := outputs[0].CheckFinite(); err != nil {
		return s.modelFault(v, fmt.Errorf("its output is not finite: %w", err))
	}
	if err := outputs[0].CheckText(); err != nil {
		return s.modelFault(v, fmt.Errorf("its output is not text: %w", err))
	}
	m.answer = append(m.answer[:0], `{"predictions":`...)
	m.answer = append(outputs[0].AppendJSON(m.answer), '}')
	return nil
}

// instancesModel returns the model to use when the request names none: the only
// one that there is.
func (s *Server) instancesModel(ctx context.Context, name string) (string, error) {
	if name != "" {
		return name, nil
	}
	known, err := s.catalog.Names(ctx)
	switch {
	case err != nil:
		return "", err
	case len(known) == 1:
		return known[0], nil
	}
	return "", problem(http.StatusBadRequest, "model", "is missing: instances do not say which of the %d models they are for", len(known))
}

// instancesTensor makes the input tensor, or a problem that says what does not fit.
func (m *scratch) instancesTensor(v *catalog.Version) (tensor.Tensor, error) {
	in := m.request.Instances
	inputs := v.Session().Inputs()
	if len(inputs) != 1 {
		return tensor.Tensor{}, problem(http.StatusUnprocessableEntity, "instances",
			"model %s has %d inputs; instances are for models with one", v.Manifest.Name, len(inputs))
	}
	if !inputs[0].Accepts(in.Shape) {
		return tensor.Tensor{}, problem(http.StatusUnprocessableEntity, "instances", "have the shape %s, model %s reads %s",
			tensor.ShapeString(in.Shape), v.Manifest.Name, inputs[0])
	}
	t, err := tensor.Convert(in.Values, inputs[0].Type, in.Shape, m.input)
	if data := t.Float32s(); data != nil {
		m.input = data
	}
	var at *tensor.IndexError
	switch {
	case errors.As(err, &at):
		return t, problem(http.StatusUnprocessableEntity, "instances"+tensor.Place(in.Shape, at.Index), "%s", at.Detail)
	case err != nil:
		return t, problem(http.StatusUnprocessableEntity, "instances", "%v", err)
	}
	return t, nil
}

// modelFault counts that a model could not answer, logs it unless much has been logged
// of that, and returns the problem for it. What a client sends may be what fails: he
// must not be able to fill a disk.
func (s *Server) modelFault(v *catalog.Version, err error) error {
	s.metrics.faults.WithLabelValues(v.Manifest.Name).Inc()
	if s.faultLog.Allow() {
		s.deps.Log.Error("model run failed", "model", v.Manifest.Name, "version", v.Manifest.Version, "err", err)
	}
	return problem(http.StatusInternalServerError, "", "model %s version %d: %v", v.Manifest.Name, v.Manifest.Version, err)
}

// inField names the field of the request that an error is about.
func inField(err error, field string) error {
	if !errors.Is(err, models.ErrNoModel) {
		return err
	}
	p := *problemOf(err)
	p.Field = field
	return &p
}

// withError returns the forecast that says why there is none.
func withError(w api.Window, p *api.Problem) api.Forecast {
	return api.Forecast{Group: w.Group, Error: p}
}
