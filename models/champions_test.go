package models

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/blob"
)

// hour returns a moment of the day after the manifests' CreatedAt.
func hour(n int) time.Time { return time.Date(2026, 3, 2, n, 0, 0, 0, time.UTC) }

// three returns a registry with three versions of web, the first of which serves.
func three(t *testing.T) (*Registry, blob.Store) {
	t.Helper()
	store := blob.NewMemory()
	r := NewRegistry(store)
	for _, model := range []string{"a", "b", "c"} {
		put(t, r, manifest("web", "web"), model)
	}
	return r, store
}

// told returns a history in short: version<from by, with ! for a roll-back.
func told(t *testing.T, r *Registry) string {
	t.Helper()
	changes, err := r.History(ctx, "web")
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, c := range changes {
		parts = append(parts, fmt.Sprintf("%d<%d%s %s", c.Version, c.From, map[bool]string{true: "!"}[c.RollBack], strings.TrimSpace(c.At.Format("0102T15")+" "+c.By)))
	}
	return strings.Join(parts, ", ")
}

func move(t *testing.T, r *Registry, version, from, at int, by string) {
	t.Helper()
	if err := r.Move(ctx, "web", Change{Version: version, From: from, At: hour(at), By: by, Why: "because", Evidence: json.RawMessage(`{"promote":true}`)}); err != nil {
		t.Fatal(err)
	}
}

func TestTheHistoryTellsWhoMovedTheChampionWhenAndWhy(t *testing.T) {
	r, _ := three(t)
	if got := told(t, r); got != "1<0 0301T00" {
		t.Errorf("at first: %s", got)
	}
	move(t, r, 2, 1, 1, "gate")
	move(t, r, 3, 2, 2, "ana")
	if c, err := r.RollBack(ctx, "web", Change{From: 3, At: hour(3).In(time.FixedZone("", 3600)), By: "gate", Why: "coverage"}); err != nil || c.Version != 2 || !c.RollBack {
		t.Fatalf("rolled back: %+v, %v", c, err)
	}
	move(t, r, 3, 2, 4, "ana")
	if got, want := told(t, r), "3<2 0302T04 ana, 2<3! 0302T03 gate, 3<2 0302T02 ana, 2<1 0302T01 gate, 1<0 0301T00"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	changes, err := r.History(ctx, "web")
	if err != nil || changes[0].Why != "because" || string(changes[0].Evidence) != `{"promote":true}` || changes[1].Why != "coverage" {
		t.Errorf("got %+v, %v", changes, err)
	}
	if m, err := r.Champion(ctx, "web"); err != nil || m.Version != 3 {
		t.Errorf("champion %d, %v", m.Version, err)
	}
	if v, err := r.Versions(ctx, "web"); err != nil || len(v) != 3 {
		t.Errorf("the records are taken for versions: %v, %v", v, err)
	}
}

func TestAChangeThatLostIsInNoHistory(t *testing.T) {
	r, store := three(t)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			errs[i] = r.Move(ctx, "web", Change{Version: 2 + i%2, From: 1, At: hour(1).Add(time.Duration(i) * time.Second), By: fmt.Sprint(i)})
		})
	}
	wg.Wait()
	winner := ""
	for i, err := range errs {
		if err == nil && winner == "" {
			winner = fmt.Sprint(i)
		} else if err != nil && !errors.Is(err, ErrConflict) {
			t.Error(err)
		}
	}
	changes, err := r.History(ctx, "web")
	if err != nil || len(changes) != 2 || changes[1].Version != 1 {
		t.Fatalf("got %+v, %v", changes, err)
	}
	// A later one that wished for the same version has found it there: that is no
	// conflict, and no change either.
	if c := changes[0]; errs[int(c.At.Second())] != nil || c.By != fmt.Sprint(c.At.Second()) {
		t.Errorf("the history tells of %+v, the errors are %v", c, errs)
	}
	if _, err := store.Get(ctx, championKey("web")); err != nil {
		t.Error(err)
	}
}

func TestAMoveThatCannotBeChangesNothing(t *testing.T) {
	r, store := three(t)
	move(t, r, 2, 1, 1, "gate")
	for name, c := range map[string]struct {
		change Change
		want   error
		text   string
	}{
		"over a champion that is gone":      {Change{Version: 3, From: 1, At: hour(2)}, ErrConflict, "champion is version 2, not 1"},
		"to a version that is not there":    {Change{Version: 9, From: 2, At: hour(2)}, ErrNoModel, "version 9"},
		"without its time":                  {Change{Version: 3, From: 2}, nil, "without its time"},
		"with evidence that is none":        {Change{Version: 3, From: 2, At: hour(2), Evidence: json.RawMessage(`{`)}, nil, "evidence"},
		"with more evidence than is read":   {Change{Version: 3, From: 2, At: hour(2), Evidence: json.RawMessage(`"` + strings.Repeat("x", maxManifestSize) + `"`)}, nil, "bytes long"},
		"at the moment of another's record": {Change{Version: 2, From: 3, At: hour(1)}, nil, ""}, // it is champion: nothing to do
	} {
		t.Run(name, func(t *testing.T) {
			err := r.Move(ctx, "web", c.change)
			if (c.text == "") != (err == nil) || c.want != nil && !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %v with %q", err, c.want, c.text)
			}
			if got := told(t, r); got != "2<1 0302T01 gate, 1<0 0301T00" {
				t.Errorf("the history is %s", got)
			}
		})
	}
	if _, err := store.Put(ctx, versionKey("web", 3, modelFile), []byte("damaged"), blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	if err := r.Move(ctx, "web", Change{Version: 3, From: 2, At: hour(2)}); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged model: %v", err)
	}
}

func TestRollBackGoesBackOnce(t *testing.T) {
	r, _ := three(t)
	back := func(from, at int) error {
		_, err := r.RollBack(ctx, "web", Change{From: from, At: hour(at), By: "gate", Why: "coverage"})
		return err
	}
	if err := back(1, 1); !errors.Is(err, ErrNoFormer) {
		t.Errorf("from the first version: %v", err)
	}
	move(t, r, 2, 1, 2, "gate")
	if err := back(1, 3); !errors.Is(err, ErrConflict) {
		t.Errorf("from a version that does not serve: %v", err)
	}
	if err := back(2, 4); err != nil {
		t.Fatal(err)
	}
	if err := back(1, 5); !errors.Is(err, ErrNoFormer) || !strings.Contains(err.Error(), "roll-back from 2") {
		t.Errorf("to and fro: %v", err)
	}
	if got := told(t, r); got != "1<2! 0302T04 gate, 2<1 0302T02 gate, 1<0 0301T00" {
		t.Errorf("the history is %s", got)
	}
	move(t, r, 3, 1, 6, "gate") // a new challenger may be tried, and be rolled back
	if err := back(3, 7); err != nil {
		t.Error(err)
	}
	if _, err := r.RollBack(ctx, "api", Change{From: 1, At: hour(1)}); !errors.Is(err, ErrNoModel) {
		t.Errorf("of a name that is not there: %v", err)
	}
}

func TestAHistoryWithGapsGoesOnAsFarAsItIsKnown(t *testing.T) {
	r, store := three(t)
	move(t, r, 2, 1, 1, "gate")
	move(t, r, 3, 2, 2, "ana")
	// A program that knew of no records wrote champion.json alone.
	if err := store.Delete(ctx, changeKey("web", 3, hour(2))); err != nil {
		t.Fatal(err)
	}
	if got, want := told(t, r), "3<2 0302T02, 2<1 0302T01 gate, 1<0 0301T00"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if err := store.Delete(ctx, changeKey("web", 2, hour(1))); err != nil {
		t.Fatal(err)
	}
	if got, want := told(t, r), "3<2 0302T02, 2<0 0101T00"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := r.History(ctx, "api"); !errors.Is(err, ErrNoModel) {
		t.Errorf("of a name that is not there: %v", err)
	}
}

func TestAHistoryThatWasTamperedWithEnds(t *testing.T) {
	r, store := three(t)
	move(t, r, 2, 1, 1, "gate")
	for name, c := range map[string]struct{ data, want string }{
		"a circle":        {`{"version":2,"from":2,"at":"2026-03-02T01:00:00Z","from_since":"2026-03-02T01:00:00Z"}`, "comes before itself"},
		"no JSON":         {`{"version":`, "unexpected"},
		"another version": {`{"version":3,"from":1,"at":"2026-03-02T01:00:00Z"}`, "speaks of version 3"},
		"unknown fields":  {`{"version":2,"from":1,"at":"2026-03-02T01:00:00Z","who":"x"}`, "unknown field"},
	} {
		if _, err := store.Put(ctx, changeKey("web", 2, hour(1)), []byte(c.data), blob.Condition{}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.History(ctx, "web"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
