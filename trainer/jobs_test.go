package trainer

import (
	"context"
	"slices"
	"strings"
	"testing"
)

// lateJob runs a job of the default preset's first network, whose late lesson
// wants what spoil makes of it, and returns the job and its study.
func lateJob(t *testing.T, spoil func(want float32) float32) (*networkJob, *study) {
	t.Helper()
	quickRecipe(t, PresetDefault)
	s := unfitted(t, quick(PresetDefault), history(5, 31))
	base, err := s.addLinear(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r := s.recipe.networks[0]
	rd := s.readerOf(r, base)
	early, late := rd.inputs(s.w), rd.inputs(s.w)
	rd.wants(s.w, early)
	rd.wants(s.w, late)
	for i, v := range late.want {
		late.want[i] = spoil(v)
	}
	net := r.network
	net.Lookback, net.Channels, net.Features, net.Horizon = early.steps, early.channels, early.extra, early.horizon
	j := &networkJob{recipe: r, stage: "network", net: net, early: early, late: late, seed: 7}
	if err := s.runJob(context.Background(), j, 1); err != nil {
		t.Fatal(err)
	}
	return j, s
}

func TestALateFitFarFromTheEarlyOneIsNotUsed(t *testing.T) {
	j, s := lateJob(t, func(want float32) float32 { return want + 1000 })
	if !j.kept || !slices.Equal(j.fits[1].state.Params, j.fits[0].state.Params) {
		t.Errorf("kept %v: a late fit that errs by a thousand is used", j.kept)
	}
	s.tally.early = 2
	if notes := s.notes(0, 0); len(notes) != 1 || !strings.Contains(notes[0], "2 networks were worse") {
		t.Errorf("notes %q", notes)
	}
}

func TestALateFitThatIsAsGoodIsUsed(t *testing.T) {
	j, _ := lateJob(t, func(want float32) float32 { return want })
	if j.kept || j.fits[0].state.Watch.Epoch > 1 && slices.Equal(j.fits[1].state.Params, j.fits[0].state.Params) {
		t.Errorf("kept %v: the late fit is not used", j.kept)
	}
}
