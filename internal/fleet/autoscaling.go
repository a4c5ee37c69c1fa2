package fleet

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Page sizes of Auto Scaling.
const (
	groupsPage     = 50
	itemsPage      = 50 // of policies, scheduled actions and instance refreshes
	activitiesPage = 100
	maxRecords     = 100
	warmPage       = 50 // at most
)

// autoScalingOperations are the operations of EC2 Auto Scaling that the cloud
// knows. Each returns its result element, or nil for an empty answer; the caller
// holds mu.
var autoScalingOperations = map[string]func(*Cloud, request) (any, *apiError){
	"DescribeAutoScalingGroups": (*Cloud).describeGroups,
	"DescribeScalingActivities": (*Cloud).describeActivities,
	"DescribeInstanceRefreshes": (*Cloud).describeRefreshes,
	"DescribePolicies":          (*Cloud).describePolicies,
	"DescribeScheduledActions":  (*Cloud).describeScheduled,
	"DescribeWarmPool":          (*Cloud).describeWarmPool,
	"SetInstanceProtection":     (*Cloud).setProtection,
	"SetDesiredCapacity":        (*Cloud).setDesiredCapacity,
	"UpdateAutoScalingGroup":    (*Cloud).updateGroup,
	"SuspendProcesses":          (*Cloud).suspendProcesses,
	"ResumeProcesses":           (*Cloud).resumeProcesses,
}

// named returns the group that a form names.
func (c *Cloud) named(form request) (*group, *apiError) {
	name := form.Get("AutoScalingGroupName")
	if name == "" {
		return nil, validation("1 validation error detected: Value null at 'autoScalingGroupName' failed to satisfy constraint: Member must not be null")
	}
	g, err := c.find(name)
	if err != nil || !form.from.sees(g) {
		return nil, validation("AutoScalingGroup name not found - no such group: %s", name)
	}
	return g, nil
}

// integer reads a whole number; ok is false when it is absent.
func integer(form request, name string) (n int, ok bool, _ *apiError) {
	s := form.Get(name)
	if s == "" {
		return 0, false, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, false, validation("The value %q of %s is not a whole number.", s, name)
	}
	return n, true, nil
}

// members reads a list of strings: NAME.member.1, NAME.member.2, …
func members(form request, name string) []string {
	var list []string
	for i := 1; ; i++ {
		v, ok := form.Values[fmt.Sprintf("%s.member.%d", name, i)]
		if !ok {
			return list
		}
		list = append(list, v[0])
	}
}

// setDesiredCapacity answers SetDesiredCapacity.
func (c *Cloud) setDesiredCapacity(form request) (any, *apiError) {
	g, err := c.named(form)
	if err != nil {
		return nil, err
	}
	desired, ok, err := integer(form, "DesiredCapacity")
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, validation("1 validation error detected: Value null at 'desiredCapacity' failed to satisfy constraint: Member must not be null")
	}
	if err := g.checkDesired(desired); err != nil {
		return nil, err
	}
	if form.Get("HonorCooldown") == "true" && g.coolingDown(c.clock) {
		return nil, &apiError{Status: 400, Code: "ScalingActivityInProgress",
			Message: fmt.Sprintf("Scaling activity is in progress and blocked by cooldown: AutoScalingGroup %s", g.Name)}
	}
	g.order(desired, "")
	return nil, nil
}

func (g *group) checkDesired(desired int) *apiError {
	switch {
	case desired > g.max:
		return validation("New SetDesiredCapacity value %d is above max value %d for the AutoScalingGroup.", desired, g.max)
	case desired < g.min:
		return validation("New SetDesiredCapacity value %d is below min value %d for the AutoScalingGroup.", desired, g.min)
	}
	return nil
}

// updateGroup answers UpdateAutoScalingGroup: the sizes, the cooldown and the
// warm-up. What a new bound excludes is corrected, as the real service does.
func (c *Cloud) updateGroup(form request) (any, *apiError) {
	g, err := c.named(form)
	if err != nil {
		return nil, err
	}
	least, most, desired := g.min, g.max, g.desired
	cooldown, warmup := int(g.Cooldown/time.Second), int(g.Warmup/time.Second)
	explicit := false
	for name, field := range map[string]*int{
		"MinSize": &least, "MaxSize": &most, "DesiredCapacity": &desired,
		"DefaultCooldown": &cooldown, "DefaultInstanceWarmup": &warmup,
	} {
		n, ok, err := integer(form, name)
		if err != nil {
			return nil, err
		}
		if ok {
			*field = n
			explicit = explicit || name == "DesiredCapacity"
		}
	}
	switch {
	case least < 0 || least > most:
		return nil, validation("Max bound, %d, must be greater than or equal to min bound, %d", most, least)
	case explicit && (desired < least || desired > most):
		return nil, validation("Desired capacity:%d must be between the specified min size:%d and max size:%d", desired, least, most)
	}
	g.Cooldown, g.Warmup = time.Duration(cooldown)*time.Second, time.Duration(warmup)*time.Second
	desired = clip(desired, least, most)
	g.apply(GroupChange{Min: &least, Max: &most, Desired: &desired})
	return nil, nil
}

func (c *Cloud) suspendProcesses(form request) (any, *apiError) {
	return c.changeProcesses(form, func(g *group, list []string) { g.apply(GroupChange{Suspend: list}) })
}

func (c *Cloud) resumeProcesses(form request) (any, *apiError) {
	return c.changeProcesses(form, func(g *group, list []string) { g.apply(GroupChange{Resume: list}) })
}

// allProcesses is what SuspendProcesses means when it names none.
var allProcesses = []string{"AZRebalance", "AddToLoadBalancer", "AlarmNotification", "HealthCheck", "InstanceRefresh", processLaunch, "ReplaceUnhealthy", processScheduled, processTerminate}

func (c *Cloud) changeProcesses(form request, change func(*group, []string)) (any, *apiError) {
	g, err := c.named(form)
	if err != nil {
		return nil, err
	}
	list := members(form, "ScalingProcesses")
	for _, p := range list {
		if !slices.Contains(allProcesses, p) {
			return nil, validation("Invalid process type: %s", p)
		}
	}
	if len(list) == 0 {
		list = allProcesses
	}
	change(g, list)
	return nil, nil
}

// page cuts one page out of n items: the half-open range, and the token of the
// next page ("" for none).
func page(form request, n, size int) (from, to int, next string, _ *apiError) {
	if s, ok, err := integer(form, "MaxRecords"); err != nil {
		return 0, 0, "", err
	} else if ok {
		if s < 1 || s > maxRecords {
			return 0, 0, "", validation("1 validation error detected: Value '%d' at 'maxRecords' failed to satisfy constraint: Member must have value between 1 and %d", s, maxRecords)
		}
		size = s
	}
	if s := form.Get("NextToken"); s != "" {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err == nil {
			from, err = strconv.Atoi(strings.TrimPrefix(string(b), "at "))
		}
		if err != nil || from < 0 || from > n {
			return 0, 0, "", &apiError{Status: 400, Code: "InvalidNextToken", Message: "The token '" + s + "' is invalid."}
		}
	}
	to = min(from+size, n)
	if to < n {
		next = base64.RawURLEncoding.EncodeToString([]byte("at " + strconv.Itoa(to)))
	}
	return from, to, next, nil
}

// describeGroups answers DescribeAutoScalingGroups. A name that is not known is
// left out, without an error.
func (c *Cloud) describeGroups(form request) (any, *apiError) {
	names := members(form, "AutoScalingGroupNames")
	limit := groupsPage
	if n, ok, err := integer(form, "MaxRecords"); err == nil && ok {
		limit = n
	}
	if len(names) > limit {
		return nil, validation("The number of group names that may be passed in is limited to %d", limit)
	}
	filter, err := readTagFilter(form)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, n := range names {
		wanted[n] = true
	}
	selected := slices.DeleteFunc(slices.Clone(c.groups), func(g *group) bool {
		return !form.from.sees(g) || len(names) > 0 && !wanted[g.Name] || !filter.passes(g.Tags)
	})
	from, to, next, err := page(form, len(selected), groupsPage)
	if err != nil {
		return nil, err
	}
	out := &xmlGroupsResult{NextToken: next}
	for _, g := range selected[from:to] {
		out.Groups = append(out.Groups, g.describeGroup(form.Get("IncludeInstances") != "false"))
	}
	return out, nil
}

// describeActivities answers DescribeScalingActivities, the newest first.
func (c *Cloud) describeActivities(form request) (any, *apiError) {
	groups, err := c.subjects(form)
	if err != nil {
		return nil, err
	}
	ids := members(form, "ActivityIds")
	filter, err := readActivityFilter(form)
	if err != nil {
		return nil, err
	}
	var all []*Activity
	for _, g := range groups {
		for _, a := range slices.Backward(g.activities) {
			if (len(ids) == 0 || slices.Contains(ids, a.ID)) && filter.passes(a) {
				all = append(all, a)
			}
		}
	}
	if len(groups) > 1 {
		slices.SortStableFunc(all, func(a, b *Activity) int { return b.Start.Compare(a.Start) })
	}
	from, to, next, err := page(form, len(all), activitiesPage)
	if err != nil {
		return nil, err
	}
	out := &xmlActivitiesResult{NextToken: next}
	for _, a := range all[from:to] {
		out.Activities = append(out.Activities, a.xml())
	}
	return out, nil
}

// activityFilter is the Filters parameter of DescribeScalingActivities.
type activityFilter struct {
	from, to time.Time
	statuses []string
}

func readActivityFilter(form request) (activityFilter, *apiError) {
	var f activityFilter
	for i := 1; ; i++ {
		prefix := fmt.Sprintf("Filters.member.%d.", i)
		name := form.Get(prefix + "Name")
		if name == "" {
			return f, nil
		}
		values := members(form, prefix+"Values")
		if name == "Status" {
			f.statuses = values
			continue
		}
		field := map[string]*time.Time{"StartTimeLowerBound": &f.from, "StartTimeUpperBound": &f.to}[name]
		if field == nil || len(values) != 1 {
			return f, validation("The filter %s is not valid.", name)
		}
		t, err := time.Parse(time.RFC3339, values[0])
		if err != nil {
			return f, validation("The value %q of filter %s is not a timestamp.", values[0], name)
		}
		*field = t
	}
}

func (f activityFilter) passes(a *Activity) bool {
	return !a.Start.Before(f.from) && (f.to.IsZero() || !a.Start.After(f.to)) &&
		(len(f.statuses) == 0 || slices.Contains(f.statuses, a.Status))
}

// describeRefreshes answers DescribeInstanceRefreshes with the newest refresh.
func (c *Cloud) describeRefreshes(form request) (any, *apiError) {
	g, err := c.named(form)
	if err != nil {
		return nil, err
	}
	out := &xmlRefreshesResult{}
	if r := g.refresh; r != nil {
		x := xmlRefresh{
			ID: r.id, Group: g.Name, Status: "InProgress", Start: xmlTime(r.start),
			InstancesToUpdate: len(r.old), PercentageComplete: 100,
		}
		if r.total > 0 {
			x.PercentageComplete = 100 * (r.total - len(r.old)) / r.total
		}
		if !r.end.IsZero() {
			x.Status, x.End = "Successful", xmlTime(r.end)
		}
		out.Refreshes = append(out.Refreshes, x)
	}
	return out, nil
}
