package server

import (
	"context"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

// Backtests are the reports that `forescale backtest -publish` has put beside the
// journal. reports.Reports is one.
type Backtests interface {
	// List returns the reports, the newest first.
	List(ctx context.Context) ([]api.BacktestEntry, error)
	// Get returns a report as JSON; the error wraps blob.ErrNotFound when there is none.
	Get(ctx context.Context, name string) ([]byte, error)
}

// showBacktests answers GET /api/v1/backtests.
func (s *Server) showBacktests(c echo.Context) error {
	return s.show(c, "backtests", func(ctx context.Context) (any, error) {
		out := api.BacktestList{Backtests: []api.BacktestEntry{}}
		if s.deps.Backtests == nil {
			return out, nil
		}
		list, err := s.deps.Backtests.List(ctx)
		if err != nil {
			out.Warnings = append(out.Warnings, "reports: "+err.Error())
		}
		out.Backtests = append(out.Backtests, list...)
		return out, ctx.Err()
	})
}

// showBacktest answers GET /api/v1/backtests/{report} with the report as it is.
func (s *Server) showBacktest(c echo.Context) error {
	name, err := nameParam(c, "report")
	if err != nil {
		return err
	}
	if s.deps.Backtests == nil {
		return problem(http.StatusNotFound, "report", "no reports are kept here")
	}
	report, err := s.deps.Backtests.Get(c.Request().Context(), name)
	switch {
	case errors.Is(err, blob.ErrNotFound):
		return problem(http.StatusNotFound, "report", "there is no report %.80q", name)
	case err != nil:
		return err
	}
	return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, report)
}
