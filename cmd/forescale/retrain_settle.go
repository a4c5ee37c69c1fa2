package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/models/gate"
)

// programName is who a change of the champion is by.
const programName = "forescale retrain"

// settle puts the challenger into the registry with the verdict on it, and then, if
// that says so, moves the champion. Whoever is killed in between leaves the champion
// as it was, and the next run of the day goes on from there. model is nil when the
// challenger is in the registry already.
func (r *retrain) settle(ctx context.Context, res *retrained, rv rivals, m models.Manifest, model []byte, in gate.Input) error {
	if model != nil {
		in.Challenger.SizeBytes = int64(len(model))
	}
	e := r.newEvidence(res.Group, in, m.Version)
	res.Input, res.Verdict = &e.Input, &e.Verdict
	switch {
	case r.dryRun:
		res.Outcome = dryKept
		if e.Verdict.Promote {
			res.Outcome = dryPromoted
		}
		return nil
	case rv.own == 0 && !e.Verdict.Promote:
		// The first version of a name serves at once, unless it is not there.
		res.Outcome = kept
		res.note("the challenger was not put into the registry, where the first version of a name serves at once")
		return nil
	}
	if model != nil {
		var err error
		if m, err = r.reg.Put(ctx, m, model); err != nil {
			return err
		}
		e = r.newEvidence(res.Group, in, m.Version)
		res.Verdict = &e.Verdict
	}
	res.Challenger = m.Version
	raw, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("verdict: %w", err)
	}
	switch err := r.reg.PutVerdict(ctx, m.Name, m.Version, raw); {
	case errors.Is(err, models.ErrConflict):
		res.Outcome = overtaken
		res.note(err.Error())
		return nil
	case err != nil:
		return err
	}
	if rv.own == 0 {
		return r.first(ctx, res, e, raw)
	}
	if !e.Verdict.Promote {
		res.Outcome = kept
		return nil
	}
	return r.promote(ctx, res, rv.own, e)
}

// first records why the first version of a name serves, which it does since it was
// put there.
func (r *retrain) first(ctx context.Context, res *retrained, e evidence, raw json.RawMessage) error {
	err := r.reg.Explain(ctx, res.Group, models.Change{Version: res.Challenger, By: programName, Why: why(e), Evidence: raw})
	if errors.Is(err, models.ErrConflict) {
		res.Outcome = overtaken
		res.note(err.Error())
		return nil
	}
	res.Outcome = promoted
	return err
}

// promote moves the champion from one version to the challenger, unless somebody
// else has moved it.
func (r *retrain) promote(ctx context.Context, res *retrained, from int, e evidence) error {
	raw, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	if r.dryRun {
		res.Outcome = dryPromoted
		return nil
	}
	err = r.reg.Move(ctx, res.Group, models.Change{Version: res.Challenger, From: from, At: r.now(), By: programName, Why: why(e), Evidence: raw})
	switch {
	case errors.Is(err, models.ErrConflict):
		res.Outcome = overtaken
		res.note(err.Error())
		return nil
	case errors.Is(err, models.ErrPinned):
		res.Outcome = kept
		res.note(err.Error())
		return nil
	}
	res.Outcome = promoted
	return err
}

// why says in one sentence what a promotion rests on: the check of the cost.
func why(e evidence) string {
	for _, reason := range e.Verdict.Reasons {
		if reason.Check == gate.CheckCost {
			return reason.Detail
		}
	}
	return "every check has passed"
}
