package scaler

import (
	"context"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/journal"
)

// A state that an older version has left is JSON as it stands.
func TestTheStateOfAnOlderVersionIsRead(t *testing.T) {
	w := newWorld(t)
	w.mustOnce(t0)
	o, err := w.store.Get(context.Background(), stateKey)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := journal.Unpack(o.Data)
	if err != nil || len(plain) <= len(o.Data) {
		t.Fatalf("%d bytes are stored as %d: %v", len(plain), len(o.Data), err)
	}
	if _, err := w.store.Put(context.Background(), stateKey, plain, blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	if d := decisionOf(w.mustOnce(t0.Add(step)), "up"); d.Desired != 5 || !strings.Contains(reasons(d), "scaled out at 12:00") {
		t.Errorf("the cooldown is lost: %d\n%s", d.Desired, reasons(d))
	}
}
