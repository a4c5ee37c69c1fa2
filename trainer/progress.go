package trainer

import (
	"sync"
	"time"
)

// Progress says how far training is.
type Progress struct {
	Stage string        // what is being fitted: "linear", "network", "trees"
	Done  float64       // share of the training that is done, 0 to 1, by the usual cost of its parts
	Left  time.Duration // estimate from the time that the done part took; 0 while unknown
	// Network is set while a network reports.
	Network *NetworkProgress
}

// NetworkProgress is how far one network is. Several may be fitted at a time.
type NetworkProgress struct {
	Name            string
	Epoch, Epochs   int // Epoch counts from 1
	Step, Steps     int // of this epoch; Step counts from 1
	Loss            float64
	Validation      float64 // loss of the last epoch on the validation part; NaN in the first
	Rate            float64 // learning rate
	RejectedUpdates int     // steps not taken because the gradient was not finite
}

// What parts of a training cost, relative to each other.
const (
	linearCost  = 1 // of a mode
	networkCost = 4 // of a network
	treesCost   = 4 // of a member
)

// progress gathers what several goroutines report; they may call its methods at
// the same time.
type progress struct {
	config  Config
	started time.Time
	mu      sync.Mutex
	done    float64
	total   float64
}

func newProgress(c Config, r recipe) *progress {
	p := &progress{config: c, started: c.now(), total: float64(linearCost*len(r.modes) + treesCost*len(r.trees))}
	for _, n := range r.networks {
		p.total += float64(networkCost * n.seeds)
	}
	return p
}

// advance says that a part of some cost is done.
func (p *progress) advance(stage string, cost float64, n *NetworkProgress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += cost
	if p.config.Progress == nil {
		return
	}
	u := Progress{Stage: stage, Done: min(1, p.done/max(1, p.total)), Network: n}
	if p.config.Now != nil && u.Done > 0 {
		u.Left = time.Duration(float64(p.config.Now().Sub(p.started)) * (1/u.Done - 1))
	}
	p.config.Progress(u)
}
