package fleet

import (
	"fmt"
	"slices"
	"strings"
)

// xmlTag is a tag of a group.
type xmlTag struct {
	Key      string `xml:"Key"`
	Value    string `xml:"Value"`
	Resource string `xml:"ResourceId"`
	Type     string `xml:"ResourceType"`
}

// tagFilter is the Filters parameter of DescribeAutoScalingGroups: all of its
// conditions hold, each for one of its values.
type tagFilter []func(tags map[string]string) bool

func readTagFilter(form request) (tagFilter, *apiError) {
	var f tagFilter
	for i := 1; ; i++ {
		prefix := fmt.Sprintf("Filters.member.%d.", i)
		name, values := form.Get(prefix+"Name"), members(form, prefix+"Values")
		key, isTag := strings.CutPrefix(name, "tag:")
		switch {
		case name == "":
			return f, nil
		case isTag:
			f = append(f, func(tags map[string]string) bool {
				value, there := tags[key]
				return there && slices.Contains(values, value)
			})
		case name == "tag-key":
			f = append(f, func(tags map[string]string) bool {
				return slices.ContainsFunc(values, func(key string) bool { _, there := tags[key]; return there })
			})
		default:
			return nil, validation("The filter %s is not valid.", name)
		}
	}
}

func (f tagFilter) passes(tags map[string]string) bool {
	for _, holds := range f {
		if !holds(tags) {
			return false
		}
	}
	return true
}
