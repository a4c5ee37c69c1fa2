package plan

import (
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

// A scale-out beyond the warm pool waits for cold starts.
func TestStartsOutOfAWarmPoolSayNothingOfTheOthers(t *testing.T) {
	var launches []api.Launch
	for range 20 {
		launches = append(launches, api.Launch{Took: 8 * time.Minute})
	}
	want := LearnLead(4*time.Minute, launches)
	for range 100 {
		launches = append(launches, api.Launch{Took: 30 * time.Second, Warm: true})
	}
	if got := LearnLead(4*time.Minute, launches); got != want || got <= 4*time.Minute {
		t.Errorf("%v with warm starts, %v without", got, want)
	}
}
