package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/registry"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/scaler"
)

const modelsManual = `forescale models shows the models of the registry and says which version serves.

  forescale models list -config forescale.yaml          every model: champion, versions, pins, shadow
  forescale models list web -o json                     one, with all of its history
  forescale models promote web 4 -reason "tested"       version 4 serves
  forescale models rollback web -reason "too high"      the version before serves again
  forescale models pin web 3 -reason "audit"            keep version 3 loaded; while it is champion, it stays
  forescale models pin web 3 -remove                    take that back
  forescale models shadow web 4 -reason "trial"         version 4 gets a copy of the traffic
  forescale models shadow web -remove                   take that back

A server takes each up at its next reading of the registry (server.reload, 2s). A
champion is moved by compare-and-swap: of two who move it at once, one does, and the
other is told. Who moved it, when and why is kept in the registry, beside the version.`

const modelsListManual = `forescale models list shows the models of the registry: the champion, which serves,
since when and by whom, what it scored at the end of its training data, the versions
that there are, which are pinned, and which is the shadow.

  forescale models list -config forescale.yaml
  forescale models list web -models s3://forescale/models -history

With the name of one model, or with -history, each change of its champion is listed.
It exits with 1 when a model cannot be read, and shows the others.`

const modelsPromoteManual = `forescale models promote makes a version the champion, which serves. The model file
is read and its checksum compared first; the server checks it once more, with its
golden request, and serves the old one if it fails. A pinned champion stays.

  forescale models promote web 4 -reason "backtest of 2026-03-02" -config forescale.yaml
  forescale models promote web 4 -from 3 -reason …      only if version 3 still is champion`

const modelsRollbackManual = `forescale models rollback makes the version before the champion serve again. After a
roll-back there is nothing to go back to: promote a version then.

  forescale models rollback web -reason "forecasts are too high" -config forescale.yaml`

const modelsPinManual = `forescale models pin keeps a version loaded in every server, beside the champion, so
that it answers at once by its number. A champion that is pinned stays champion:
neither promote nor rollback, nor 'forescale retrain' and 'forescale watch', moves it.

  forescale models pin web 3 -reason "audit until April" -config forescale.yaml
  forescale models pin web 3 -remove`

const modelsShadowManual = `forescale models shadow gives a version a copy of the traffic of its model. Its answers
are compared with those of the champion and go nowhere else: see the metrics
forescale_shadow_difference_ratio, forescale_shadow_errors_total. A server that is
busy drops copies.

  forescale models shadow web 4 -reason "trial" -config forescale.yaml
  forescale models shadow web -remove`

// shelf says where the model registry is, and in which form to answer.
type shelf struct {
	url, config, output string
	common              conf.Common // where the registry is, and whose signatures are trusted
	out                 io.Writer
	now                 func() time.Time
}

func newShelf() shelf { return shelf{out: os.Stdout, now: time.Now} }

func (s *shelf) flags(fs *flag.FlagSet) {
	fs.StringVar(&s.url, "models", "", "`URL` of the model registry, as models: in the configuration: file:///DIR or s3://BUCKET/PREFIX")
	fs.StringVar(&s.config, "config", "", "configuration `FILE`, instead of -models")
	fs.StringVar(&s.output, "o", "table", "`FORM`: table or json")
}

// check returns all faults of the flags at once.
func (s *shelf) check() error {
	var faults []error
	if s.output != "table" && s.output != "json" {
		faults = append(faults, fmt.Errorf("-o: %q is not table or json", s.output))
	}
	switch {
	case s.url == "" && s.config == "":
		faults = append(faults, errors.New("-models URL or -config FILE is needed: it says which registry is meant"))
	case s.url != "" && s.config != "":
		faults = append(faults, errors.New("-models and -config exclude each other"))
	default:
		if s.config != "" {
			section := scaler.DefaultConfig()
			var err error
			if s.common, err = conf.Load(s.config, "scaler", &section); err != nil {
				return errors.Join(append(faults, err)...)
			}
			if s.common.Models == "" {
				return errors.Join(append(faults, fmt.Errorf("configuration %s: models: the URL of the model registry is missing", s.config))...)
			}
			faults = append(faults, registry.Check(s.common))
		} else {
			s.common.Models = s.url
		}
		faults = append(faults, blob.Check(context.Background(), s.common.Models))
	}
	return errors.Join(faults...)
}

// open returns the registry. It must be there: a misspelt path would otherwise be an
// empty one.
func (s *shelf) open(ctx context.Context) (*models.Registry, error) {
	if dir := blob.Directory(s.common.Models); dir != "" {
		if _, err := os.Stat(dir); err != nil { // Open would make it
			return nil, err
		}
	}
	return registry.Open(ctx, s.common)
}

func (s *shelf) json(v any) error {
	e := json.NewEncoder(s.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func modelsCommand() cli.Command {
	return cli.Command{Name: "forescale models", Manual: modelsManual, Arguments: true,
		Run: func(_ context.Context, args []string) error {
			if len(args) > 0 {
				return cli.Usagef("there is no command %q; there is list, promote, rollback, pin and shadow", args[0])
			}
			return cli.Usagef("say list, promote, rollback, pin or shadow")
		}}
}

// modelsList is the command line of models list.
type modelsList struct {
	shelf
	history bool
}

func modelsListCommand() cli.Command { return (&modelsList{shelf: newShelf()}).command() }

func (l *modelsList) command() cli.Command {
	return cli.Command{Name: "forescale models list", Manual: modelsListManual, Check: l.check, Run: l.run, Arguments: true,
		Flags: func(fs *flag.FlagSet) {
			l.flags(fs)
			fs.BoolVar(&l.history, "history", false, "list each change of the champion")
		}}
}

// modelRow is one model in the output of -o json.
type modelRow struct {
	Name     string          `json:"name"`
	Champion int             `json:"champion,omitempty"` // 0: it cannot be told
	Versions []int           `json:"versions"`
	Foreign  bool            `json:"foreign,omitempty"`
	Groups   []string        `json:"groups,omitempty"`
	Created  time.Time       `json:"created_at,omitzero"`
	Trained  time.Time       `json:"trained_until,omitzero"`
	Score    *models.Score   `json:"score,omitempty"` // at the shortest horizon scored
	Pinned   []models.Order  `json:"pinned,omitempty"`
	Shadow   *models.Order   `json:"shadow,omitempty"`
	Change   *models.Change  `json:"-"` // the latest
	Changes  []models.Change `json:"history,omitempty"`
	Error    string          `json:"error,omitempty"`
}

func (l *modelsList) run(ctx context.Context, names []string) error {
	reg, err := l.open(ctx)
	if err != nil {
		return err
	}
	entries, err := reg.List(ctx)
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, name := range names {
		wanted[name] = true
	}
	rows, faults := []modelRow{}, 0
	for _, e := range entries {
		if len(names) > 0 && !wanted[e.Name] {
			continue
		}
		delete(wanted, e.Name)
		row := describeModel(ctx, reg, e, l.history || len(names) > 0)
		if row.Error != "" {
			faults++
		}
		rows = append(rows, row)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if l.output == "json" {
		err = l.json(rows)
	} else {
		err = printModels(l.out, rows)
	}
	switch missing := slices.Sorted(maps.Keys(wanted)); {
	case err != nil:
		return err
	case len(missing) > 0:
		return fmt.Errorf("%s has no model %q", l.common.Models, missing)
	case faults > 0:
		return fmt.Errorf("%d of %d models cannot be read", faults, len(rows))
	}
	return nil
}

// describeModel reads what there is to tell of a model, as far as it can be read.
func describeModel(ctx context.Context, r *models.Registry, e models.Entry, history bool) modelRow {
	row := modelRow{Name: e.Name, Champion: e.Champion, Versions: e.Versions, Foreign: e.Foreign}
	var faults []error
	note := func(err error) { faults = append(faults, err) }
	note(e.Err)
	orders, err := r.Orders(ctx, e.Name)
	note(err)
	row.Pinned, row.Shadow = orders.Pinned, orders.Shadow
	if !e.Foreign && e.Champion > 0 {
		m, err := r.Manifest(ctx, e.Name, e.Champion)
		note(err)
		row.Groups, row.Created, row.Trained = m.Groups, m.CreatedAt, m.TrainedUntil
		if len(m.Scores) > 0 {
			row.Score = &m.Scores[0].Model
		}
		changes, err := r.History(ctx, e.Name)
		if !errors.Is(err, models.ErrNoModel) { // nobody has pointed at a champion yet
			note(err)
		}
		if len(changes) > 0 {
			row.Change = &changes[0]
		}
		if history {
			for i := range changes {
				changes[i].Evidence = nil // pages of it
			}
			row.Changes = changes
		}
	}
	if err := errors.Join(faults...); err != nil {
		row.Error = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return row
}

func printModels(out io.Writer, rows []modelRow) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MODEL\tCHAMPION\tSINCE\tBY\tTRAINED UNTIL\tWAPE\tVERSIONS\tPINNED\tSHADOW\tNOTE")
	for _, r := range rows {
		note := r.Error
		if r.Foreign {
			note = "foreign: its highest version serves"
		}
		var since, by, trained, wape, pins, shadow string
		if r.Change != nil {
			since, by = stampOf(r.Change.At), plain(r.Change.By)
		}
		if trained = stampOf(r.Trained); r.Score != nil && !math.IsNaN(r.Score.WAPE) {
			wape = fmt.Sprintf("%.4f", r.Score.WAPE)
		}
		for i, p := range r.Pinned {
			pins += strings.Repeat(",", min(i, 1)) + strconv.Itoa(p.Version)
		}
		if r.Shadow != nil {
			shadow = strconv.Itoa(r.Shadow.Version)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", plain(r.Name), orDash(versionText(r.Champion)), orDash(since), orDash(by), orDash(trained), orDash(wape),
			ranges(r.Versions), orDash(pins), orDash(shadow), note)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range rows {
		for _, c := range r.Changes {
			fmt.Fprintln(out, changeLine(r.Name, c))
		}
	}
	return nil
}

// changeLine tells of a change of the champion: the audit line.
func changeLine(name string, c models.Change) string {
	what := "promoted"
	if c.RollBack {
		what = "rolled back"
	}
	return fmt.Sprintf("%s model=%q %s %s -> %s by %q: %s", orDash(stampOf(c.At)), name, what, orDash(versionText(c.From)), versionText(c.Version), c.By, plain(c.Why))
}

func stampOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stamp(t)
}

func versionText(version int) string {
	if version == 0 {
		return ""
	}
	return strconv.Itoa(version)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// ranges writes ascending numbers in short: 1-4,7.
func ranges(numbers []int) string {
	var b strings.Builder
	for i := 0; i < len(numbers); {
		end := i
		for end+1 < len(numbers) && numbers[end+1] == numbers[end]+1 {
			end++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		if b.WriteString(strconv.Itoa(numbers[i])); end > i {
			b.WriteString("-" + strconv.Itoa(numbers[end]))
		}
		i = end + 1
	}
	return b.String()
}
