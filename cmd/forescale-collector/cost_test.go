package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/cli"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestCheckPrintsWhatTheSourcesCost(t *testing.T) {
	many := "[{name: g0}"
	for i := range 9_999 {
		many += ", {name: g" + number(float64(i+1)) + "}"
	}
	many += "]"
	for name, c := range map[string]struct {
		source string
		args   []string
	}{
		"small":               {"cloudwatch: {groups: [{name: web, load_balancer: app/web/1}]}", nil},
		"large":               {"cloudwatch: {groups: " + many + "}", nil},
		"slow":                {"cloudwatch: {calls_per_second: 0.5, price: 0.02, groups: " + many + "}", nil},
		"found":               {`cloudwatch: {discover: [{tags: {forescale: "*", team: blue}}, {all: true, region: eu-west-1, load_balancers: true}]}`, nil},
		"back-fill":           {"cloudwatch: {groups: " + many + "}", []string{"-backfill", "60d"}},
		"back-fill too long":  {"cloudwatch: {groups: [{name: web}]}", []string{"-backfill", "80d"}},
		"back-fill too early": {"cloudwatch: {groups: [{name: web}]}", []string{"-backfill", "2025-01-01T00:00:00Z/2025-02-01T00:00:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "f.yaml")
			write(t, file, "data: file:///tmp/lake\naws: {region: us-east-1}\ncollector:\n  sources:\n    - "+c.source+"\n")
			var b bytes.Buffer
			p := &program{now: func() time.Time { return evening }}
			code := cli.Execute(t.Context(), p.command(), append([]string{"-config", file, "-check"}, c.args...), &b, &b)
			out := b.String()
			if code != 0 {
				t.Fatalf("exit code %d:\n%s", code, out)
			}
			golden := filepath.Join("testdata", "cost", name+".golden")
			if *update {
				if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
					t.Fatal(err)
				}
				write(t, golden, out)
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if out != string(want) {
				t.Errorf("got\n%s\nwant\n%s", out, want)
			}
		})
	}
	if got := []string{brief(time.Hour), brief(90 * time.Second), brief(5 * time.Minute)}; strings.Join(got, " ") != "1h 1m30s 5m" {
		t.Errorf("durations %v", got)
	}
}
