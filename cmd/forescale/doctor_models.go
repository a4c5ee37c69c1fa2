package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/calendar"
	"github.com/forescale/forescale/internal/registry"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/scaler"
)

// modelAge is how old the end of a model's training data may be before retraining is
// advised: what comes every fortnight has been seen by then.
const modelAge = 14 * day

// models looks whether each group that wants forecasts has a model that can be read,
// is young, and knows the calendar's flags.
func (d *doctor) models(ctx context.Context, s *section) {
	if !d.predicts() {
		s.tell(levelNote, "wanted", "no group wants forecasts", "Every group follows its live load.", "set policy.signal: predicted for a group, in "+d.config)
		return
	}
	if dir := blob.Directory(d.common.Models); d.common.Models == "" || dir != "" && !exists(dir) {
		return // told by the stores' examination
	}
	reg, err := registry.Open(ctx, d.common, blob.WithLog(d.quiet))
	if err != nil {
		s.tell(levelError, "registry", err.Error(), "No model can be read.", "see store.models above")
		return
	}
	var wanted []string
	named := map[string]string{} // groups that name their model
	for _, g := range d.scaling.Groups {
		if g.Predicted() && g.Model == "" {
			wanted = append(wanted, g.Name)
		} else if g.Predicted() {
			named[g.Name] = g.Model
		}
	}
	found, failed := reg.ForGroups(ctx, wanted, nil)
	for group, model := range named {
		if m, err := reg.Champion(ctx, model); err != nil {
			failed[group] = err
		} else {
			found[group] = m
		}
	}
	young := 0
	for _, group := range d.names() {
		if m, ok := found[group]; ok {
			young += d.model(s, group, m)
		} else if err := failed[group]; err != nil {
			d.modelFault(s, group, err)
		}
	}
	if young > 0 {
		s.ok("fresh", "%s with a model whose training data end less than %d days ago", counted(young, "group"), modelAge/day)
	}
	d.flagsKnown(ctx, s, reg)
}

// model judges the age of a group's model; it returns 1 when that is as it should be.
func (d *doctor) model(s *section, group string, m models.Manifest) int {
	age := d.now().Sub(m.TrainedUntil)
	if m.TrainedUntil.IsZero() || age <= modelAge {
		return 1
	}
	s.group(levelWarning, "fresh", group, fmt.Sprintf("model %s, version %d, knows the load until %s, %s ago", m.Name, m.Version, m.TrainedUntil.UTC().Format(time.DateOnly), left(age)),
		"What has changed since is not in its forecasts.", "forescale retrain -all-groups -config "+shellWord(d.config))
	return 0
}

func (d *doctor) modelFault(s *section, group string, err error) {
	config := shellWord(d.config)
	switch {
	case errors.Is(err, models.ErrUntrusted):
		s.group(levelError, "trusted", group, err.Error(), "The server and the scaler refuse a model that no trusted key has signed; the group follows its live load.",
			"forescale sign NAME -config "+config+", if it is yours")
	case errors.Is(err, models.ErrNoModel):
		s.group(levelWarning, "trained", group, "has no model", "Until there is one, the live load decides, and a group shrinks at half the rate.",
			"forescale retrain -all-groups -config "+config+"; it needs two weeks of history")
	default:
		s.group(levelError, "readable", group, err.Error(), "The group follows its live load.", "forescale models list -config "+config)
	}
}

// flagsKnown asks what forescale-scaler -check asks: whether models read flags that the
// calendar does not have.
func (d *doctor) flagsKnown(ctx context.Context, s *section, reg *models.Registry) {
	deps := scaler.Deps{Store: blob.NewMemory(), Specs: reg, Log: d.quiet}
	if d.common.Calendar != "" {
		plans, err := calendar.Open(d.common.Calendar)
		if err != nil {
			return // told by the calendar's examination
		}
		deps.Flags = plans
	}
	probe, err := scaler.New(d.scaling, d.common.Step, deps)
	if err == nil {
		err = probe.CheckFlags(ctx)
	}
	if err != nil {
		s.tell(levelError, "flags", errorText(err), "The models concerned are not asked, and their groups follow their live load.",
			"forescale calendar show -config "+shellWord(d.config)+" shows the flags that there are")
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// server asks the prediction server whether it can serve, and whether it lets us ask.
func (d *doctor) server(ctx context.Context, s *section) {
	if !d.predicts() {
		return
	}
	url := d.scaling.Server
	c, err := d.scaling.NewClient()
	if err != nil {
		s.tell(levelError, "client", err.Error(), "The scaler cannot ask for forecasts.", "correct scaler.server… in "+d.config)
		return
	}
	if err := c.Ready(ctx); err != nil {
		s.tell(levelError, "ready", fmt.Sprintf("%s: %v", url, err), "There are no forecasts: groups follow their live load.",
			"journalctl -u forescale-server -n 50; is scaler.server right, and the server's listen an address that this machine reaches?")
		return
	}
	// A request without windows is at fault, and the right to ask comes before that.
	_, err = c.Predict(ctx, api.PredictRequest{})
	var p *api.Problem
	switch {
	case errors.As(err, &p) && (p.Status == 401 || p.Status == 403):
		s.tell(levelError, "token", fmt.Sprintf("%s refuses to predict for us: %v", url, err), "There are no forecasts: groups follow their live load.",
			"scaler.server_token must be of a client with the right predict in server.clients; forescale token makes one")
	case err == nil || errors.As(err, &p) && p.Status < 500:
		d.served = true
		s.ok("ready", "%s is ready, and lets us ask for forecasts", url)
	default:
		s.tell(levelError, "predict", fmt.Sprintf("%s: %v", url, err), "There are no forecasts: groups follow their live load.", "journalctl -u forescale-server -n 50")
	}
}

// runtime lets forescale-server, which alone links it, look for ONNX Runtime, if that
// program is on this machine.
func (d *doctor) runtime(ctx context.Context, s *section) {
	program, err := sibling("forescale-server")
	if err != nil {
		s.tell(levelNote, "library", "forescale-server is not on this machine, so its ONNX Runtime was not looked for", "", "run the doctor on the server's machine too, if server.ready is not ok")
		return
	}
	out, err := exec.CommandContext(ctx, program, "-check", "-config", d.config).CombinedOutput()
	if err == nil {
		s.ok("library", "%s finds its library", program)
		return
	}
	l := levelError
	if d.served { // by one that runs elsewhere, or was told by its environment
		l = levelNote
	}
	for line := range strings.SplitSeq(string(out), "\n") {
		if strings.Contains(line, "ONNX Runtime") {
			s.tell(l, "library", line, "The server does not start here.", "make setup, or server.onnxruntime: in "+d.config)
			return
		}
	}
	s.tell(l, "check", fmt.Sprintf("%s -check: %v: %s", program, err, fit(printable(string(out)), 300)), "The server does not start here.", program+" -check -config "+shellWord(d.config))
}

// sibling returns the path of another of our programs: beside this one, or on PATH.
func sibling(name string) (string, error) {
	if self, err := os.Executable(); err == nil {
		if path := filepath.Join(filepath.Dir(self), name); exists(path) {
			return path, nil
		}
	}
	return exec.LookPath(name)
}
