package fleet

import "math"

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

// Static keeps a constant number of instances.
type Static int

// Decide returns the constant.
func (s Static) Decide(View) int { return int(s) }

// Rule is the reference reactive rule on observed CPU: whenever a slot becomes
// visible, one instance more when its utilisation was above High, one less when
// it was below Low. Both are fractions of 1.
type Rule struct{ High, Low float64 }

// ReferenceRule adds above 70 % CPU and removes below 35 %.
var ReferenceRule = Rule{High: 0.70, Low: 0.35}

// Decide applies the rule to the instances that exist, starting ones included.
func (r Rule) Decide(v View) int {
	n := v.InService() + v.Starting()
	if !v.NewSlot() {
		return n
	}
	// A comparison with NaN is false: without an observation nothing changes.
	switch u := v.Utilisation(v.Slots() - 1); {
	case u > r.High:
		return n + 1
	case u < r.Low:
		return n - 1
	}
	return n
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
