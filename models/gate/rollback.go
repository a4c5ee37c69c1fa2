package gate

import "fmt"

// RollBack holds the limits of a promoted model's live coverage. Its band is wider
// than that of a promotion, because live slots are fewer and follow each other.
type RollBack struct {
	// MinSlots is how many slots since the promotion are needed for a judgement.
	MinSlots int     `yaml:"min_slots"`
	Below    float64 `yaml:"coverage_below"` // under a level, both between 0 and 1
	Above    float64 `yaml:"coverage_above"` // over it
}

// Live is how actual values fell against the forecasts that the champion made for
// them since its promotion.
type Live struct {
	Champion int `json:"champion"` // version
	Former   int `json:"former"`   // the version that it replaced; 0: there is none
	// RolledBack is true when the champion itself came back by a roll-back: there is
	// no use in going to and fro between two versions.
	RolledBack bool     `json:"rolled_back,omitempty"`
	Counts     []Counts `json:"counts"` // by upper level
}

// Counts are those of one level.
type Counts struct {
	Level   float64 `json:"level"`
	Slots   int     `json:"slots"`   // with both a forecast and an actual value
	Covered int     `json:"covered"` // of them with the actual value at or below the quantile
}

// Return says whether the former version shall serve again.
type Return struct {
	RollBack bool `json:"roll_back"`
	// Alert is true when the coverage has left its band, whether or not there is a
	// version to go back to.
	Alert   bool     `json:"alert"`
	To      int      `json:"to,omitempty"` // the version, when RollBack
	Why     string   `json:"why"`
	Reasons []Reason `json:"reasons"`
}

// CheckFormer is the check that there is a version to go back to.
const CheckFormer = "former"

// Judge returns whether the champion has to give way to its predecessor: the
// coverage of at least one upper quantile is out of its band over enough slots, and
// there is a predecessor that was not itself rolled back. Too few slots, and counts
// that cannot be, change nothing.
func (c RollBack) Judge(in Live) Return {
	var v Return
	worst := ""
	for _, n := range in.Counts {
		if !(n.Level > 0.5 && n.Level < 1) {
			continue
		}
		r := c.level(n)
		v.Reasons = append(v.Reasons, r)
		if !r.Passed && worst == "" {
			worst = r.Detail
		}
	}
	v.Alert = worst != ""
	switch {
	case len(v.Reasons) == 0:
		v.Why = "no coverage of an upper quantile was measured"
	case !v.Alert:
		v.Why = "the coverage is within its band, or not known well enough"
	case in.Former < 1:
		v.Why = worst + "; there is no former version to go back to"
		v.Reasons = append(v.Reasons, Reason{Check: CheckFormer, Detail: "there is none"})
	case in.RolledBack:
		v.Why = fmt.Sprintf("%s; version %d was rolled back itself", worst, in.Former)
		v.Reasons = append(v.Reasons, Reason{Check: CheckFormer, Detail: fmt.Sprintf("version %d was rolled back itself", in.Former)})
	default:
		v.RollBack, v.To = true, in.Former
		v.Why = fmt.Sprintf("version %d: %s", in.Champion, worst)
	}
	return v
}

// level judges one level. It passes unless its coverage is known to be outside.
func (c RollBack) level(n Counts) Reason {
	r := Reason{Check: CheckCoverage, Against: copied(n.Level), Passed: true}
	switch {
	case n.Slots < 0 || n.Covered < 0 || n.Covered > n.Slots:
		r.Detail = fmt.Sprintf("%d of %d slots cannot be", n.Covered, n.Slots)
		return r
	case n.Slots < c.MinSlots || n.Slots == 0:
		r.Detail = fmt.Sprintf("only %d slots since the promotion, fewer than the %d that are needed", n.Slots, c.MinSlots)
		return r
	}
	share := float64(n.Covered) / float64(n.Slots)
	r = inBand(CheckCoverage, n.Level, &share, c.Below, c.Above)
	r.Detail += fmt.Sprintf(", over %d live slots", n.Slots)
	return r
}
