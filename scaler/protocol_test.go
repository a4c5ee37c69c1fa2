package scaler

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

// ticks is how many ticks a story has; two cooldowns fit into it.
const ticks = 4

// undisturbed returns the changes that four ticks make when nothing goes wrong.
func undisturbed(t *testing.T, cooldown time.Duration) []call {
	w := newWorld(t)
	w.cooldown = cooldown
	for i := range ticks {
		w.mustOnce(t0.Add(time.Duration(i) * step))
	}
	w.check("undisturbed")
	return w.changes
}

func TestATickDecidesActsAndRecords(t *testing.T) {
	w := newWorld(t)
	rec := w.mustOnce(t0.Add(time.Minute))
	if !rec.Tick.Equal(t0) || rec.Scaler != "a" || len(rec.Errors) != 0 {
		t.Fatalf("record %+v", rec)
	}
	for group, want := range map[string]struct {
		desired int
		status  api.OutcomeStatus
	}{"up": {5, api.OutcomeAccepted}, "down": {5, api.OutcomeAccepted}, "same": {4, api.OutcomeNone}, "dry": {5, api.OutcomeDryRun}} {
		d := decisionOf(rec, group)
		if d.Desired != want.desired || d.Outcome.Status != want.status || d.Basis != api.BasisPredictive {
			t.Errorf("%s: %d %s %s: %v", group, d.Desired, d.Basis, d.Outcome.Status, d.Reasons)
		}
		if d.Forecast == nil || d.Model != "m" || d.ModelVersion != 1 || d.Outcome.At.IsZero() || d.Observed["demand"] == 0 {
			t.Errorf("%s: the record lacks inputs: %+v", group, d)
		}
	}
	if len(w.asked) != 1 || len(w.asked[0].Windows) != 4 {
		t.Errorf("%d requests instead of one with all windows", len(w.asked))
	}
	w.check("first tick")
	if got := fmt.Sprint(undisturbed(t, 2*step)); !strings.Contains(got, "{up 4 5") || !strings.Contains(got, "{up 5 6") || !strings.Contains(got, "{down 5 4") {
		t.Errorf("the story shows too little: %s", got)
	}
}

func TestATickIsDecidedOnce(t *testing.T) {
	w := newWorld(t)
	first := w.mustOnce(t0)
	w.alter(func() { w.groups["same"].demand = 10 })
	again := w.mustOnce(t0.Add(4*time.Minute), func(c *Config) { c.ID = "b" })
	if !reflect.DeepEqual(first, again) {
		t.Errorf("the second run returned\n%+v\ninstead of\n%+v", again, first)
	}
	if len(w.calls) != 2 {
		t.Errorf("calls %v", w.calls)
	}
}

// everyFault lists every operation of a tick and how often it happens.
func everyFault(t *testing.T) map[string]int {
	w := newWorld(t)
	w.mustOnce(t0) // so that the second tick finds a lease and a state
	w.alter(func() { w.groups["down"].demand, w.groups["up"].desired = 1.2, 4 })
	w.bad = &saboteur{seen: map[string]int{}}
	w.mustOnce(t0.Add(2 * step))
	return w.bad.seen
}

// TestWhateverGoesWrong lets every operation of a tick go wrong in every way,
// then has a fresh scaler go on, within the same tick or at the next one.
func TestWhateverGoesWrong(t *testing.T) {
	want := undisturbed(t, 2*step)
	faults := everyFault(t)
	for _, must := range []string{"put scaler/state.json", "scale up", "put audit/date=2026-03-02/20260302T121000Z-all.json", "put scaler/lease.json", "predict", "orders", "launches"} {
		if faults[must] == 0 {
			t.Fatalf("operation %q does not occur: %v", must, faults)
		}
	}
	stories := 0
	for op, n := range faults {
		op = strings.Replace(op, "T121000Z", "T120000Z", 1)
		for nth := 1; nth <= n+2; nth++ { // recovery repeats some of them
			for _, m := range []mode{diesBefore, diesAfter, failsOnce, losesReply} {
				for _, sameTick := range []bool{true, false} {
					stories++
					w := newWorld(t)
					w.bad = &saboteur{op: op, nth: nth, mode: m, seen: map[string]int{}}
					_, _ = w.once(w.scaler(), t0) // goes wrong, or not
					w.bad = nil
					pending := w.state().Pending != nil
					what := fmt.Sprintf("a scaler %s %q no. %d", m, op, nth)
					if sameTick {
						w.mustOnce(t0.Add(time.Minute))
						what += ", resumed at once"
					} else {
						what += ", resumed at the next tick"
					}
					for i := 1; i < ticks; i++ {
						w.mustOnce(t0.Add(time.Duration(i) * step))
					}
					w.check(what)
					recs := w.records()
					if first := recs[0].Tick.Equal(t0); !first && (pending || sameTick) {
						t.Errorf("%s: the decisions of the first tick are lost", what)
					}
					// A dead process has not been refused anything: resumed within the tick, it
					// ends with the very same changes.
					if sameTick && (m == diesBefore || m == diesAfter) && !slices.Equal(sorted(w.changes), sorted(want)) {
						t.Errorf("%s: changes\n%v\ninstead of\n%v", what, w.changes, want)
					}
				}
			}
		}
	}
	t.Logf("%d stories", stories)
}

func sorted(calls []call) []call {
	calls = slices.Clone(calls)
	slices.SortFunc(calls, func(a, b call) int {
		if c := strings.Compare(a.group, b.group); c != 0 {
			return c
		}
		return a.tick.Compare(b.tick)
	})
	return calls
}

// TestDeathDuringRecovery kills the scaler that completes a dead one's tick.
func TestDeathDuringRecovery(t *testing.T) {
	for op := range everyFault(t) {
		op = strings.Replace(op, "T121000Z", "T120000Z", 1)
		for nth := 1; nth <= 3; nth++ {
			for _, m := range []mode{diesBefore, diesAfter} {
				w := newWorld(t)
				w.bad = &saboteur{op: "scale down", nth: 1, mode: diesAfter, seen: map[string]int{}}
				_, _ = w.once(w.scaler(), t0)
				w.bad = &saboteur{op: op, nth: nth, mode: m, seen: map[string]int{}}
				_, _ = w.once(w.scaler(), t0.Add(30*time.Second))
				w.bad = nil
				for i := range ticks {
					w.mustOnce(t0.Add(time.Duration(i)*step + time.Minute))
				}
				w.check(fmt.Sprintf("recovery %s %q no. %d", m, op, nth))
			}
		}
	}
}

// TestManyScalersAtOnce runs three scalers on each tick, two of them under the
// same id, with calls interleaved at random.
func TestManyScalersAtOnce(t *testing.T) {
	for round := range 80 {
		w := newWorld(t)
		w.cooldown = time.Duration(round%2) * 2 * step // without one, a doubled decision shows at once
		want := undisturbed(t, w.cooldown)
		r := rand.New(rand.NewPCG(uint64(round), 7))
		var mu sync.Mutex
		w.beforeScale = func(context.Context, string) error {
			mu.Lock()
			n := r.IntN(20)
			mu.Unlock()
			for range n {
				runtime.Gosched()
			}
			return nil
		}
		all := []*Scaler{}
		for _, id := range []string{"a", "b", "b"} {
			all = append(all, w.scaler(func(c *Config) { c.ID, c.Parallel = id, 4 }))
		}
		for i := range ticks {
			now := t0.Add(time.Duration(i) * step)
			w.set(now)
			var wg sync.WaitGroup
			for _, s := range all {
				wg.Go(func() {
					for range 1000 {
						_, err := s.Once(context.Background(), now)
						var held *LeaseHeldError
						switch {
						case err == nil:
							return
						case errors.As(err, &held), errors.Is(err, ErrLeaseLost):
							// Two under one id take the lease from each other; Run waits as well.
							time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
						default:
							t.Errorf("round %d: %v", round, err)
							return
						}
					}
					t.Errorf("round %d: a scaler never got through", round)
				})
			}
			wg.Wait()
			// The last one to finish the tick gives way, as a process that ends does.
			for _, s := range all {
				if err := s.Release(context.Background(), now); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.check(fmt.Sprintf("round %d", round))
		if !slices.Equal(sorted(w.changes), sorted(want)) {
			t.Fatalf("round %d: changes\n%v\ninstead of\n%v", round, sorted(w.changes), sorted(want))
		}
	}
}

// Another scaler completes the tick between this one's first look and its lease.
func TestATickRecordedInTheMeantimeIsNotDecidedAgain(t *testing.T) {
	w := newWorld(t)
	w.cooldown = 0
	s := w.scaler()
	var other api.TickRecord
	s.deps.Store = &hookedStore{w.store, func(key string) {
		if key == leaseKey && other.Tick.IsZero() {
			b := w.scaler(func(c *Config) { c.ID = "b" })
			var err error
			if other, err = b.Once(context.Background(), t0); err != nil {
				t.Fatal(err)
			}
			if err = b.Release(context.Background(), t0); err != nil {
				t.Fatal(err)
			}
		}
	}}
	rec, err := w.once(s, t0)
	if err != nil || !reflect.DeepEqual(rec, other) || len(w.calls) != 2 {
		t.Errorf("%v, calls %v, record %+v", err, w.calls, rec)
	}
	w.check("recorded meanwhile")
}

type hookedStore struct {
	blob.Store
	beforeGet func(key string)
}

func (h *hookedStore) Get(ctx context.Context, key string) (blob.Object, error) {
	h.beforeGet(key)
	return h.Store.Get(ctx, key)
}

type hooked struct {
	*world
	before func(groups []string)
}

func (h *hooked) Capacities(ctx context.Context, groups []string) (map[string]api.Capacity, error) {
	h.before(groups)
	return h.world.Capacities(ctx, groups)
}

// A scaler sleeps inside its call until another one has completed the tick.
func TestALateCallAsksForTheSameNumber(t *testing.T) {
	w := newWorld(t)
	first := true
	w.beforeScale = func(context.Context, string) error {
		if first {
			first = false
			w.mustOnce(t0.Add(2*time.Minute), func(c *Config) { c.ID = "b" })
		}
		return nil
	}
	_, err := w.once(w.scaler(), t0)
	if !errors.Is(err, ErrLeaseLost) {
		t.Errorf("got %v", err)
	}
	w.check("late call")
}

func TestTheDeadlineOfACallEndsBeforeTheLease(t *testing.T) {
	w := newWorld(t)
	var left time.Duration
	w.beforeScale = func(ctx context.Context, _ string) error {
		if deadline, ok := ctx.Deadline(); ok {
			left = time.Until(deadline)
		}
		return nil
	}
	w.mustOnce(t0, func(c *Config) { c.LeaseTTL, c.Deadlines.Act = 12*time.Second, 11*time.Second })
	if left <= 0 || left > 9*time.Second {
		t.Errorf("the call may take %s under a lease of 12s", left)
	}
}

func TestSomebodyElseChangesTheGroupMeanwhile(t *testing.T) {
	w := newWorld(t)
	s := w.scaler()
	s.deps.Target = &hooked{w, func(groups []string) {
		if len(groups) == 1 && groups[0] == "up" {
			w.alter(func() { w.groups["up"].desired = 9 })
		}
	}}
	rec, err := w.once(s, t0)
	if err != nil {
		t.Fatal(err)
	}
	if d := decisionOf(rec, "up"); d.Outcome.Status != api.OutcomeSkipped || !strings.Contains(d.Outcome.Detail, "9") {
		t.Errorf("outcome %+v", d.Outcome)
	}
	if w.desired("up") != 9 || !w.state().Groups["up"].LastOut.IsZero() {
		t.Errorf("desired %d, state %+v", w.desired("up"), w.state().Groups["up"])
	}
	if d := decisionOf(rec, "down"); d.Outcome.Status != api.OutcomeAccepted {
		t.Errorf("the other group: %+v", d.Outcome)
	}
}

// Told to stop while it acts, a scaler completes and records the tick; told to
// stop before, it does nothing.
func TestAStopDrainsTheTick(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	w.beforeScale = func(context.Context, string) error { cancel(); return nil }
	rec, err := w.scaler().Once(ctx, t0)
	if err != nil || decisionOf(rec, "down").Outcome.Status != api.OutcomeAccepted || len(w.calls) != 2 {
		t.Errorf("%v, calls %v", err, w.calls)
	}
	w.check("stopped while acting")

	w = newWorld(t)
	ctx, cancel = context.WithCancel(context.Background())
	w.predict = func(context.Context, api.PredictRequest) (api.PredictResponse, error) {
		cancel()
		return api.PredictResponse{}, ctx.Err()
	}
	if _, err := w.scaler().Once(ctx, t0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if len(w.calls) != 0 || w.state().Pending != nil || len(w.records()) != 0 {
		t.Errorf("calls %v", w.calls)
	}
}

func TestARefusedActionStartsNoCooldown(t *testing.T) {
	w := newWorld(t)
	w.beforeScale = func(_ context.Context, g string) error {
		if g == "up" {
			return fmt.Errorf("maximum: %w", ErrBounds)
		}
		return nil
	}
	rec := w.mustOnce(t0)
	if d := decisionOf(rec, "up"); d.Outcome.Status != api.OutcomeFailed {
		t.Errorf("outcome %+v", d.Outcome)
	}
	w.beforeScale = nil
	w.mustOnce(t0.Add(step))
	if w.desired("up") != 5 {
		t.Error("the next tick did not act")
	}
	w.check("refused")
}

func TestAnActionWhoseAnswerWasLostStartsItsCooldownLater(t *testing.T) {
	w := newWorld(t)
	w.bad = &saboteur{op: "scale up", nth: 1, mode: losesReply, seen: map[string]int{}}
	rec := w.mustOnce(t0)
	if d := decisionOf(rec, "up"); d.Outcome.Status != api.OutcomeFailed {
		t.Fatalf("outcome %+v", d.Outcome)
	}
	w.bad = nil
	rec = w.mustOnce(t0.Add(step))
	if w.desired("up") != 5 || len(rec.Errors) != 1 || !strings.Contains(rec.Errors[0], "was carried out") {
		t.Errorf("desired %d, errors %v", w.desired("up"), rec.Errors)
	}
	w.check("lost answer")
}
