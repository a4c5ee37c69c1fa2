package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
	dto "github.com/prometheus/client_model/go"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/models/gate"
	"github.com/forescale/forescale/server/catalog"
)

// Models is the model registry beyond what serving needs of it: what pages show, and
// what they may change. models.Registry is one.
type Models interface {
	Versions(ctx context.Context, name string) ([]int, error)
	Champion(ctx context.Context, name string) (models.Manifest, error)
	Manifest(ctx context.Context, name string, version int) (models.Manifest, error)
	History(ctx context.Context, name string) ([]models.Change, error)
	Orders(ctx context.Context, name string) (models.Orders, error)
	Verdict(ctx context.Context, name string, version int) (json.RawMessage, error)

	Move(ctx context.Context, name string, c models.Change) error
	RollBack(ctx context.Context, name string, c models.Change) (models.Change, error)
	Pin(ctx context.Context, name string, o models.Order) error
	Unpin(ctx context.Context, name string, version int) error
	SetShadow(ctx context.Context, name string, shadow *models.Order) error
}

// modelList answers GET /api/v1/models.
type modelList struct {
	Registry catalog.RegistryStatus `json:"registry"`
	Models   []modelStatus          `json:"models"`
}

// modelStatus is how a model stands and fares, and answers GET /api/v1/models/{model}
// with what the registry knows of it besides.
type modelStatus struct {
	catalog.Status
	Live      *api.ModelLive   `json:"live,omitempty"`
	Shadowing *api.ModelShadow `json:"shadowing,omitempty"`
	Record    *api.ModelRecord `json:"record,omitempty"`
}

// showModels answers GET /api/v1/models.
func (s *Server) showModels(c echo.Context) error {
	return s.show(c, "models", func(ctx context.Context) (any, error) {
		list, registry := s.modelStatuses(ctx)
		return modelList{registry, list}, nil
	})
}

// modelStatuses returns how all models stand. The journal, which tells how they fare,
// may be away; that is no reason not to answer.
func (s *Server) modelStatuses(ctx context.Context) ([]modelStatus, catalog.RegistryStatus) {
	list, registry := s.catalog.Status()
	live, err := s.view.Live(ctx)
	if err != nil {
		s.deps.Log.Debug("journal cannot be read for the models", "err", err)
	}
	out := make([]modelStatus, len(list))
	for i, status := range list {
		out[i].Status = status
		if one, known := live[status.Name]; known {
			out[i].Live = &one
		}
		if status.Shadow != 0 {
			out[i].Shadowing = s.metrics.shadowOf(status.Name)
		}
	}
	return out, registry
}

// showModel answers GET /api/v1/models/{model}.
func (s *Server) showModel(c echo.Context) error {
	name, err := nameParam(c, "model")
	if err != nil {
		return err
	}
	return s.show(c, "model "+name, func(ctx context.Context) (any, error) {
		list, _ := s.modelStatuses(ctx)
		i := slices.IndexFunc(list, func(m modelStatus) bool { return m.Name == name })
		if i < 0 {
			return nil, problem(http.StatusNotFound, "model", "there is no model %.80q", name)
		}
		one := list[i]
		if s.deps.Models != nil {
			one.Record = recordOf(ctx, s.deps.Models, name, one.Champion)
		}
		return one, ctx.Err()
	})
}

// mostListed bounds the versions and the changes of a model in one answer.
const mostListed = 50

// recordOf reads what the registry knows of a model, as far as it can be read.
func recordOf(ctx context.Context, registry Models, name string, champion int) *api.ModelRecord {
	r := &api.ModelRecord{Versions: []api.ModelVersion{}, History: []api.ModelMove{}, Pinned: []api.ModelOrder{}}
	note := func(err error) {
		if err != nil {
			r.Problems = append(r.Problems, fmt.Sprintf("%.500s", err))
		}
	}
	versions, err := registry.Versions(ctx, name)
	note(err)
	slices.Reverse(versions)
	for _, version := range versions[:min(len(versions), mostListed)] {
		r.Versions = append(r.Versions, versionOf(ctx, registry, name, version, champion))
	}
	changes, err := registry.History(ctx, name)
	if !errors.Is(err, models.ErrNoModel) { // a foreign model has none
		note(err)
	}
	for _, change := range changes[:min(len(changes), mostListed)] {
		r.History = append(r.History, api.ModelMove{Version: change.Version, From: change.From, At: change.At, By: change.By, Why: change.Why, RollBack: change.RollBack})
	}
	orders, err := registry.Orders(ctx, name)
	note(err)
	for _, o := range orders.Pinned {
		r.Pinned = append(r.Pinned, api.ModelOrder(o))
	}
	if o := orders.Shadow; o != nil {
		shadow := api.ModelOrder(*o)
		r.Shadow = &shadow
	}
	return r
}

// versionOf reads one version.
func versionOf(ctx context.Context, registry Models, name string, version, champion int) api.ModelVersion {
	v := api.ModelVersion{Version: version, Champion: version == champion, Scores: []api.ModelScore{}}
	m, err := registry.Manifest(ctx, name, version)
	if err != nil {
		if !errors.Is(err, models.ErrNoModel) { // a foreign model has no manifest
			v.Problem = fmt.Sprintf("%.500s", err)
		}
		return v
	}
	v.Preset, v.CreatedAt, v.TrainedFrom, v.TrainedUntil, v.SizeBytes = m.Preset, m.CreatedAt, m.TrainedFrom, m.TrainedUntil, m.SizeBytes
	for _, h := range m.Scores {
		score := api.ModelScore{Minutes: h.Minutes, Slots: h.N, WAPE: finite(h.Model.WAPE), MAE: finite(h.Model.MAE), Skill: finite(h.Model.Skill),
			Coverage80: h.Model.Coverage80, Coverage90: h.Model.Coverage90, Baselines: map[string]*float64{}}
		for name, baseline := range h.Baselines {
			score.Baselines[name] = finite(baseline.WAPE)
		}
		v.Scores = append(v.Scores, score)
	}
	switch raw, err := registry.Verdict(ctx, name, version); {
	case err == nil:
		v.Judged = judged(raw)
	case !errors.Is(err, blob.ErrNotFound):
		v.Problem = fmt.Sprintf("%.500s", err)
	}
	return v
}

// judged returns what the gate found, out of the evidence that is kept beside a
// version; nil when that is of another kind.
func judged(raw json.RawMessage) *api.ModelVerdict {
	var kept struct {
		Verdict *gate.Verdict `json:"verdict"`
	}
	if json.Unmarshal(raw, &kept) != nil || kept.Verdict == nil {
		return nil
	}
	v := &api.ModelVerdict{Promote: kept.Verdict.Promote, Summary: "every check passed"}
	for _, reason := range kept.Verdict.Reasons {
		if !reason.Passed {
			v.Summary = reason.Detail
			break
		}
	}
	return v
}

// finite returns a figure, nil where it is none.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// modelVerbs are the changes of a model.
var modelVerbs = []string{"promote", "rollback", "pin", "unpin", "shadow"}

// changes returns the registry if requests may change it, nil if they may not.
func (s *Server) changes() Models {
	if !s.cfg.ModelControl {
		return nil
	}
	return s.deps.Models
}

// changeModel answers POST /api/v1/models/{model}/{change}. Everything that was asked
// for, also what was refused, is in the log.
func (s *Server) changeModel(c echo.Context) error {
	name, err := nameParam(c, "model")
	if err != nil {
		return err
	}
	verb := c.Param("change")
	if !slices.Contains(modelVerbs, verb) {
		return problem(http.StatusNotFound, "change", "%.40q is none of %s", verb, strings.Join(modelVerbs, ", "))
	}
	if err := crossOrigin.Check(c.Request()); err != nil {
		return problem(http.StatusForbidden, "", "%v", err)
	}
	registry := s.changes()
	if registry == nil {
		return problem(http.StatusForbidden, "", "models are not changed by request here; server.model_control: true permits it")
	}
	asked, err := s.readChange(c, verb)
	if err != nil {
		return err
	}
	done, err := s.change(c.Request().Context(), registry, name, verb, asked, by(c))
	outcome := "done"
	if err != nil {
		outcome = err.Error()
	}
	s.audit(c, "model "+verb, by(c), "model", name, "version", done.Version, "from", done.From, "reason", asked.Reason, "outcome", outcome)
	if err != nil {
		return changeProblem(err)
	}
	if err := s.catalog.Refresh(c.Request().Context()); err != nil {
		s.deps.Log.Debug("registry cannot be read after a change", "err", err) // the next reading will
	}
	s.live.Tell(api.Changed{What: []string{api.ChangedModel}})
	return c.JSON(http.StatusOK, done)
}

// The bounds of a reason, in characters, as `forescale models` has them.
const shortestReason, longestReason = 3, 500

// readChange reads and checks the body of a change.
func (s *Server) readChange(c echo.Context, verb string) (api.ModelChange, error) {
	var asked api.ModelChange
	body, err := s.bodyOf(c, nil, echo.MIMEApplicationJSON)
	if err != nil {
		return asked, err
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		return asked, problem(http.StatusBadRequest, "", "the body is not what a change is: %v", err)
	}
	least := 1
	if verb == "rollback" || verb == "shadow" {
		least = 0
	}
	switch n := utf8.RuneCountInString(asked.Reason); {
	case asked.Version < least || verb == "rollback" && asked.Version != 0:
		return asked, problem(http.StatusBadRequest, "version", "is %d; versions are numbers from 1 on, and a roll-back has none", asked.Version)
	case asked.From < 0:
		return asked, problem(http.StatusBadRequest, "from", "is %d; versions are numbers from 1 on", asked.From)
	case n < shortestReason || n > longestReason || strings.ContainsFunc(asked.Reason, unicode.IsControl):
		return asked, problem(http.StatusBadRequest, "reason", "must be %d to %d characters of one line: others will ask why", shortestReason, longestReason)
	}
	return asked, nil
}

// change makes a change, and returns it as it was made.
func (s *Server) change(ctx context.Context, registry Models, name, verb string, asked api.ModelChange, who string) (api.ModelMove, error) {
	now := s.deps.Now().UTC()
	done := api.ModelMove{Version: asked.Version, From: asked.From, At: now, By: who, Why: asked.Reason}
	order := models.Order{Version: asked.Version, At: now, By: who, Why: asked.Reason}
	switch verb {
	case "pin":
		return done, registry.Pin(ctx, name, order)
	case "unpin":
		return done, registry.Unpin(ctx, name, asked.Version)
	case "shadow":
		if asked.Version == 0 {
			return done, registry.SetShadow(ctx, name, nil)
		}
		return done, registry.SetShadow(ctx, name, &order)
	}
	if done.From == 0 {
		champion, err := registry.Champion(ctx, name)
		if err != nil {
			return done, err
		}
		done.From = champion.Version
	}
	move := models.Change{Version: done.Version, From: done.From, At: now, By: who, Why: asked.Reason}
	if verb == "promote" {
		if done.Version == done.From {
			return done, fmt.Errorf("model %q: version %d is the champion already: %w", name, done.Version, models.ErrConflict)
		}
		return done, registry.Move(ctx, name, move)
	}
	move, err := registry.RollBack(ctx, name, move)
	done.Version, done.RollBack = move.Version, true
	return done, err
}

// changeProblem turns the error of a change into the problem to answer.
func changeProblem(err error) error {
	switch {
	case errors.Is(err, models.ErrConflict), errors.Is(err, models.ErrPinned), errors.Is(err, models.ErrNoFormer):
		return problem(http.StatusConflict, "", "%v", err)
	case errors.Is(err, models.ErrNoModel):
		return problem(http.StatusNotFound, "", "%v", err)
	}
	return &catalog.RegistryError{Err: err}
}

// shadowOf returns what came of a model's shadow, out of the metrics.
func (m *metrics) shadowOf(name string) *api.ModelShadow {
	out := &api.ModelShadow{}
	var one dto.Metric
	if m.shadowRows.WithLabelValues(name).Write(&one) == nil {
		out.Rows = one.GetCounter().GetValue()
	}
	if m.shadowDropped.WithLabelValues(name).Write(&one) == nil {
		out.Dropped = one.GetCounter().GetValue()
	}
	for _, reason := range shadowReasons {
		if m.shadowErrors.WithLabelValues(name, reason).Write(&one) == nil {
			out.Failed += one.GetCounter().GetValue()
		}
	}
	histogram, ok := m.shadowDifference.WithLabelValues(name).(interface{ Write(*dto.Metric) error })
	if ok && histogram.Write(&one) == nil && one.GetHistogram().GetSampleCount() > 0 {
		mean := one.GetHistogram().GetSampleSum() / float64(one.GetHistogram().GetSampleCount())
		out.Difference = &mean
	}
	return out
}
