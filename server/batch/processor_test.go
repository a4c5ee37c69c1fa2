package batch

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestOnOneProcessorWhatIsReadyGoesTogether has 64 requests ready at once for runs that
// nothing interrupts, as those of a library on the only processor.
func TestOnOneProcessorWhatIsReadyGoesTogether(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	d := &swift{doubler{rows: 16}}
	seen := newBench(1, 1)
	g := NewGate(1, 1000, time.Now, seen)
	var wait sync.WaitGroup
	begin := make(chan struct{})
	for range 64 {
		wait.Go(func() {
			<-begin
			if got, err := g.Run(t.Context(), d, count(1)); check(count(1), got, err) != nil {
				t.Error(check(count(1), got, err))
			}
		})
	}
	runtime.Gosched()
	close(begin)
	wait.Wait()
	if n := len(seen.reports); n < 4 || n > 16 {
		t.Errorf("64 rows took %d runs of up to 16", n)
	}
}
