package control

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/blob/s3test"
)

func TestInMemory(t *testing.T) {
	conformance(t, func(t *testing.T) func() blob.Store {
		s := blob.NewMemory()
		return func() blob.Store { return s }
	})
}

func TestInADirectory(t *testing.T) {
	conformance(t, func(t *testing.T) func() blob.Store {
		dir := t.TempDir()
		return func() blob.Store { return open(t, dir) }
	})
}

func TestInS3(t *testing.T) {
	server := s3test.StartServer(t)
	var n atomic.Int32
	conformance(t, func(t *testing.T) func() blob.Store {
		url := server.URL(fmt.Sprint("orders/", n.Add(1)))
		return func() blob.Store { return open(t, url) }
	})
}

func open(t *testing.T, url string) blob.Store {
	t.Helper()
	s, err := blob.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// conformance checks the orders on a kind of store. fresh returns an empty one;
// two calls of its result are two clients of the same objects.
func conformance(t *testing.T, fresh func(t *testing.T) func() blob.Store) {
	for name, check := range map[string]func(*testing.T, func() blob.Store){
		"what one client gives another one reads":        checkRoundTrip,
		"a second order of a kind replaces the first":    checkReplace,
		"an order is withdrawn by kind and group":        checkWithdraw,
		"racing orders are all kept":                     checkRace,
		"an unreadable object stays and is told about":   checkUnreadable,
		"an order at fault changes nothing":              checkFaulty,
		"an order expired for a day is dropped by Put":   checkExpired,
		"a store that cannot be reached is no emptiness": checkAway,
	} {
		t.Run(name, func(t *testing.T) { check(t, fresh(t)) })
	}
}

func give(t *testing.T, s *Store, cs ...api.Control) {
	t.Helper()
	for _, c := range cs {
		if err := s.Put(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

func listed(t *testing.T, s *Store) []api.Control {
	t.Helper()
	cs, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

// about returns an order like order(), but of another kind and about another group.
func about(kind api.ControlKind, group string) api.Control {
	c := order()
	c.Kind, c.Group = kind, group
	return c
}

func checkRoundTrip(t *testing.T, client func() blob.Store) {
	a, b := New(client()), New(client())
	if cs := listed(t, b); len(cs) != 0 {
		t.Errorf("an empty store lists %v", cs)
	}
	web, idle, all := about(api.ControlPause, "web"), about(api.ControlFreeze, "idle <&> ünï"), about(api.ControlFreeze, api.AllGroups)
	web.At = noon.In(time.FixedZone("", 3600))
	web.Reason = "  blanks at both ends "
	give(t, a, web, idle, all)
	web.At, web.Reason = noon, "blanks at both ends"
	if got, want := listed(t, b), []api.Control{all, idle, web}; !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
}

func checkReplace(t *testing.T, client func() blob.Store) {
	s := New(client())
	later := order()
	later.Until, later.Reason = noon.Add(5*time.Hour), "it takes longer"
	give(t, s, order(), about(api.ControlPause, "web"), later)
	if got, want := listed(t, s), []api.Control{later, about(api.ControlPause, "web")}; !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
}

func checkWithdraw(t *testing.T, client func() blob.Store) {
	s := New(client())
	if found, err := s.Withdraw(t.Context(), api.ControlFreeze, "web"); found || err != nil {
		t.Errorf("from an empty store: %v, %v", found, err)
	}
	if _, err := client().Get(t.Context(), Key); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("withdrawing nothing has written an object: %v", err)
	}
	give(t, s, order(), about(api.ControlPause, "web"), about(api.ControlFreeze, api.AllGroups))
	for _, c := range []struct {
		kind  api.ControlKind
		group string
		found bool
		left  int
	}{
		{api.ControlFreeze, "idle", false, 3},
		{api.ControlPause, api.AllGroups, false, 3},
		{api.ControlFreeze, api.AllGroups, true, 2},
		{api.ControlFreeze, "web", true, 1},
		{api.ControlFreeze, "web", false, 1},
		{api.ControlPause, "web", true, 0},
	} {
		found, err := s.Withdraw(t.Context(), c.kind, c.group)
		if n := len(listed(t, s)); found != c.found || err != nil || n != c.left {
			t.Errorf("%s of %s: %v, %v, %d left; want %v, %d left", c.kind, c.group, found, err, n, c.found, c.left)
		}
	}
}

func checkRace(t *testing.T, client func() blob.Store) {
	const n = 8
	give(t, New(client()), about(api.ControlPause, "keep"), about(api.ControlPause, "gone"))
	var wg sync.WaitGroup
	for i := range n {
		s := New(client())
		wg.Go(func() {
			if err := s.Put(context.Background(), about(api.ControlFreeze, fmt.Sprint("g", i))); err != nil {
				t.Error(err)
			}
			if i == 0 {
				if found, err := s.Withdraw(context.Background(), api.ControlPause, "gone"); !found || err != nil {
					t.Errorf("withdraw: %v, %v", found, err)
				}
			}
		})
	}
	wg.Wait()
	got := map[string]bool{}
	for _, c := range listed(t, New(client())) {
		got[c.Group] = true
	}
	if len(got) != n+1 || !got["keep"] || got["gone"] {
		t.Errorf("left are %v", got)
	}
}

func checkUnreadable(t *testing.T, client func() blob.Store) {
	store := client()
	s := New(store)
	valid := `{"kind":"freeze","group":"web","until":"2026-03-02T14:00:00Z","reason":"sale","by":"ana","at":"2026-03-02T12:00:00Z"}`
	for name, c := range map[string]struct{ data, want string }{
		"half an object":           {`{"format":1,"contr`, "unexpected end"},
		"nothing":                  {``, "unexpected end"},
		"a later format":           {`{"format":2,"orders":{}}`, "format 2, and this version reads 1"},
		"no format":                {`{"controls":[]}`, "format 0"},
		"an unknown field":         {`{"format":1,"controls":[],"owner":"x"}`, `unknown field "owner"`},
		"an unknown kind":          {`{"format":1,"controls":[` + strings.Replace(valid, "freeze", "halt", 1) + `]}`, `controls[0]: kind "halt"`},
		"an order without a group": {`{"format":1,"controls":[` + strings.Replace(valid, "web", "", 1) + `]}`, "controls[0]: group"},
		"the same twice":           {`{"format":1,"controls":[` + valid + "," + valid + `]}`, `a second freeze of "web"`},
		"two objects":              {`{"format":1,"controls":[]} {}`, "after top-level value"},
	} {
		if _, err := store.Put(t.Context(), Key, []byte(c.data), blob.Condition{}); err != nil {
			t.Fatal(err)
		}
		_, listErr := s.List(t.Context())
		_, withdrawErr := s.Withdraw(t.Context(), api.ControlFreeze, "web")
		for what, err := range map[string]error{"List": listErr, "Put": s.Put(t.Context(), order()), "Withdraw": withdrawErr} {
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), Key) || !strings.Contains(err.Error(), "move it away") {
				t.Errorf("%s: %s says %v, want %q with what to do", name, what, err, c.want)
			}
		}
		if o, err := store.Get(t.Context(), Key); err != nil || string(o.Data) != c.data {
			t.Errorf("%s: the object is now %q, %v", name, o.Data, err)
		}
	}
}

func checkFaulty(t *testing.T, client func() blob.Store) {
	s := New(client())
	give(t, s, order())
	bad := order()
	bad.Reason = "x"
	if err := s.Put(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "reason is 1 characters") {
		t.Errorf("got %v", err)
	}
	if got := listed(t, s); !reflect.DeepEqual(got, []api.Control{order()}) {
		t.Errorf("got %+v", got)
	}
}

func checkExpired(t *testing.T, client func() blob.Store) {
	s := New(client())
	give(t, s, order()) // until 14:00
	next := about(api.ControlPause, "idle")
	for _, c := range []struct {
		at   time.Time
		left int
	}{
		{noon.Add(2 * time.Hour), 2},              // just expired: a clock may be wrong
		{noon.Add(26*time.Hour - time.Second), 2}, // a day later, nearly
		{noon.Add(26 * time.Hour), 1},             // a day later
	} {
		next.At, next.Until = c.at, c.at.Add(time.Hour)
		give(t, s, next)
		if got := listed(t, s); len(got) != c.left {
			t.Errorf("%s: %d orders are left, want %d", c.at, len(got), c.left)
		}
	}
}

func checkAway(t *testing.T, client func() blob.Store) {
	s := New(client())
	give(t, s, order())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if cs, err := s.List(ctx); !errors.Is(err, context.Canceled) || cs != nil {
		t.Errorf("List: %v, %v", cs, err)
	}
	if err := s.Put(ctx, about(api.ControlPause, "idle")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v", err)
	}
	if found, err := s.Withdraw(ctx, api.ControlFreeze, "web"); !errors.Is(err, context.Canceled) || found {
		t.Errorf("Withdraw: %v, %v", found, err)
	}
}

// endless conflicts with every write, as a store might under a storm of them.
type endless struct{ blob.Store }

func (endless) Put(context.Context, string, []byte, blob.Condition) (string, error) {
	return "", fmt.Errorf("put: %w", blob.ErrConflict)
}

func TestAWriteGivesUpInTheEnd(t *testing.T) {
	s := New(endless{blob.NewMemory()})
	if err := s.Put(t.Context(), order()); err == nil || !strings.Contains(err.Error(), "try again") {
		t.Errorf("got %v", err)
	}
}
