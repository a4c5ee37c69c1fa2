package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server/access"
	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/catalog"
	"github.com/forescale/forescale/server/oip"
	"github.com/forescale/forescale/server/request"
)

// problem returns a problem whose title is the meaning of the status.
func problem(status int, field, format string, args ...any) *api.Problem {
	return &api.Problem{Title: http.StatusText(status), Status: status, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// statusClientClosed is what a request is counted as whose client has gone away.
// Nobody reads it.
const statusClientClosed = 499

// problemOf turns any error into the problem to answer. What is not known to be
// fit for the client becomes a bare 500; the caller logs it.
func problemOf(err error) *api.Problem {
	var (
		known    *api.Problem
		parse    *request.Error
		tooLarge *http.MaxBytesError
		protocol *oip.Error
		registry *catalog.RegistryError
		load     *catalog.LoadError
		he       *echo.HTTPError
		refusal  *access.Refusal
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &refusal):
		return problemOfRefusal(refusal)
	case errors.As(err, &parse):
		return problem(http.StatusBadRequest, parse.Field, "%s (byte %d)", parse.Detail, parse.Offset)
	case errors.As(err, &protocol):
		return problem(http.StatusBadRequest, protocol.Field, "%s", protocol.Detail)
	case errors.As(err, &tooLarge):
		return problem(http.StatusRequestEntityTooLarge, "", "the body is larger than %d bytes", tooLarge.Limit)
	case errors.As(err, &load): // the reason may be that a file of a model that there is, is not there
		return problem(http.StatusServiceUnavailable, "", "%v", err)
	case errors.Is(err, models.ErrNoModel):
		return problem(http.StatusNotFound, "", "%v", err)
	case errors.Is(err, batch.ErrFull):
		return problem(http.StatusTooManyRequests, "", "%v; try again later", err)
	case errors.As(err, &registry), errors.Is(err, catalog.ErrClosed), errors.Is(err, catalog.ErrUnloaded):
		return problem(http.StatusServiceUnavailable, "", "%v", err)
	case errors.Is(err, context.DeadlineExceeded):
		return problem(http.StatusServiceUnavailable, "", "the request was not done in time")
	case errors.Is(err, context.Canceled):
		return problem(statusClientClosed, "", "the client has gone away")
	case errors.As(err, &he):
		return problem(he.Code, "", "%s", echoDetail(he))
	}
	return problem(http.StatusInternalServerError, "", "the server could not answer; its log says why")
}

// reasons are what reasonOf may return.
var reasons = []string{"bad_request", "not_found", "too_large", "forbidden", "too_many", "client_gone", "unavailable", "timeout", "internal"}

// reasonOf returns why a request failed, for metrics.
func reasonOf(err error) string {
	if st, ours := status.FromError(err); ours && st.Code() == codes.NotFound {
		return "not_found" // the health of no service
	}
	if errors.Is(err, errGone) {
		return "client_gone"
	}
	p := problemOf(err)
	if errors.Is(err, context.DeadlineExceeded) && p.Status == http.StatusServiceUnavailable {
		return "timeout"
	}
	switch p.Status {
	case http.StatusNotFound:
		return "not_found"
	case http.StatusRequestEntityTooLarge:
		return "too_large"
	case http.StatusUnauthorized, http.StatusForbidden:
		return "forbidden"
	case http.StatusTooManyRequests:
		return "too_many"
	case statusClientClosed:
		return "client_gone"
	case http.StatusServiceUnavailable:
		return "unavailable"
	case http.StatusInternalServerError:
		return "internal"
	}
	if p.Status < http.StatusInternalServerError {
		return "bad_request"
	}
	return "internal"
}

// echoDetail says in a sentence what the router refused.
func echoDetail(he *echo.HTTPError) string {
	switch he.Code {
	case http.StatusNotFound:
		return "there is nothing at this path; /openapi.yaml lists what there is"
	case http.StatusMethodNotAllowed:
		return "the method is not allowed at this path; the header Allow lists those that are"
	}
	return fmt.Sprint(he.Message)
}

// retryAfter is what a client that was turned away is told to wait, in seconds.
const retryAfter = 1

// writeProblem answers with a problem.
func writeProblem(w http.ResponseWriter, p *api.Problem) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return writeBody(w, p.Status, api.ProblemType, body)
}

// writeBody answers with the body of an error.
func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) error {
	h := w.Header()
	h.Set(echo.HeaderContentType, contentType)
	h.Set(echo.HeaderCacheControl, "no-store")
	if (status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable) && h.Get(echo.HeaderRetryAfter) == "" {
		h.Set(echo.HeaderRetryAfter, strconv.Itoa(retryAfter))
	}
	w.WriteHeader(status)
	_, err := w.Write(body)
	return err
}
