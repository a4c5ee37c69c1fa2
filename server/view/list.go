package view

import (
	"context"
	"slices"

	"github.com/forescale/forescale/api"
)

// Groups lists the groups of the latest tick and of the last day's data, by name, each
// with its newest decision.
func (v *View) Groups(ctx context.Context) (api.GroupList, error) {
	list := api.GroupList{Now: v.Now().UTC(), Replay: v.Replay, Groups: []api.GroupSummary{}}
	rec, err := v.latest(ctx)
	if err != nil {
		list.Warnings = append(list.Warnings, "journal: "+err.Error())
	}
	end := list.Now
	if rec != nil {
		end = rec.Tick
	}
	found, err := v.lastDay(ctx, end)
	if err != nil {
		list.Warnings = append(list.Warnings, "data: "+err.Error())
	}
	newest := map[string]*api.Decision{}
	if rec != nil {
		for i := range rec.Decisions {
			bare := plain(&rec.Decisions[i])
			newest[bare.Group] = &bare
			found = append(found, bare.Group)
		}
	}
	slices.Sort(found)
	for _, group := range slices.Compact(found) {
		list.Groups = append(list.Groups, api.GroupSummary{Group: group, Decision: newest[group], Model: v.Models.NameFor(group)})
	}
	return list, ctx.Err()
}
