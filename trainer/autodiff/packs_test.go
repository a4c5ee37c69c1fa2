package autodiff

import (
	"fmt"
	"sync"
	"testing"
)

func TestSharedWeightsGiveTheSameBytes(t *testing.T) {
	const T, B, H = 3, 4, 6
	w := make([]float32, H*4*H)
	for i := range w {
		w[i] = float32(i%17)/17 - 0.4
	}
	run := func(p *Packs[float32]) string {
		grad := make([]float32, len(w))
		var tape Tape[float32]
		if p != nil {
			tape.Share(p)
		}
		tape.Reset(0, true)
		x := tape.Input(T*B, H)
		for i := range x.Value {
			x.Value[i] = float32(i%5) / 5
		}
		param := tape.Param(H, 4*H, w, grad)
		h := LSTM(&tape, LSTM(&tape, x, param, param, tape.Param(1, 4*H, w, nil), T), param, param, tape.Param(1, 4*H, w, nil), T)
		zeros, ones := make([]float32, len(h.Value)), make([]float32, len(h.Value))
		for i := range ones {
			ones[i] = 1
		}
		tape.Backward(Squared(&tape, h, zeros, ones))
		return fmt.Sprint(h.Value, grad)
	}
	var packs Packs[float32]
	for step := range 3 {
		want := run(nil)
		var wg sync.WaitGroup
		got := make([]string, 4)
		for i := range got {
			wg.Go(func() { got[i] = run(&packs) })
		}
		wg.Wait()
		for _, g := range got {
			if g != want {
				t.Errorf("step %d: shared weights give another result", step)
			}
		}
		for i := range w {
			w[i] = -w[i] / 2
		}
		n := packs.Outdate()
		if n != 2 { // the matrix, and its transpose
			t.Errorf("%d weights are shared, want 2", n)
		}
		for i := range n - step%2 { // what is not refreshed is packed when it is needed
			packs.Refresh(i)
		}
	}
	if n := packs.Outdate(); n != 0 {
		t.Errorf("%d weights are kept that nobody asked for", n)
	}
	if len(packs.free) != 2 {
		t.Errorf("memory of %d weights is kept, want 2", len(packs.free))
	}
}
