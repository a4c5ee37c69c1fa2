package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/calendar"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/internal/registry"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/scaler/control"
	"github.com/forescale/forescale/scaler/plan"
	"github.com/forescale/forescale/server/view"
)

// fromStores makes of the stores what a server would answer: what needs attention is
// judged in one place (server/view).
func (s *status) fromStores(ctx context.Context) (api.Fleet, error) {
	store, err := s.place.open(ctx)
	if err != nil {
		return api.Fleet{}, err
	}
	now, last := s.now, s.now().Add(skew) // a record may be a little ahead of this clock
	if !s.moment.IsZero() {
		now, last = func() time.Time { return s.moment }, s.moment.Add(1)
	}
	var missing []string
	note := func(what string, err error) {
		if err != nil {
			missing = append(missing, printable(fmt.Sprintf("%s: %v", what, err)))
		}
	}
	records := statusRecords{journal.New(store).Shard(s.shard), last}
	newest, known, err := records.Latest(ctx, last)
	note("audit log", err)
	if !known && err == nil {
		note("audit log", fmt.Errorf("it has no record (shard %s): no scaler has decided anything", s.shard))
	}
	serving, err := s.serving(ctx, groupsOf(newest))
	note("models", err)
	c := view.Config{Samples: statusSamples{dataset.New(store)}, Journal: records, Models: serving, Now: now, Step: s.step(newest)}
	if s.common.Calendar != "" {
		plans, err := calendar.Load(s.common.Calendar)
		note("calendar", err)
		if err == nil {
			c.Calendar = plans
		}
	}
	fleet, err := view.New(c).Fleet(ctx)
	if err != nil {
		return fleet, err
	}
	orders, err := control.New(store).List(ctx)
	note("orders", err)
	for i := range fleet.Groups {
		ordered(&fleet.Groups[i], orders, now())
	}
	fleet.Groups = append(fleet.Groups, s.absent(fleet)...)
	slices.SortStableFunc(fleet.Groups, func(a, b api.FleetRow) int {
		return cmp.Or(b.Attention-a.Attention, strings.Compare(a.Group, b.Group))
	})
	fleet.Warnings = append(append([]string{}, missing...), fleet.Warnings...)
	return fleet, ctx.Err()
}

// step returns the length of a slot: the configuration's, else the one that the
// newest decisions were made with.
func (s *status) step(rec api.TickRecord) time.Duration {
	const usual = 5 * time.Minute
	if s.common.Step > 0 || len(rec.Configs) == 0 {
		return cmp.Or(s.common.Step, usual)
	}
	var g plan.Group
	if json.Unmarshal(rec.Configs[0], &g) != nil || g.Step <= 0 {
		return usual
	}
	return g.Step
}

// absent returns rows for the configured groups that nobody knows of yet.
func (s *status) absent(fleet api.Fleet) (rows []api.FleetRow) {
	for _, name := range s.groups {
		if !slices.ContainsFunc(fleet.Groups, func(r api.FleetRow) bool { return r.Group == name }) {
			rows = append(rows, api.FleetRow{Group: name, State: api.StateUnknown, Attention: api.AttentionNotice, Spark: api.Series{},
				Reason: "it is configured, and nothing is stored of it: nobody measures it, and nobody decides on it"})
		}
	}
	return rows
}

// ordered tells of an order from when it is given, and not only from the tick after it.
func ordered(r *api.FleetRow, orders []api.Control, now time.Time) {
	c := control.InForce(orders, r.Group, now)
	if c == nil {
		return
	}
	state := map[api.ControlKind]api.GroupState{api.ControlFreeze: api.StateFrozen, api.ControlPause: api.StatePaused}[c.Kind]
	if r.Attention <= api.AttentionNotice+20 {
		r.Attention = max(r.Attention, api.AttentionNotice)
		r.Reason = printable(fmt.Sprintf("%s until %s, by %s: %s", given[c.Kind].is, stamp(c.Until), c.By, c.Reason))
	}
	if r.State != api.StateStale && r.State != api.StateUnknown {
		r.State = state
	}
}

// statusSamples shows the lake to the view.
type statusSamples struct{ *dataset.Dataset }

// Scan implements view.Samples.
func (s statusSamples) Scan(ctx context.Context, group string, from, to time.Time) ([]api.Sample, error) {
	return s.Dataset.Scan(ctx, dataset.Query{Groups: []string{group}, From: from, To: to})
}

// Newest implements view.Samples.
func (s statusSamples) Newest(ctx context.Context, from, to time.Time) ([]api.Sample, error) {
	return s.Dataset.Scan(ctx, dataset.Query{From: from, To: to})
}

// statusRecords shows the audit log to the view, as it was at a moment.
type statusRecords struct {
	*journal.Journal
	end time.Time // that ticks lie before
}

// Latest implements view.Journal.
func (r statusRecords) Latest(ctx context.Context, before time.Time) (api.TickRecord, bool, error) {
	if before.After(r.end) {
		before = r.end
	}
	rec, err := r.Journal.Latest(ctx, before)
	if errors.Is(err, blob.ErrNotFound) {
		return rec, false, nil
	}
	return rec, err == nil, err
}

// statusModels knows the models that serve, by group.
type statusModels map[string]models.Manifest

// serving reads which models serve the groups. Without a configuration it is not
// known where the registry is, and the records alone tell.
func (s *status) serving(ctx context.Context, groups []string) (statusModels, error) {
	dir := blob.Directory(s.common.Models)
	if s.common.Models == "" || dir != "" && !exists(dir) { // Open would make it
		return nil, nil
	}
	reg, err := registry.Open(ctx, s.common)
	if err != nil {
		return nil, err
	}
	found, failed := reg.ForGroups(ctx, groups, nil)
	for group, err := range failed {
		if !errors.Is(err, models.ErrNoModel) { // a group without one says so itself, where it wants one
			return found, fmt.Errorf("group %s: %w", group, err)
		}
	}
	return found, nil
}

// NameFor implements view.Models.
func (m statusModels) NameFor(group string) string { return m[group].Name }

// Target implements view.Models.
func (m statusModels) Target(group string) string { return m[group].Spec.Target }

// Standings implements view.Models.
func (m statusModels) Standings() map[string]view.Standing {
	all := map[string]view.Standing{}
	for _, one := range m {
		all[one.Name] = view.Standing{Version: one.Version, TrainedUntil: one.TrainedUntil}
	}
	return all
}
