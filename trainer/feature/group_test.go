package feature

import (
	"slices"
	"strings"
	"testing"

	"github.com/forescale/forescale/models"
)

// everything is a spec that has features of every group.
func everything() models.Spec {
	spec := models.Spec{Target: "demand", StepSeconds: 300, Lookback: 36, Horizon: 3,
		Series: []string{"demand", "network_in", "is_holiday"}, Future: []string{"is_holiday"},
		Calendar: []string{"hour_of_day", "minute_of_hour", "day_of_week", "weekend"}}
	spec.Lags = Lags(spec, 1<<20)
	return spec
}

func TestEveryFeatureIsInTheGroupThatItsNameSays(t *testing.T) {
	want := map[string]string{
		"level": GroupLevel, "lag 1": GroupLags, "lag 35": GroupLags,
		"mean of 3": GroupMeans, "mean of the day": GroupMeans,
		"roughness of 12": GroupRoughness,
		"1 days ago":      GroupDays, "3 days ago at +2": GroupDays, "day ago +1 at +3": GroupDays,
		"2 weeks ago at +1": GroupWeeks,
		"mean of 7 days":    GroupProfiles, "mean of 4 weeks at +3": GroupProfiles,
		"network_in": GroupOthers, "network_in lag 4": GroupOthers,
		"weekend": GroupClock, "hour_of_day sin1": GroupClock,
		"is_holiday at +2":               GroupFlags,
		"is_holiday a day before at +1":  GroupLaggedFlags,
		"is_holiday a week before at +3": GroupLaggedFlags,
	}
	found := map[string]bool{}
	for _, f := range New(everything(), Raw, 24).features {
		found[f.group] = true
		if f.group == "" {
			t.Errorf("%q is in no group: an ablation would never leave it out", f.name)
		}
		if g, ok := want[f.name]; ok && g != f.group {
			t.Errorf("%q is in the group %q, want %q", f.name, f.group, g)
		}
		delete(want, f.name)
	}
	for name := range want {
		t.Errorf("there is no feature %q", name)
	}
	for _, g := range Groups {
		if !found[g] {
			t.Errorf("no feature is in the group %q", g)
		}
	}
}

func TestASetWithoutGroupsLacksExactlyTheirFeatures(t *testing.T) {
	whole := New(everything(), Raw, 24)
	s := New(everything(), Raw, 24)
	n, err := s.Without(GroupWeeks, GroupOthers)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, name := range whole.Names() {
		if !strings.Contains(name, "weeks ago") && !strings.HasPrefix(name, "network_in") {
			want = append(want, name)
		}
	}
	if got := s.Names(); !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
	if n != whole.Len()-s.Len() || n == 0 {
		t.Errorf("%d features left out, of %d there remain %d", n, whole.Len(), s.Len())
	}
	if s.Channels() != whole.Channels() {
		t.Errorf("the sequence has %d channels, want the %d that it had", s.Channels(), whole.Channels())
	}
}

func TestAnUnknownGroupIsAFaultAndLeavesTheSetAlone(t *testing.T) {
	s := New(everything(), Raw, 24)
	before := s.Len()
	if _, err := s.Without(GroupLags, "moon"); err == nil || !strings.Contains(err.Error(), `"moon"`) || !strings.Contains(err.Error(), GroupProfiles) {
		t.Errorf("error %v, want one that names the group and those there are", err)
	}
	if s.Len() != before {
		t.Errorf("%d features are left of %d", s.Len(), before)
	}
}
