package fleet

import (
	"math"
	"slices"
	"time"
)

// Simulation runs one fleet against one demand, minute by minute. Between two
// steps it stands at the start of a minute: arrivals have happened, orders may be
// given, and the minute has not run. It is not safe for concurrent use.
type Simulation struct {
	Demand *Demand
	Pool   *Pool

	first, minute     int
	inService, billed []int16 // by minute since first
}

// NewSimulation returns a simulation that stands at the start of minute first
// with n instances in service and none starting.
func NewSimulation(d *Demand, first, n int) *Simulation {
	return &Simulation{Demand: d, Pool: NewPool(n, first), first: first, minute: first}
}

// grow makes room for so many minutes more.
func (s *Simulation) grow(minutes int) {
	s.inService, s.billed = slices.Grow(s.inService, minutes), slices.Grow(s.billed, minutes)
}

// Minute returns the minute that will run next.
func (s *Simulation) Minute() int { return s.minute }

// First returns the minute at which the simulation began.
func (s *Simulation) First() int { return s.first }

// Step runs one minute, moves on to the next and returns the instances that
// came into service there. The demand must cover the minute that runs.
func (s *Simulation) Step() []Instance {
	s.inService = append(s.inService, int16(s.Pool.InService()))
	s.billed = append(s.billed, int16(s.Pool.Billed()))
	s.minute++
	return s.Pool.Arrive(s.minute)
}

// InService returns the instances that served in minute m, which has run.
func (s *Simulation) InService(m int) int { return int(s.inService[m-s.first]) }

// Billed returns the instances that were billed in minute m, which has run.
func (s *Simulation) Billed(m int) int { return int(s.billed[m-s.first]) }

// Utilisation returns min(1, D/s) of minute m, which has run: the mean CPU of
// the instances in service, as a fraction. NaN when nothing was in service.
func (s *Simulation) Utilisation(m int) float64 {
	n := s.InService(m)
	if n == 0 {
		return math.NaN()
	}
	return min(1, s.Demand.At(m)/float64(n))
}

// View returns what a controller may know at the start of the next minute.
func (s *Simulation) View() View { return View{s} }

// View is what a controller may see at the start of a minute. Slot i becomes
// visible one minute after its end.
type View struct{ sim *Simulation }

// Minute returns the minute that is about to run.
func (v View) Minute() int { return v.sim.minute }

// SlotMinutes returns the length of a slot in minutes.
func (v View) SlotMinutes() int { return v.sim.Demand.SlotMinutes() }

// InService returns the number of instances in service.
func (v View) InService() int { return v.sim.Pool.InService() }

// Starting returns the number of instances ordered and not yet in service.
func (v View) Starting() int { return v.sim.Pool.Starting() }

// Time returns the start of the minute that is about to run.
func (v View) Time() time.Time { return v.sim.Demand.Time(v.sim.minute) }

// Slots returns the number of visible slots: 0 .. Slots()-1 may be asked for.
func (v View) Slots() int { return max(0, (v.sim.minute-1)/v.SlotMinutes()) }

// NewSlot reports whether a slot has just become visible: the moment at which
// controllers of slot rhythm decide.
func (v View) NewSlot() bool {
	return v.sim.minute > v.SlotMinutes() && (v.sim.minute-1)%v.SlotMinutes() == 0
}

// Demand returns the offered demand of a visible slot, in instance-equivalents;
// NaN where it was not observed. It panics for a slot that is not visible: a
// controller that looks ahead is a mistake of its author.
func (v View) Demand(slot int) float64 {
	v.mustSee(slot)
	if v.sim.Demand.Missing[slot] {
		return math.NaN()
	}
	return v.sim.Demand.Slots[slot]
}

// Utilisation returns the mean utilisation of a visible slot, 0 to 1; NaN where
// the fleet was not simulated, or nothing was in service, for the whole slot. It
// panics for a slot that is not visible.
func (v View) Utilisation(slot int) float64 {
	v.mustSee(slot)
	n := v.SlotMinutes()
	if slot*n < v.sim.first {
		return math.NaN()
	}
	sum := 0.0
	for m := slot * n; m < (slot+1)*n; m++ {
		sum += v.sim.Utilisation(m)
	}
	return sum / float64(n)
}

// MeanInService returns the mean number of instances in service of a visible slot;
// NaN where the fleet was not simulated for the whole slot. It panics for a slot
// that is not visible.
func (v View) MeanInService(slot int) float64 {
	v.mustSee(slot)
	n := v.SlotMinutes()
	if slot*n < v.sim.first {
		return math.NaN()
	}
	sum := 0
	for m := slot * n; m < (slot+1)*n; m++ {
		sum += v.sim.InService(m)
	}
	return float64(sum) / float64(n)
}

// SlotStart returns the start of a slot, which may lie ahead.
func (v View) SlotStart(slot int) time.Time { return v.sim.Demand.Time(slot * v.SlotMinutes()) }

// UtilisationAt returns min(1, D/s) of a minute that has run; NaN where it was not
// simulated or nothing was in service. It panics for a minute still to come.
func (v View) UtilisationAt(minute int) float64 {
	if v.mustHaveRun(minute); minute < v.sim.first {
		return math.NaN()
	}
	return v.sim.Utilisation(minute)
}

// InServiceAt returns the instances that served in a minute that has run; 0 where
// it was not simulated. It panics for a minute still to come.
func (v View) InServiceAt(minute int) int {
	if v.mustHaveRun(minute); minute < v.sim.first {
		return 0
	}
	return v.sim.InService(minute)
}

func (v View) mustHaveRun(minute int) {
	if minute >= v.sim.minute {
		panic("fleet: the controller asked for a minute that has not run yet")
	}
}

func (v View) mustSee(slot int) {
	if slot < 0 || slot >= v.Slots() {
		panic("fleet: the controller asked for a slot that is not visible yet")
	}
}

// Controller decides the size of a fleet. Decide is called once at the start of
// each minute and returns the desired capacity; it need not clip it.
type Controller interface {
	Decide(v View) (desired int)
}

// Run is what a fleet did from minute From on, one entry per minute.
type Run struct {
	From      int
	InService []int
	Billed    []int
	Before    int // billed in minute From-1, or -1 when that was not simulated
}

// run extracts the minutes [from, to), all of which have run.
func (s *Simulation) run(from, to int) Run {
	r := Run{From: from, InService: make([]int, 0, to-from), Billed: make([]int, 0, to-from), Before: -1}
	if from > s.first {
		r.Before = s.Billed(from - 1)
	}
	for m := from; m < to; m++ {
		r.InService = append(r.InService, s.InService(m))
		r.Billed = append(r.Billed, s.Billed(m))
	}
	return r
}
