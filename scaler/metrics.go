package scaler

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/forescale/forescale/api"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("forescale_scaler_"+name, help, labels, nil)
}

var (
	ticksDesc     = desc("ticks_total", "Ticks run, by result; held: another scaler was at work.", "result")
	durationDesc  = desc("tick_duration_seconds", "Duration of the last tick.")
	lastTickDesc  = desc("last_tick_timestamp_seconds", "The last tick that has a record, whoever wrote it.")
	decisionsDesc = desc("decisions_total", "Decisions of the ticks that this process recorded, by outcome.", "outcome")
	movesDesc     = desc("safety_moves_total", "Moves of groups into a safety state, at the ticks that this process recorded.", "state")
	errorsDesc    = desc("provider_errors_total", "Errors of the provider, by kind.", "kind")
	brakesDesc    = desc("brakes_total", "Ticks at which the fleet-wide brake was pulled.")
	brakedDesc    = desc("brake_pulled", "1 when the fleet-wide brake held every scale-in of the last tick.")
	faultsDesc    = desc("tick_faults", "What could not be read at the last tick, or became known late.")

	groupsDesc       = desc("groups", "Groups in a safety state.", "state")
	openDesc         = desc("breaker_open_groups", "Groups that want forecasts and whose safety state keeps these from deciding.")
	alertsDesc       = desc("alert_groups", "Groups whose last decision raises an alert.", "alert")
	uncoveredDesc    = desc("coverage_out_of_band_groups", "Groups whose upper quantile has covered far fewer or more slots than it says.")
	oldestDesc       = desc("metrics_age_max_seconds", "Age of the newest measured slot of the group that is furthest behind.")
	instancesDesc    = desc("instances", "Instances of all groups together: desired, in service, and wanted by the policies.", "kind")
	shadowHoursDesc  = desc("shadow_instance_seconds", "Time of all instances together since shadows run beside their groups: what the live policies have desired, and what the shadows would have.", "policy")
	shadowBreachDesc = desc("shadow_breach_seconds", "Time of the slots whose load was more than the objective allows, since shadows run beside their groups.", "policy")

	groupSafetyDesc       = desc("group_safety_state", "1 for the safety state that the group is in.", "group", "state")
	groupAlertDesc        = desc("group_alert", "1 when the last decision raises the alert.", "group", "alert")
	groupSizeDesc         = desc("group_instances", "Instances of the group: desired, in service, and wanted by its policies.", "group", "kind")
	groupCoverageDesc     = desc("group_upper_coverage_ratio", "Share of the slots below the upper quantile (0.9) of their forecasts.", "group")
	groupAgeDesc          = desc("group_metrics_age_seconds", "Age of the newest measured slot at the last tick; 0: it had just ended.", "group")
	groupLeadDesc         = desc("group_lead_seconds", "Lead time that decisions reckon with.", "group")
	groupShadowHoursDesc  = desc("group_shadow_instance_seconds", "The group's part of forescale_scaler_shadow_instance_seconds.", "group", "policy")
	groupShadowBreachDesc = desc("group_shadow_breach_seconds", "The group's part of forescale_scaler_shadow_breach_seconds.", "group", "policy")
	groupSpentDesc        = desc("group_spent_instance_seconds", "Time of all instances together on this UTC day, by what was desired.", "group")
)

// Describe implements prometheus.Collector.
func (m *meters) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{ticksDesc, durationDesc, lastTickDesc, decisionsDesc, movesDesc, errorsDesc, brakesDesc, brakedDesc,
		faultsDesc, groupsDesc, openDesc, alertsDesc, uncoveredDesc, oldestDesc, instancesDesc, groupSafetyDesc, groupAlertDesc, groupSizeDesc,
		groupCoverageDesc, groupAgeDesc, groupLeadDesc, groupSpentDesc,
		shadowHoursDesc, shadowBreachDesc, groupShadowHoursDesc, groupShadowBreachDesc} {
		ch <- d
	}
}

// sink sends metrics.
type sink chan<- prometheus.Metric

func (s sink) count(d *prometheus.Desc, n int, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

func (s sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// Collect implements prometheus.Collector.
func (m *meters) Collect(ch chan<- prometheus.Metric) {
	s, to := m.snapshot(), sink(ch)
	for _, result := range tickResults {
		to.count(ticksDesc, s.ticks[result], result)
	}
	for _, status := range outcomes {
		to.count(decisionsDesc, s.decisions[status], string(status))
	}
	for _, state := range safetyStates {
		to.count(movesDesc, s.moves[state], string(state))
	}
	for _, kind := range errorKinds {
		to.count(errorsDesc, s.errors[kind], kind)
	}
	to.count(brakesDesc, s.brakes)
	to.gauge(durationDesc, s.took.Seconds())
	if s.tick.IsZero() {
		return // no time is not the year 1, and nothing is known of any group
	}
	to.gauge(lastTickDesc, float64(s.tick.Unix()))
	to.gauge(brakedDesc, indicator(s.braked))
	to.gauge(faultsDesc, float64(s.faults))
	s.collectFleet(to)
	if s.byGroup || len(s.groups) <= maxGroupSeries {
		for _, g := range s.groups {
			g.collect(to)
		}
	}
}

// collectFleet sends what is known of all groups together.
func (m *meters) collectFleet(to sink) {
	states, alerts := map[string]int{}, map[string]int{}
	var open, uncovered, desired, inService, wanted int
	var oldest time.Duration
	var sums *api.ShadowSums
	for _, g := range m.groups {
		states[string(g.safety)]++
		if g.predicted && slices.Contains(reactiveStates, g.safety) {
			open++
		}
		for _, alert := range g.alerts {
			alerts[alert]++
		}
		if g.coverage >= 0 && (g.coverage < coverageLeast || g.coverage > coverageMost) {
			uncovered++
		}
		desired, inService, wanted = desired+g.desired, inService+g.inService, wanted+g.wanted
		oldest = max(oldest, g.age)
		if g.shadow != nil {
			if sums == nil {
				sums = &api.ShadowSums{}
			}
			sums.LiveHours, sums.ShadowHours = sums.LiveHours+g.shadow.LiveHours, sums.ShadowHours+g.shadow.ShadowHours
			sums.LiveBreaches, sums.ShadowBreaches = sums.LiveBreaches+g.shadow.LiveBreaches, sums.ShadowBreaches+g.shadow.ShadowBreaches
		}
	}
	to.shadow(sums, shadowHoursDesc, shadowBreachDesc)
	for _, state := range safetyStates {
		to.gauge(groupsDesc, float64(states[string(state)]), string(state))
	}
	to.gauge(openDesc, float64(open))
	for _, alert := range alertNames {
		to.gauge(alertsDesc, float64(alerts[alert]), alert)
	}
	to.gauge(uncoveredDesc, float64(uncovered))
	to.gauge(oldestDesc, oldest.Seconds())
	to.gauge(instancesDesc, float64(desired), "desired")
	to.gauge(instancesDesc, float64(inService), "in_service")
	to.gauge(instancesDesc, float64(wanted), "wanted")
}

func (g groupMeter) collect(to sink) {
	for _, state := range safetyStates {
		to.gauge(groupSafetyDesc, indicator(g.safety == state), g.name, string(state))
	}
	for _, alert := range alertNames {
		to.gauge(groupAlertDesc, indicator(slices.Contains(g.alerts, alert)), g.name, alert)
	}
	if g.known {
		to.gauge(groupSizeDesc, float64(g.desired), g.name, "desired")
		to.gauge(groupSizeDesc, float64(g.inService), g.name, "in_service")
		to.gauge(groupSizeDesc, float64(g.wanted), g.name, "wanted")
	}
	if g.coverage >= 0 {
		to.gauge(groupCoverageDesc, g.coverage, g.name)
	}
	if g.measured {
		to.gauge(groupAgeDesc, g.age.Seconds(), g.name)
	}
	to.gauge(groupLeadDesc, g.lead.Seconds(), g.name)
	to.gauge(groupSpentDesc, 3600*g.spent, g.name)
	to.shadow(g.shadow, groupShadowHoursDesc, groupShadowBreachDesc, g.name)
}

// shadow sends a comparison, if there is one.
func (s sink) shadow(sums *api.ShadowSums, hours, breaches *prometheus.Desc, labels ...string) {
	if sums == nil {
		return
	}
	live, shadow := slices.Concat(labels, []string{"live"}), slices.Concat(labels, []string{"shadow"})
	s.gauge(hours, 3600*sums.LiveHours, live...)
	s.gauge(hours, 3600*sums.ShadowHours, shadow...)
	s.gauge(breaches, 60*sums.LiveBreaches, live...)
	s.gauge(breaches, 60*sums.ShadowBreaches, shadow...)
}

func indicator(holds bool) float64 {
	if holds {
		return 1
	}
	return 0
}
