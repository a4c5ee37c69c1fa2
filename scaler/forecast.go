package scaler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
)

// maxBatch bounds the windows of one request, so that no body grows without
// bound and one bad request costs few groups their forecast.
const maxBatch = 128

// answer is what came of asking for a group's forecast.
type answer struct {
	forecast *api.Forecast // nil: none was asked for
	model    string
	version  int
}

// points returns the forecast's points, none when there is no forecast.
func (a answer) points() []float64 {
	if a.forecast == nil {
		return nil
	}
	return a.forecast.Point
}

// forecast asks for the forecasts of all groups that want one. Every such group
// has an answer, be it the reason why there is no forecast.
//
// A window that the server refuses as misshapen was cut for a model that has
// been replaced meanwhile: its manifest is read anew, once, and it is sent again.
func (t *tick) forecast(ctx context.Context, w *seen, specFaults map[string]error) map[string]answer {
	answers := map[string]answer{}
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Deadlines.Predict)
	defer cancel()
	groups := t.predicted()
	for attempt := range 2 {
		misfits := t.ask(ctx, w, groups, specFaults, answers)
		if len(misfits) == 0 {
			break
		}
		if attempt == 1 {
			t.faults = append(t.faults, fmt.Errorf("the server refuses the windows of %d groups, %s first: %w",
				len(misfits), misfits[0], answers[misfits[0]].forecast.Error))
			break
		}
		t.deps.Log.Info("windows do not fit, reading the manifests again", "groups", len(misfits))
		specFaults = t.refresh(ctx, misfits)
		groups = misfits
		if slots, _ := t.reach(); slots > w.past.slots || w.past.shallow {
			t.remember(ctx, w)
		}
	}
	t.verify(ctx, answers)
	return answers
}

// verify makes sure that a forecast is one of demand, on this grid, when another
// version answered than the one whose manifest is known: a server may be ahead of
// it, or stay behind with the version that it could load. Numbers say nothing of
// what they count, and a CPU percentage taken for instances would be acted upon.
func (t *tick) verify(ctx context.Context, answers map[string]answer) {
	type found struct {
		manifest models.Manifest
		err      error
	}
	read := map[version]found{} // each once
	for _, group := range slices.Sorted(maps.Keys(answers)) {
		a, known := answers[group], t.manifests[group]
		if a.forecast.Error != nil || a.model == known.Name && a.version == known.Version {
			continue
		}
		by := version{a.model, a.version}
		f, done := read[by]
		if !done {
			f.manifest, f.err = t.deps.Specs.Manifest(ctx, by.model, by.number)
			read[by] = f
		}
		if f.err == nil {
			f.err = t.usable(group, f.manifest)
		}
		if f.err != nil {
			a.forecast = problem(group, "unsuitable model", f.err)
			answers[group] = a
			continue
		}
		t.manifests[group] = f.manifest
	}
}

// ask cuts the windows of the groups, sends them and fills answers. It returns
// the groups whose windows did not fit.
func (t *tick) ask(ctx context.Context, w *seen, groups []string, specFaults map[string]error, answers map[string]answer) (misfits []string) {
	windows := map[string][]api.Window{} // by model name
	for _, name := range groups {
		m := t.manifests[name]
		a := answer{model: m.Name, version: m.Version}
		win, title, err := t.cut(name, w, specFaults[name])
		if err != nil {
			a.forecast = problem(name, title, err)
		} else {
			windows[m.Name] = append(windows[m.Name], win)
		}
		answers[name] = a
	}
	var mu sync.Mutex // guards answers, misfits, t.late and t.faults below
	var requests errgroup.Group
	requests.SetLimit(t.cfg.Parallel)
	for _, model := range t.inOrder(windows) {
		for batch := range slices.Chunk(windows[model], maxBatch) {
			requests.Go(func() error {
				// A model that hangs leaves the half of the time to those behind it.
				half, cancel := halfOf(ctx)
				defer cancel()
				got, err := t.request(half, model, batch)
				mu.Lock()
				defer mu.Unlock()
				if t.late[model] = errors.Is(err, context.DeadlineExceeded); !t.late[model] {
					delete(t.late, model)
				}
				if err != nil && !misfit(got[0].forecast.Error) { // a misfit gets a second chance
					t.faults = append(t.faults, fmt.Errorf("forecasts of model %s for %d groups: %w", model, len(batch), err))
				}
				for i, a := range got {
					if a.forecast.Error != nil && a.version == 0 { // say at least who was asked
						a.model, a.version = answers[batch[i].Group].model, answers[batch[i].Group].version
					}
					answers[batch[i].Group] = a
					if misfit(a.forecast.Error) {
						misfits = append(misfits, batch[i].Group)
					}
				}
				return nil
			})
		}
	}
	_ = requests.Wait() // faults are answers
	slices.Sort(misfits)
	return misfits
}

// inOrder returns the models to ask, those last that were late when they were asked
// before: of many that hang, each costs the others time only once.
func (t *tick) inOrder(windows map[string][]api.Window) []string {
	late := map[bool][]string{}
	for _, model := range slices.Sorted(maps.Keys(windows)) {
		late[t.late[model]] = append(late[t.late[model]], model)
	}
	return append(late[false], late[true]...)
}

// halfOf returns a context that ends when half of ctx's time is over.
func halfOf(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(end)/2)
}

// cut returns a group's window for its model, or what stands in the way.
func (t *tick) cut(group string, w *seen, specFault error) (win api.Window, title string, err error) {
	if specFault != nil {
		return win, "no model", specFault
	}
	m := t.manifests[group]
	if err := t.usable(group, m); err != nil {
		return win, "unsuitable model", err
	}
	g := w.past.deep(group)
	if g == nil && w.histErr != nil {
		return win, "no history", w.histErr
	}
	win, err = window.Latest(m.Spec, g, t.deps.Flags, t.at)
	if errors.Is(err, window.ErrGap) {
		return win, "gap in the metrics", err
	}
	return win, "no window", err
}

// request asks for the forecasts of one model. The result has one answer for
// each window, in order; with an error, all of them say that error.
func (t *tick) request(ctx context.Context, model string, windows []api.Window) ([]answer, error) {
	answers := make([]answer, len(windows))
	all := func(title string, err error) ([]answer, error) {
		for i, w := range windows {
			answers[i] = answer{forecast: problem(w.Group, title, err)}
		}
		return answers, err
	}
	if t.deps.Forecaster == nil {
		return all("no server", errors.New("no prediction server is configured"))
	}
	resp, err := t.deps.Forecaster.Predict(ctx, api.PredictRequest{Model: model, Windows: windows})
	if err != nil {
		return all("no forecast", err)
	}
	if len(resp.Forecasts) != len(windows) {
		return all("no forecast", fmt.Errorf("%d forecasts for %d windows", len(resp.Forecasts), len(windows)))
	}
	for i := range windows {
		f := &resp.Forecasts[i]
		answers[i] = answer{forecast: f, model: cmp.Or(f.Model, resp.Model), version: cmp.Or(f.Version, resp.Version)}
	}
	return answers, nil
}

// misfit reports whether the server found fault with the window itself.
func misfit(p *api.Problem) bool {
	return p != nil && (p.Status == http.StatusBadRequest || p.Status == http.StatusUnprocessableEntity)
}
