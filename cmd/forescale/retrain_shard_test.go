package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/trainer/batch"
)

// The pods of an indexed Job share the models out between them without a word, and
// one that gets none has done its work.
func TestShardsRetrainEveryModelOnce(t *testing.T) {
	groups := []string{"api", "web"}
	w := newWorkshop(t, directory(t), groups...)
	for _, group := range groups {
		w.put(group, old, weak, nil)
	}
	const pods = 5 // more than there are models
	got := map[string]int{}
	for index := range pods {
		t.Setenv("JOB_COMPLETION_INDEX", fmt.Sprint(index))
		report, printed := w.retrain(cli.ExitOK, "-all-groups", "-dry-run", "-shard", fmt.Sprintf("auto/%d", pods))
		for _, res := range report.Groups {
			got[res.Group]++
			if !(batch.Shard{Index: index, Count: pods}).Has(res.Group) || res.Outcome != dryPromoted {
				t.Errorf("shard %d: %+v", index, res)
			}
		}
		if want := fmt.Sprintf("shard %d of 0 to 4: %d of 2 models", index, len(report.Groups)); !strings.Contains(printed, want) {
			t.Errorf("it does not say %q:\n%s", want, printed)
		}
	}
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, groups) || got["api"] != 1 || got["web"] != 1 {
		t.Errorf("retrained %v", got)
	}
}
