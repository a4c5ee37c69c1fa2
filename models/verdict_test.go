package models

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/blob"
)

func TestAVerdictIsWrittenOnceAndBesideTheManifest(t *testing.T) {
	r, _ := three(t)
	if _, err := r.Verdict(ctx, "web", 2); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("before it was judged: %v", err)
	}
	if err := r.PutVerdict(ctx, "web", 2, json.RawMessage(`{"promote":false}`)); err != nil {
		t.Fatal(err)
	}
	if err := r.PutVerdict(ctx, "web", 2, json.RawMessage(`{"promote":true}`)); !errors.Is(err, ErrConflict) {
		t.Errorf("a second judgement: %v", err)
	}
	if raw, err := r.Verdict(ctx, "web", 2); err != nil || string(raw) != `{"promote":false}` {
		t.Errorf("got %s, %v", raw, err)
	}
	if err := r.PutVerdict(ctx, "web", 9, json.RawMessage(`{}`)); !errors.Is(err, ErrNoModel) {
		t.Errorf("of a version that is not there: %v", err)
	}
	if versions, err := r.Versions(ctx, "web"); err != nil || len(versions) != 3 {
		t.Errorf("a verdict makes versions %v, %v", versions, err)
	}
}

func TestADamagedVerdictIsNotReadAsOne(t *testing.T) {
	r, store := three(t)
	if _, err := store.Put(ctx, "web/2/verdict.json", []byte(`{"promote":`), blob.IfAbsent()); err != nil {
		t.Fatal(err)
	}
	if raw, err := r.Verdict(ctx, "web", 2); err == nil || !strings.Contains(err.Error(), "web/2/verdict.json") {
		t.Errorf("got %s, %v", raw, err)
	}
}

func TestTheFirstChampionIsExplainedOnce(t *testing.T) {
	r, _ := three(t)
	first := Change{Version: 1, From: 7, By: "gate", Why: "better than the persistence"}
	if err := r.Explain(ctx, "web", first); err != nil {
		t.Fatal(err)
	}
	if got := told(t, r); got != "1<0 0301T00 gate" {
		t.Errorf("got %s", got)
	}
	for name, c := range map[string]Change{"again": {Version: 1, By: "ana"}, "another version": {Version: 2}} {
		if err := r.Explain(ctx, "web", c); !errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	move(t, r, 2, 1, 1, "gate")
	if err := r.Explain(ctx, "web", Change{Version: 2}); !errors.Is(err, ErrConflict) {
		t.Errorf("one that was promoted: %v", err)
	}
	if err := r.Explain(ctx, "api", Change{Version: 1}); !errors.Is(err, ErrNoModel) {
		t.Errorf("a name that is not there: %v", err)
	}
}
