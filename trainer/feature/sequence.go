package feature

import (
	"math"

	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
)

// clock, of a sequence only, is the sine or cosine of a cycle's phase a slots
// before the origin, from those at the origin:
//
//	sin(θ-aδ) = sin θ cos aδ - cos θ sin aδ
//	cos(θ-aδ) = cos θ cos aδ + sin θ sin aδ
const clock = kinds

// maxWindow is the most slots of a sequence.
const maxWindow = 36

// Window returns the number of slots of the sequence.
func (s *Set) Window() int { return s.window }

// Channels returns the number of channels of the sequence.
func (s *Set) Channels() int { return s.channels }

// sequences returns the values that a sequence needs beside the lookback: those
// a day before each of its slots.
func sequences(spec models.Spec) []definition {
	p := periodsOf(spec.Step())
	if p.day == 0 {
		return nil
	}
	n := min(maxWindow, spec.Lookback)
	return []definition{{name: "seasonal change", kind: change, series: spec.Target, ages: span(p.day, p.day+n), column: -1}}
}

// resolveSequences finds the values of the sequence: for each slot, oldest
// first, the change to the newest value, the change from a day before, the other
// series' changes, flags, masks, and the time of day and of the hour.
func (s *Set) resolveSequences() {
	p := periodsOf(s.spec.Step())
	for age := s.Window() - 1; age >= 0; age-- {
		n := len(s.steps)
		i, _ := s.row.find(s.spec.Target, age)
		s.steps = append(s.steps, tapped{kind: change, from: []int{i}})
		if j, ok := s.row.find(s.spec.Target, age+p.day); ok && p.day > 0 && s.hasSeason(p.day) {
			s.steps = append(s.steps, tapped{kind: other, from: []int{i}, less: []int{j}})
		}
		for c, name := range s.spec.Series {
			if c == 0 {
				continue
			}
			at, _ := s.row.find(name, age)
			newest, _ := s.row.find(name, 0)
			if window.IsFlag(s.spec, name) {
				s.steps = append(s.steps, tapped{kind: plain, from: []int{at}})
			} else {
				s.steps = append(s.steps, tapped{kind: other, from: []int{at}, less: []int{newest}})
			}
		}
		if s.spec.Masks {
			for c := range s.spec.Series {
				at := (s.spec.Lookback-1-age)*s.spec.Channels() + len(s.spec.Series) + c
				s.steps = append(s.steps, tapped{kind: plain, from: []int{at}})
			}
		}
		s.addClock("hour_of_day", age, p.day)
		s.addClock("minute_of_hour", age, p.hour)
		s.channels = len(s.steps) - n
	}
}

// hasSeason reports whether the row holds the value a day before every slot of
// the sequence: a channel is there for all slots or for none.
func (s *Set) hasSeason(day int) bool {
	for age := range s.Window() {
		if _, ok := s.row.find(s.spec.Target, age+day); !ok {
			return false
		}
	}
	return true
}

func (s *Set) addClock(feature string, age, period int) {
	sine, cosine := -1, -1
	for column, name := range window.ContextNames(s.spec) {
		switch name {
		case feature + " sin1":
			sine = s.row.series + column
		case feature + " cos1":
			cosine = s.row.series + column
		}
	}
	if sine < 0 || period == 0 {
		return
	}
	sin, cos := math.Sincos(2 * math.Pi * float64(age) / float64(period))
	s.steps = append(s.steps,
		tapped{kind: clock, from: []int{sine, cosine}, coef: []float32{float32(cos), float32(-sin)}},
		tapped{kind: clock, from: []int{cosine, sine}, coef: []float32{float32(cos), float32(sin)}})
}
