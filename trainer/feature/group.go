package feature

import (
	"fmt"
	"slices"
	"strings"

	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
)

// The groups of features, each of one origin: what an ablation leaves out at once.
const (
	GroupLevel       = "level"        // the target's newest value itself
	GroupLags        = "lags"         // the target's newest changes
	GroupMeans       = "means"        // its rolling means
	GroupRoughness   = "roughness"    // how much it jumps from slot to slot
	GroupDays        = "days"         // its values whole days before, and beside the one a day before
	GroupWeeks       = "weeks"        // its values whole weeks before
	GroupProfiles    = "profiles"     // its means over days or weeks at that time
	GroupOthers      = "other series" // every series that is neither target nor flag
	GroupClock       = "clock"        // time of day, of the hour, of the week
	GroupFlags       = "flags"        // the calendar's flags at the slots ahead
	GroupLaggedFlags = "lagged flags" // and a day or a week before them
)

// Groups are the names of all groups.
var Groups = []string{GroupLevel, GroupLags, GroupMeans, GroupRoughness, GroupDays, GroupWeeks, GroupProfiles,
	GroupOthers, GroupClock, GroupFlags, GroupLaggedFlags}

// groupOf returns the group of a feature, "" for one that is in none.
func groupOf(spec models.Spec, d definition) string {
	switch {
	case d.column == levelColumn:
		return GroupLevel
	case d.column >= 0 && slices.ContainsFunc(spec.Future, func(flag string) bool { return strings.HasPrefix(d.name, flag+" at +") }):
		return GroupFlags
	case d.column >= 0:
		return GroupClock
	case d.series != spec.Target && (window.IsFlag(spec, d.series) || slices.Contains(spec.Future, d.series)):
		return GroupLaggedFlags
	case d.series != spec.Target:
		return GroupOthers
	}
	has := func(part string) bool { return strings.Contains(d.name, part) }
	switch d.kind {
	case roughness:
		return GroupRoughness
	case average:
		if has(" days") || has(" weeks") {
			return GroupProfiles
		}
		return GroupMeans
	case change:
		switch {
		case strings.HasPrefix(d.name, "lag "):
			return GroupLags
		case has("week"):
			return GroupWeeks
		case has("day"):
			return GroupDays
		}
	}
	return ""
}

// Without leaves the features of groups out of the set and returns how many they
// were. It is for a set that has not been fitted. The sequence keeps what it has.
// The error names a group that is not in Groups.
func (s *Set) Without(groups ...string) (int, error) {
	for _, g := range groups {
		if !slices.Contains(Groups, g) {
			return 0, fmt.Errorf("features: the group %.40q is unknown; there are %s", g, strings.Join(Groups, ", "))
		}
	}
	before := len(s.features)
	s.features = slices.DeleteFunc(s.features, func(f tapped) bool { return slices.Contains(groups, f.group) })
	return before - len(s.features), nil
}
