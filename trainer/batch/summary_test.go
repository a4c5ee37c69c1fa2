package batch

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/models"
)

var ended = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// at returns the errors at a horizon.
func at(minutes, mae, naive float64) *models.HorizonScore {
	return &models.HorizonScore{Minutes: minutes, Model: models.Score{MAE: mae, WAPE: mae / 10, R2: math.NaN()},
		Baselines: map[string]models.Score{score.Persistence: {MAE: naive, WAPE: naive / 10}}}
}

// mixed is a run of a minute with a group of every status.
func mixed() Summary {
	return Summary{Started: ended.Add(-time.Minute), Finished: ended, Results: []Result{
		{Group: "api", Status: Trained, Seconds: 2.5, Outcome: Outcome{Model: "api", Version: 3, Samples: 6000, First: at(5, 1, 2), Last: at(60, 3, 4)}},
		{Group: "cron", Status: Skipped, Outcome: Outcome{Version: 1, Samples: 5000, First: at(5, 1, 1), Last: at(60, 6, 6)}},
		{Group: "db, main", Status: Failed, Seconds: 0.5, Error: "the data has 30 slots\nand more"},
		{Group: "web", Status: Stopped},
	}}
}

func TestTheTableShowsFailuresFirstAndCounts(t *testing.T) {
	var out bytes.Buffer
	if err := mixed().WriteTable(&out, 3); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 6 || !strings.HasPrefix(lines[1], "db, main") || !strings.HasSuffix(lines[1], "the data has 30 slots") ||
		!strings.HasPrefix(lines[2], "web ") || !strings.HasPrefix(lines[3], "api ") || lines[4] != "… and 1 more" {
		t.Errorf("got\n%s", out.String())
	}
	for _, want := range []string{"5 min", "1 (2)", "0.1000 (0.2000)", "60 min", "3 (4)", "2.5"} {
		if !strings.Contains(lines[3], want) {
			t.Errorf("the row of api lacks %q: %s", want, lines[3])
		}
	}
	want := "4 groups in 60.0 s: 1 trained, 1 skipped, 1 failed, 1 not reached; 100 samples/s; median skill over persistence at the last horizon 25%"
	if lines[5] != want {
		t.Errorf("%s\nwant %s", lines[5], want)
	}
}

func TestTheFilesHaveEveryGroup(t *testing.T) {
	base := filepath.Join(t.TempDir(), "summary")
	if err := mixed().WriteFiles(base); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(base + ".csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 5 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i, want := range []string{
		"[api trained 3 5 1 2 0.1 0.2 60 3 4 0.3 0.4 6000 2.5 ]",
		"[cron skipped 1 5 1 1 0.1 0.1 60 6 6 0.6 0.6 5000 0 ]",
		"[db, main failed            0 0.5 the data has 30 slots\nand more]",
		"[web stopped            0 0 ]",
	} {
		if got := fmt.Sprint(rows[i+1]); got != want {
			t.Errorf("row %d: %s, want %s", i+1, got, want)
		}
	}
	raw, err := os.ReadFile(base + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var back Summary
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Results) != 4 || back.Results[0].Last.Model.MAE != 3 || !math.IsNaN(back.Results[0].Last.Model.R2) ||
		back.Results[2].Error != "the data has 30 slots\nand more" || back.Results[3].First != nil || !back.Finished.Equal(ended) {
		t.Errorf("%s", raw)
	}
}

func TestSkillIsNotDefinedWithoutABaselineThatErrs(t *testing.T) {
	for name, h := range map[string]*models.HorizonScore{
		"no score": nil, "a perfect baseline": at(5, 1, 0), "a baseline that is not known": at(5, 1, math.NaN()),
		"no baseline": {Model: models.Score{MAE: 1}},
	} {
		if got := Skill(h); !math.IsNaN(got) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := Skill(at(5, 1, 4)); got != 0.75 {
		t.Errorf("%v", got)
	}
}

// Names come from outside: what a terminal must not be sent is quoted.
func TestAHostileNameIsQuoted(t *testing.T) {
	s := Summary{Started: ended, Finished: ended, Results: []Result{{Group: "web\x1b[2J\tx\n", Status: Failed, Error: "no"}, {Group: "gr\xff", Status: Trained, Outcome: Outcome{First: at(5, 1, 2)}}}}
	var out bytes.Buffer
	if err := s.WriteTable(&out, 9); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\t") || strings.Count(out.String(), "\n") != 4 || !strings.Contains(out.String(), `"web\x1b[2J\tx\n"`) {
		t.Errorf("%q", out.String())
	}
	if lines := s.firstFailures(); lines[0] != `"web\x1b[2J\tx\n": no` {
		t.Errorf("%q", lines)
	}
	path := filepath.Join(t.TempDir(), "x.prom")
	if err := s.WriteMetrics(path, Shard{}, true); err != nil {
		t.Fatal(err)
	}
	check(t, told(t, path), map[string]float64{`forescale_trainer_model_mae{group="gr�",horizon_minutes="5",shard="0-of-1"}`: 1})
}
