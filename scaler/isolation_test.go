package scaler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forescale/forescale/api"
)

// Of many models some hang for ever. Every other group has its forecast, at the
// first tick and at those after it.
func TestModelsThatHangCostNoOtherGroupItsForecast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const groups, hanging = 40, 6
		many := w.fleetOf(groups, 3)
		s := w.scaler(many, func(c *Config) {
			c.Parallel = 2 // fewer than there are that hang
			for i := range c.Groups {
				c.Groups[i].Model = "of-" + c.Groups[i].Name
			}
		})
		s.deps.Now = time.Now
		var mu sync.Mutex
		var order []string
		w.predict = func(ctx context.Context, req api.PredictRequest) (api.PredictResponse, error) {
			mu.Lock()
			order = append(order, req.Model)
			mu.Unlock()
			if req.Model < fmt.Sprintf("of-g%03d", hanging) && strings.HasPrefix(req.Model, "of-g") {
				<-ctx.Done()
				return api.PredictResponse{}, ctx.Err()
			}
			return w.answer(req), nil
		}
		for tick := range 3 {
			at := time.Now().UTC().Truncate(step).Add(step)
			time.Sleep(time.Until(at))
			w.set(at)
			order = nil
			rec, err := s.Once(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(at); took > 20*time.Second {
				t.Errorf("tick %d: it took %s", tick, took)
			}
			for _, d := range rec.Decisions {
				hangs := d.Group >= "g000" && d.Group < fmt.Sprintf("g%03d", hanging)
				if hangs == (d.Basis == api.BasisPredictive) {
					t.Errorf("tick %d, %s: basis %s\n%s", tick, d.Group, d.Basis, reasons(d))
				}
			}
			if len(order) != groups+4 {
				t.Errorf("tick %d: asked %v", tick, order)
			}
			for i, model := range order { // two are asked at a time, so neighbours may change places
				if hangs := model >= "of-g000" && model < fmt.Sprintf("of-g%03d", hanging); tick > 0 && hangs && i < len(order)-hanging-2 {
					t.Errorf("tick %d: %s is asked as number %d", tick, model, i)
				}
			}
			if len(rec.Errors) != hanging {
				t.Errorf("tick %d: errors %q", tick, rec.Errors)
			}
		}
	})
}

// slowAt is a provider at which some groups hang.
type slowAt struct {
	*world
	hangs func(group string) bool
	mu    sync.Mutex
	order []string // guarded by mu: groups in the order of the calls to Scale
}

func (s *slowAt) Scale(ctx context.Context, name string, desired int) error {
	s.mu.Lock()
	s.order = append(s.order, name)
	s.mu.Unlock()
	if s.hangs(name) {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.world.Scale(ctx, name, desired)
}

// Groups that hang at the provider hold nobody else up, and from the second time on
// they come last.
func TestGroupsThatHangAtTheProviderDelayNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cooldown = 0
		many := w.fleetOf(40, 5.9) // all wish to grow, at every tick
		p := &slowAt{world: w, hangs: func(name string) bool { return name < "g003" && strings.HasPrefix(name, "g") }}
		s := w.scaler(many, func(c *Config) { c.Parallel = 4 })
		s.deps.Now, s.deps.Target = time.Now, p
		for tick := range 2 {
			at := time.Now().UTC().Truncate(step).Add(step)
			time.Sleep(time.Until(at))
			w.set(at)
			p.order = nil
			rec, err := s.Once(t.Context(), at)
			if err != nil || time.Since(at) > 16*time.Second { // one deadline of an act
				t.Fatalf("tick %d took %s: %v", tick, time.Since(at), err)
			}
			for _, d := range rec.Decisions[4:] {
				if p.hangs(d.Group) != (d.Outcome.Status == api.OutcomeFailed) || d.Outcome.At.Sub(at) > 0 != p.hangs(d.Group) {
					t.Errorf("tick %d: %s is %s after %s: %s", tick, d.Group, d.Outcome.Status, d.Outcome.At.Sub(at), d.Outcome.Detail)
				}
			}
			for i, name := range p.order { // four are changed at a time
				if tick == 1 && p.hangs(name) && i < len(p.order)-7 {
					t.Errorf("%s is changed as number %d of %d", name, i, len(p.order))
				}
			}
			if len(p.order) < 40 {
				t.Errorf("tick %d: changed %v", tick, p.order)
			}
		}
	})
}

// What grows is carried out before what shrinks.
func TestGrowthComesFirst(t *testing.T) {
	w := newWorld(t)
	s := w.scaler(func(c *Config) { c.Groups[0], c.Groups[1] = c.Groups[1], c.Groups[0] })
	if _, err := w.once(s, t0); err != nil {
		t.Fatal(err)
	}
	if len(w.calls) != 2 || w.calls[0].group != "up" {
		t.Errorf("calls %v", w.calls)
	}
}

// A provider whose listing fails for some groups decides the others.
func TestGroupsThatCannotBeReadLeaveTheOthersAlone(t *testing.T) {
	w := newWorld(t)
	s := w.scaler()
	s.deps.Target = &partly{w}
	rec, err := w.once(s, t0)
	if err != nil || decisionOf(rec, "up").Outcome.Status != api.OutcomeAccepted {
		t.Errorf("%v, %+v", err, decisionOf(rec, "up").Outcome)
	}
	if d := decisionOf(rec, "down"); !strings.Contains(d.CapacityError, "throttled") || d.Outcome.Status != api.OutcomeNone {
		t.Errorf("%+v", d)
	}
	w.replay("partly read", rec)
}

type partly struct{ *world }

func (p *partly) Capacities(ctx context.Context, groups []string) (map[string]api.Capacity, error) {
	found, err := p.world.Capacities(ctx, groups)
	delete(found, "down")
	return found, errors.Join(err, errors.New("throttled"))
}

// A server that is down for a thousand models is not told of a thousand times.
func TestFaultsOfATickAreBounded(t *testing.T) {
	w := newWorld(t)
	w.predict = func(context.Context, api.PredictRequest) (api.PredictResponse, error) {
		return api.PredictResponse{}, errors.New("connection refused")
	}
	rec := w.mustOnce(t0, w.fleetOf(200, 3), func(c *Config) {
		for i := range c.Groups {
			c.Groups[i].Model = "of-" + c.Groups[i].Name
		}
	})
	if n := len(rec.Errors); n != maxFaults+1 || rec.Errors[n-1] != "and 154 more faults; the decisions name them" {
		t.Errorf("%d errors, the last is %q", n, rec.Errors[n-1])
	}
	if d := decisionOf(rec, "g199"); !strings.Contains(reasons(d), "connection refused") {
		t.Errorf("the decision does not name its fault:\n%s", reasons(d))
	}
}
