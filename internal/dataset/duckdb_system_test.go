//go:build system

package dataset_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
)

// documented returns the DuckDB queries of docs/data-lake.md by their names, over
// the lake in dir.
func documented(t *testing.T, dir string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/data-lake.md")
	if err != nil {
		t.Fatal(err)
	}
	queries := map[string]string{}
	for _, m := range regexp.MustCompile("(?s)```sql\n-- DuckDB: (\\w+)\n(.*?);\n```").FindAllSubmatch(text, -1) {
		queries[string(m[1])] = strings.ReplaceAll(string(m[2]), "'lake/", "'"+dir+"/")
	}
	for _, name := range []string{"closed", "open", "samples", "bloom"} {
		if queries[name] == "" {
			t.Fatalf("docs/data-lake.md has no query %q", name)
		}
	}
	return queries
}

// duckdb returns the rows of each statement.
func duckdb(t *testing.T, statements ...string) [][]map[string]any {
	t.Helper()
	node, script := os.Getenv("FORESCALE_NODE"), os.Getenv("FORESCALE_DUCKDB")
	if node == "" || script == "" {
		t.Fatal("FORESCALE_NODE and FORESCALE_DUCKDB are not set; they name node and duckdb/query.mjs: run the tests with 'make test-system'")
	}
	input, err := json.Marshal(statements)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, script)
	cmd.Stdin = bytes.NewReader(input)
	var problem bytes.Buffer
	cmd.Stderr = &problem
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, problem.String())
	}
	var answers [][]map[string]any
	if err := json.Unmarshal(output, &answers); err != nil || len(answers) != len(statements) {
		t.Fatalf("%v: %s", err, output)
	}
	return answers
}

// ordered wraps a query so that its answer is in the order and the form of Scan.
func ordered(query string) string {
	return fmt.Sprintf(`SELECT "group", metric, stat, epoch_us(time)::VARCHAR AS us, value FROM (%s)
ORDER BY encode("group"), encode(metric), encode(stat), time`, query)
}

func samplesOf(t *testing.T, rows []map[string]any) (out []api.Sample) {
	t.Helper()
	for _, r := range rows {
		us, err := strconv.ParseInt(r["us"].(string), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, api.Sample{
			Group: r["group"].(string), Metric: r["metric"].(string), Stat: api.Stat(r["stat"].(string)),
			Time: time.UnixMicro(us).UTC(), Value: r["value"].(float64),
		})
	}
	return out
}

// DuckDB reads what we write, by the documented queries, and says what Scan says:
// before a compaction, between two, and after.
func TestSystemDuckDBReadsTheLakeAsWeDo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "the lake")
	store, err := blob.NewDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	queries := documented(t, dir)
	r := rand.New(rand.NewPCG(3, 3))
	l := &lake{store: store, truth: truth{}, clock: at(2000)}
	l.grow(t, r, 30)
	web := api.Sample{Group: "web", Metric: api.MetricCPU, Stat: api.StatP95, Time: at(7).Add(time.Microsecond), Value: 1.0 / 3}
	appendTo(t, dataset.New(store), "ünï 'quoted'", at(7), l.clock, web, api.Sample{Group: "naïve #", Metric: "m", Stat: api.StatMin, Time: at(8), Value: -0.5})
	same := func(when, query string, q dataset.Query, statements ...string) {
		t.Helper()
		want := scan(t, dataset.New(store), q)
		answers := duckdb(t, append(statements, ordered(query))...)
		if got := samplesOf(t, answers[len(answers)-1]); !slices.Equal(got, want) {
			t.Errorf("%s: DuckDB says %d rows, Scan %d\n%v\n%v", when, len(got), len(want), got, want)
		}
	}
	same("open parts only", queries["open"], dataset.Query{})
	cfg := dataset.CompactConfig{Before: day.AddDate(0, 0, 2), FileBytes: 8000}
	if _, err := dataset.New(store).Compact(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	l.grow(t, r, 10) // late rows beside closed files
	same("both", "SELECT * FROM samples", dataset.Query{}, queries["samples"])
	if _, err := dataset.New(store).Compact(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`(?s)WHERE.*`).ReplaceAllString(queries["closed"], "")
	same("closed files only", all, dataset.Query{})
	same("one group of two days", queries["closed"], dataset.Query{Groups: []string{"web"}, From: day, To: day.AddDate(0, 0, 2)})
	for _, group := range []string{"web", "nobody"} {
		kept := 0
		for _, row := range duckdb(t, strings.ReplaceAll(queries["bloom"], "'web'", "'"+group+"'"))[0] {
			if row["bloom_filter_excludes"] == false {
				kept++
			}
		}
		if (group == "web") != (kept == 1) {
			t.Errorf("the bloom filters let %d row groups through for %s", kept, group)
		}
	}
}
