package fleet_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/fleet"
)

var update = flag.Bool("update", false, "write the golden files anew; needs FORESCALE_REFEREE")

const goldenDir = "../../testdata/golden/fleet"

// referee runs the reference implementation with the python3 that Debian packages
// numpy for, and returns its answer.
func referee(t *testing.T, trace, target, capacity string, lead int) map[string]any {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", os.Getenv("FORESCALE_REFEREE"), trace, target, capacity, "--lead", strconv.Itoa(lead))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("referee: %v\n%s", err, stderr.String())
	}
	var answer map[string]any
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatalf("referee: %v in %s", err, out)
	}
	return answer
}

// agree fails the test unless our verdict has the reference's fields and, in each,
// the same printed value. Both sides round to six decimals, so equal numbers
// print the same digits.
func agree(t *testing.T, verdict fleet.Verdict, want map[string]any) {
	t.Helper()
	b, err := json.Marshal(verdict)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	got["shape"] = "const" // the only one that we have
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s = %v, the reference says %v", name, got[name], w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d fields, the reference has %d", len(got), len(want))
	}
}

// readTrace reads the target column of a CSV file onto its regular grid, as the
// reference does.
func readTrace(t *testing.T, path, target string) *fleet.Demand {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := -1
	for i, name := range rows[0] {
		if name == target {
			column = i
		}
	}
	var times []time.Time
	step := time.Duration(math.MaxInt64)
	for _, row := range rows[1:] {
		at, err := time.Parse(time.RFC3339, row[0])
		if err != nil {
			t.Fatal(err)
		}
		if len(times) > 0 {
			step = min(step, at.Sub(times[len(times)-1]))
		}
		times = append(times, at)
	}
	values := make([]float64, times[len(times)-1].Sub(times[0])/step+1)
	for i := range values {
		values[i] = math.NaN()
	}
	for i, row := range rows[1:] {
		if row[column] == "" {
			continue
		}
		v, err := strconv.ParseFloat(row[column], 64)
		if err != nil {
			t.Fatal(err)
		}
		values[times[i].Sub(times[0])/step] = v
	}
	d, err := fleet.NewDemand(times[0], step, values)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func readPlan(t *testing.T, path string) fleet.Plan {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plan, err := fleet.ReadPlan(f)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// goldenTraces makes the traces of the golden files: file name to content.
func goldenTraces(t *testing.T) map[string][]byte {
	t.Helper()
	made := map[string][]byte{}
	for name, config := range map[string]fleet.GenerateConfig{
		"five-minutes":   {Seed: 1, Days: 6},
		"hourly":         {Seed: 2, Days: 42, Step: time.Hour},
		"with-gaps":      {Seed: 3, Days: 4},
		"thirty-minutes": {Seed: 4, Days: 20, Step: 30 * time.Minute},
	} {
		trace, err := fleet.Generate(config)
		if err != nil {
			t.Fatal(err)
		}
		if name == "with-gaps" {
			for i := range trace.Requests {
				// Leading slots, a run across the start of the scoring window (slot
				// 921 of 1152, with 5 leading ones dropped 922) and one inside of it.
				if i < 5 || i > 910 && i < 930 || i > 1000 && i < 1030 || i%97 == 0 {
					trace.Requests[i] = math.NaN()
				}
			}
		}
		var b bytes.Buffer
		if err := trace.WriteCSV(&b); err != nil {
			t.Fatal(err)
		}
		if name == "with-gaps" { // absent rows are missing slots too
			lines := strings.SplitAfter(b.String(), "\n")
			lines = append(lines[:1050], lines[1062:]...)
			b.Reset()
			b.WriteString(strings.Join(lines, ""))
		}
		made[name] = b.Bytes()
	}
	return made
}

// goldenPlans makes capacity files for a demand: the reference rule, the oracle
// of another lead time, and a plan that does everything a plan may do.
func goldenPlans(t *testing.T, d *fleet.Demand) map[string][]byte {
	t.Helper()
	from, to := d.ScoreStart()*d.SlotMinutes(), d.Minutes()
	rule, err := fleet.Simulate(d, fleet.ReferenceRule, from, to, 5)
	if err != nil {
		t.Fatal(err)
	}
	var demand []float64
	for m := from; m < to; m++ {
		demand = append(demand, d.At(m))
	}
	made := map[string][]byte{}
	for name, plan := range map[string]fleet.Plan{
		"rule":   rule.Plan(d),
		"oracle": fleet.Oracle(demand, from, 3).Plan(d),
		"wild":   wildPlan(d, from, to),
	} {
		var b bytes.Buffer
		if err := plan.Write(&b); err != nil {
			t.Fatal(err)
		}
		made[name] = b.Bytes()
	}
	return made
}

// wildPlan changes its mind every few minutes: beyond the bounds, several times a
// minute, off the whole minute, out of order, with starting instances to cancel.
func wildPlan(d *fleet.Demand, from, to int) fleet.Plan {
	var plan fleet.Plan
	for m := max(0, from-2000); m < to; m += 3 + m%7 {
		n := int(d.At(m)/0.7) + (m*7919)%5 - 1
		at := d.Time(m).Add(time.Duration(m%60) * time.Second)
		plan = append(plan, fleet.Order{Time: at, Desired: n})
		switch m % 11 {
		case 0:
			plan = append(plan, fleet.Order{Time: d.Time(m), Desired: n + 3})
		case 4:
			plan = append(plan, fleet.Order{Time: d.Time(m + 1), Desired: n - 2})
		case 7:
			plan = append(plan, fleet.Order{Time: d.Time(m), Desired: 100}, fleet.Order{Time: d.Time(m), Desired: 0}, fleet.Order{Time: d.Time(m), Desired: n + 1})
		}
	}
	for i := 10; i+1 < len(plan); i += 50 {
		plan[i], plan[i+1] = plan[i+1], plan[i]
	}
	return plan
}

var goldenLeads = []int{0, 3, 5, 10}

func writeGoldens(t *testing.T) {
	if os.Getenv("FORESCALE_REFEREE") == "" {
		t.Fatal("-update needs FORESCALE_REFEREE, the path of the reference implementation")
	}
	if err := os.MkdirAll(goldenDir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name string, content []byte) string {
		path := filepath.Join(goldenDir, name)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, content := range goldenTraces(t) {
		trace := write(name+".trace.csv", content)
		for planName, content := range goldenPlans(t, readTrace(t, trace, "request_count")) {
			capacity := write(name+"."+planName+".capacity.csv", content)
			for _, lead := range goldenLeads {
				b, err := json.MarshalIndent(referee(t, trace, "request_count", capacity, lead), "", " ")
				if err != nil {
					t.Fatal(err)
				}
				write(fmt.Sprintf("%s.%s.lead%d.json", name, planName, lead), append(b, '\n'))
			}
		}
	}
}

func TestVerdictsAgreeWithTheReferencesGoldenAnswers(t *testing.T) {
	if *update {
		writeGoldens(t)
	}
	files, err := filepath.Glob(filepath.Join(goldenDir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if want := 4 * 3 * len(goldenLeads); len(files) != want {
		t.Fatalf("%d golden answers, want %d", len(files), want)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			part := strings.Split(name, ".")
			lead, err := strconv.Atoi(strings.TrimPrefix(part[2], "lead"))
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want map[string]any
			if err := json.Unmarshal(b, &want); err != nil {
				t.Fatal(err)
			}
			d := readTrace(t, filepath.Join(goldenDir, part[0]+".trace.csv"), "request_count")
			plan := readPlan(t, filepath.Join(goldenDir, part[0]+"."+part[1]+".capacity.csv"))
			verdict, err := fleet.Judge(d, plan, lead)
			if err != nil {
				t.Fatal(err)
			}
			agree(t, verdict, want)
		})
	}
}

func TestTheGeneratorStillMakesTheGoldenTraces(t *testing.T) {
	for name, made := range goldenTraces(t) {
		kept, err := os.ReadFile(filepath.Join(goldenDir, name+".trace.csv"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(made, kept) {
			t.Errorf("%s: the generator's output has changed", name)
		}
	}
}
