package fleet

import (
	"fmt"
	"time"
)

// Status codes of a scaling activity, as Auto Scaling spells them.
const (
	activityPreInService = "PreInService"
	activitySuccessful   = "Successful"
	activityFailed       = "Failed"
	activityCancelled    = "Cancelled"
)

// activityMemory is how long Auto Scaling lists a scaling activity.
const activityMemory = 6 * 7 * 24 * time.Hour

// Activity is one scaling activity: a launch or a termination.
type Activity struct {
	ID          string
	Group       string
	Description string
	Cause       string
	Status      string
	Message     string // why it failed
	Start       time.Time
	End         time.Time // zero while it is in progress
	Progress    int       // percent

	zone string // availability zone
}

// stamp writes a time as Auto Scaling's cause texts do.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// instanceName returns the EC2 identifier of an instance, which it keeps when it
// comes out of the warm pool.
func (g *group) instanceName(i Instance) string {
	if name := g.names[i.ID]; name != "" {
		return name
	}
	return fmt.Sprintf("i-%017x", hash(g.Name, fmt.Sprint(i.ID))>>2)
}

// record appends an activity that begins now.
func (g *group) record(description, cause string) *Activity {
	g.activityCount++
	a := &Activity{
		ID:          fmt.Sprintf("%016x-%08d", hash(g.Name), g.activityCount),
		Group:       g.Name,
		Description: description,
		Cause:       cause,
		Start:       g.now(),
		zone:        g.zone(),
	}
	g.activities = append(g.activities, a)
	return a
}

func (g *group) finish(a *Activity, status string) {
	a.Status, a.End, a.Progress = status, g.now(), 100
	g.lastActivity = a.End
}

// launched records the launch of an instance, one of those that take the group
// from one capacity to another.
func (g *group) launched(i Instance, from, to int) {
	kind := "Launching a new EC2 instance: "
	if g.names[i.ID] != "" {
		kind = "Launching a new EC2 instance from warm pool: "
	}
	a := g.record(kind+g.instanceName(i), fmt.Sprintf(
		"%s  At %s an instance was started in response to a difference between desired and actual capacity, increasing the capacity from %d to %d.",
		g.cause, stamp(g.now()), from, to))
	a.Status, a.Progress = activityPreInService, 30
	g.opening[i.ID] = a
	if i.Ready <= g.sim.Minute() {
		g.opened(i)
	}
}

// opened records that an instance came into service.
func (g *group) opened(i Instance) {
	if a := g.opening[i.ID]; a != nil {
		g.finish(a, activitySuccessful)
		delete(g.opening, i.ID)
	}
	if g.ProtectNew && g.leads(i.ID) {
		g.protected[i.ID] = true
	}
}

// cancelled records that a starting instance was given up.
func (g *group) cancelled(i Instance) {
	if a := g.opening[i.ID]; a != nil {
		a.Message = "The instance was terminated before it came into service."
		g.finish(a, activityCancelled)
		delete(g.opening, i.ID)
	}
}

func (g *group) terminated(i Instance, from, to int) {
	a := g.record("Terminating EC2 instance: "+g.instanceName(i), fmt.Sprintf(
		"%s  At %s an instance was taken out of service in response to a difference between desired and actual capacity, shrinking the capacity from %d to %d.",
		g.cause, stamp(g.now()), from, to))
	g.finish(a, activitySuccessful)
}

// The reasons of a failed launch, as EC2 words them.
const (
	noCapacity = "We currently do not have sufficient capacity in the Availability Zone you requested. Our system will be working on provisioning additional capacity. Launching EC2 instance failed."
	noQuota    = "Could not launch On-Demand Instances. VcpuLimitExceeded - You have requested more vCPU capacity than your current vCPU limit of 32 allows for the instance bucket that the specified instance type belongs to. Launching EC2 instance failed."
)

func (g *group) launchFailed(kind LaunchKind) {
	message := noCapacity
	if kind == LaunchQuota {
		message = noQuota
	}
	a := g.record("Launching a new EC2 instance.  Status Reason: "+message, g.cause)
	a.Message = message
	g.finish(a, activityFailed)
}

// trim forgets the activities that Auto Scaling would not list any more.
func (g *group) trim() {
	horizon := g.now().Add(-activityMemory)
	n := 0
	for n < len(g.activities) && g.activities[n].Start.Before(horizon) {
		n++
	}
	g.activities = g.activities[n:]
}
