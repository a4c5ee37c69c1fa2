package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/models/gate"
	"github.com/forescale/forescale/scaler/backtest"
	"github.com/forescale/forescale/trainer"
	"github.com/forescale/forescale/trainer/onnx"
)

// rivals are the models of a group before it is retrained.
type rivals struct {
	// champion serves the group now; nil: none does. It may be a model of another
	// name, that serves several groups.
	champion *servedModel
	// own is the version that serves under the group's own name, 0 for none.
	own int
	// waiting is a challenger of today that nobody has judged; nil: there is none.
	waiting *servedModel
}

// group retrains one group. The result says what came of it; the error, why nothing
// did.
func (r *retrain) group(ctx context.Context, read reading, group string) (res retrained, err error) {
	started := r.now()
	res = retrained{Group: group}
	defer func() { res.Seconds = r.now().Sub(started).Seconds() }()
	rv, done, err := r.rivals(ctx, group, &res)
	if done || err != nil {
		return res, err
	}
	g, err := read(ctx, group)
	if err != nil {
		return res, err
	}
	e, err := r.exam(g, rv, &res)
	if err != nil {
		return res, err
	}
	challenger, model := rv.waiting, []byte(nil)
	if challenger == nil {
		if challenger, model, err = r.train(ctx, e, &res); err != nil {
			return res, err
		}
	}
	in, err := r.judge(ctx, e, challenger, rv.champion)
	if err != nil {
		return res, err
	}
	return res, r.settle(ctx, &res, rv, challenger.manifest, model, in)
}

// rivals finds who serves the group, and whether anything is left to do today.
func (r *retrain) rivals(ctx context.Context, group string, res *retrained) (rv rivals, done bool, err error) {
	serving, err := r.reg.ForGroup(ctx, group)
	if errors.Is(err, models.ErrNoModel) {
		return rv, false, r.nameFree(ctx, group)
	}
	if err != nil {
		return rv, false, err
	}
	if serving.Spec.Target == "" {
		return rv, false, fmt.Errorf("model %q was not trained by Forescale: nothing is known of what it forecasts, and it has no champion to move", serving.Name)
	}
	switch {
	case serving.Name != group:
		err = r.nameFree(ctx, group)
	case len(serving.Groups) != 1 || serving.Groups[0] != group:
		err = fmt.Errorf("model %q serves %v: a model that groups share is trained by 'forescale-trainer -shared', and promoted by hand", group, serving.Groups)
	default:
		rv.own = serving.Version
	}
	if err != nil {
		return rv, false, err
	}
	res.Champion, res.ChampionName = serving.Version, serving.Name
	if done, err = r.today(ctx, group, &rv, res); done || err != nil {
		return rv, done, err
	}
	rv.champion, err = r.read(ctx, serving.Name, serving.Version)
	return rv, false, err
}

// nameFree returns an error when the group's name is taken by a model that does not
// serve it.
func (r *retrain) nameFree(ctx context.Context, group string) error {
	switch m, err := r.reg.Champion(ctx, group); {
	case errors.Is(err, models.ErrNoModel):
		return nil
	case err != nil:
		return err
	default:
		return fmt.Errorf("the name %q belongs to a model that serves %v, not the group", group, m.Groups)
	}
}

// read returns a version of the registry, ready to forecast.
func (r *retrain) read(ctx context.Context, name string, version int) (*servedModel, error) {
	m, model, err := r.reg.Get(ctx, name, version)
	if err != nil {
		return nil, err
	}
	if err := window.Check(m.Spec); err != nil {
		return nil, fmt.Errorf("%s: %w", titled(m), err)
	}
	s := &servedModel{manifest: m}
	if s.program, err = onnx.Load(model); err != nil {
		return nil, fmt.Errorf("%s: %w", titled(m), err)
	}
	return s, nil
}

// today looks at the newest version of the group's own name. A challenger that was
// made today is not made again: it has been judged, it waits for its judgement, or
// its promotion was cut short and is completed.
func (r *retrain) today(ctx context.Context, group string, rv *rivals, res *retrained) (done bool, err error) {
	versions, err := r.reg.Versions(ctx, group)
	if err != nil || len(versions) == 0 || r.again {
		return false, err
	}
	newest, err := r.reg.Manifest(ctx, group, versions[len(versions)-1])
	if err != nil {
		return false, err
	}
	if dayOf(newest.CreatedAt) != dayOf(r.now()) {
		return false, nil
	}
	res.Challenger = newest.Version
	if newest.Version == rv.own {
		res.passOver("version %d was trained today and serves; -again trains another one", newest.Version)
		return true, nil
	}
	kept, err := r.verdict(ctx, group, newest.Version)
	switch {
	case errors.Is(err, blob.ErrNotFound):
		rv.waiting, err = r.read(ctx, group, newest.Version)
		return false, err
	case err != nil:
		return false, err
	}
	res.Input, res.Verdict = &kept.Input, &kept.Verdict
	if c := kept.Input.Champion; kept.Verdict.Promote && c != nil && c.Model == group && c.Version == rv.own {
		changes, err := r.reg.History(ctx, group)
		if err != nil {
			return false, err
		}
		// A version that has served since and was rolled back is not promoted again.
		for _, change := range changes {
			if change.Version == newest.Version {
				res.passOver("version %d was promoted today, and serves no more", newest.Version)
				return true, nil
			}
		}
		return true, r.promote(ctx, res, rv.own, kept)
	}
	res.passOver("version %d was trained and judged today; -again trains another one", newest.Version)
	return true, nil
}

func dayOf(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// exam prepares what both models are judged on.
func (r *retrain) exam(g *window.Grid, rv rivals, res *retrained) (*exam, error) {
	h := &history{name: g.Group}
	var err error
	if h.target, err = targetIn(g, r.target, rv.champion); err != nil {
		return nil, err
	}
	if h.grid = g.FromFirst(h.target); h.grid.Len() == 0 {
		return nil, fmt.Errorf("group %q: %s has no value at all", g.Group, h.target)
	}
	if r.calendar != nil {
		h.flags = r.calendar
	}
	var unseen time.Time
	who := ""
	for _, m := range []*servedModel{rv.champion, rv.waiting} {
		if m == nil {
			continue
		}
		until := m.manifest.TrainedUntil
		if until.IsZero() {
			return nil, fmt.Errorf("the manifest of %s does not say until when it was trained: nothing is known to be new to it", titled(m.manifest))
		}
		if until.After(unseen) {
			unseen, who = until, titled(m.manifest)
		}
	}
	e, note, err := newExam(h, r.test, r.gate.MinSlots, unseen, who)
	if err != nil {
		return nil, err
	}
	if note != "" {
		res.note(note)
	}
	e.policy, e.lead = r.policy, r.lead(g.Group, r.leadTime)
	for _, m := range []*servedModel{rv.champion, rv.waiting} {
		if m == nil {
			continue
		}
		if err := e.suits(m); err != nil {
			return nil, fmt.Errorf("they cannot be compared: %w", err)
		}
	}
	return e, nil
}

// train fits a challenger to what lies before the exam.
func (r *retrain) train(ctx context.Context, e *exam, res *retrained) (*servedModel, []byte, error) {
	g := e.history.grid
	c := r.trainer
	c.Target, c.Now = e.history.target, r.now
	if c.Horizon == 0 {
		c.Horizon = trainedHorizon
	}
	c.Horizon = max(c.Horizon, e.steps())
	c.Progress = func(p trainer.Progress) { r.show.update(g.Group+": training", p.Done) }
	data := trainer.Data{Grid: g}
	if r.calendar != nil {
		data.Flags, data.FlagNames, data.CalendarHash = r.calendar, r.calendar.Flags(), r.calendar.Hash()
	}
	result, err := trainer.Train(ctx, c, data.FitUntil(e.fitUntil()))
	if err != nil {
		return nil, nil, fmt.Errorf("train a challenger: %w", err)
	}
	for _, note := range result.Notes {
		res.note(note)
	}
	m := &servedModel{manifest: result.Manifest}
	m.manifest.Name = g.Group
	m.program, err = onnx.Load(result.Model)
	return m, result.Model, err
}

// judge examines the challenger and its rival.
func (r *retrain) judge(ctx context.Context, e *exam, challenger, champion *servedModel) (in gate.Input, err error) {
	stage := func(who string) func(float64) { return r.show.stage(e.history.name + ": " + who + " in the backtest") }
	if in.Challenger, err = e.sit(ctx, challenger, stage("challenger")); err != nil {
		return in, err
	}
	var rival gate.Result
	if champion != nil {
		rival, err = e.sit(ctx, champion, stage("champion"))
		in.Champion = &rival
	} else {
		rival, err = e.persist(ctx, stage("persistence"))
		in.Persistence = &rival
	}
	return in, err
}

// evidence is what a move of the champion rests on, as it is kept with it.
type evidence struct {
	Policy      string       `json:"policy"` // whose fleets were compared
	LeadMinutes int          `json:"lead_minutes"`
	AllowedPct  float64      `json:"allowed_violation_pct"` // at which costs are compared
	Program     string       `json:"program"`
	Input       gate.Input   `json:"input"`
	Verdict     gate.Verdict `json:"verdict"`
}

func (r *retrain) verdict(ctx context.Context, name string, version int) (e evidence, err error) {
	raw, err := r.reg.Verdict(ctx, name, version)
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return e, fmt.Errorf("verdict on %s version %d: %w", name, version, err)
	}
	return e, nil
}

// newEvidence judges; the version is that of the challenger, once it has one.
func (r *retrain) newEvidence(group string, in gate.Input, version int) evidence {
	in.Challenger.Version = version
	return evidence{Policy: r.policy.Name, LeadMinutes: int(r.lead(group, r.leadTime) / time.Minute), AllowedPct: backtest.Allowed,
		Program: r.version, Input: in, Verdict: r.gate.Judge(in)}
}
