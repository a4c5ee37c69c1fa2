package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector/sources"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/fleet"
)

// execute runs the command in this process.
func execute(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	var b bytes.Buffer
	code = cli.Execute(t.Context(), new(program).command(), args, &b, &b)
	return code, b.String()
}

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.yaml")
	write(t, good, "data: file:///tmp/lake\naws: {region: us-east-1}\ncollector:\n  sources:\n    - cloudwatch: {groups: [{name: web}]}\n")
	short := filepath.Join(dir, "short.yaml")
	write(t, short, "data: file:///tmp/lake\naws: {region: us-east-1}\ncollector:\n  lake: {compact_after: -1h, keep: 24h}\n  sources:\n    - cloudwatch: {groups: [{name: web}]}\n")
	broken := filepath.Join(dir, "broken.yaml")
	write(t, filepath.Join(dir, "calendar.json"), `{"sale": 1}`)
	write(t, broken, "data: gopher://x\ncalendar: "+filepath.Join(dir, "calendar.json")+`
log: {level: loud}
collector:
  look_back: 0
  sources:
    - cloudwatch: {groups: [{name: web, metrics: [zzz]}]}
`)
	for name, c := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"help is the manual":             {[]string{"-help"}, cli.ExitOK, []string{"-backfill", "data lake"}},
		"help explains every mode":       {[]string{"-help"}, cli.ExitOK, []string{"-at sets the moment", "-import reads a CSV", "auto_scaling_group: web-production"}},
		"version":                        {[]string{"-version"}, cli.ExitOK, []string{"forescale-collector"}},
		"check accepts":                  {[]string{"-config", good, "-check"}, cli.ExitOK, []string{"valid"}},
		"check reports all faults":       {[]string{"-config", broken, "-check", "-at", "noon"}, cli.ExitUsage, []string{"gopher", "look_back", "zzz", "loud", "sale", "noon"}},
		"no data and no source":          {[]string{"-check"}, cli.ExitUsage, []string{"data:", "sources"}},
		"a missing file":                 {[]string{"-config", filepath.Join(dir, "none"), "-check"}, cli.ExitUsage, []string{"none"}},
		"modes exclude each other":       {[]string{"-config", good, "-once", "-backfill", "1d"}, cli.ExitUsage, []string{"exclude"}},
		"a compaction is a mode":         {[]string{"-config", good, "-once", "-compact"}, cli.ExitUsage, []string{"exclude"}},
		"days are kept for a week":       {[]string{"-config", short, "-check"}, cli.ExitUsage, []string{"collector.lake.keep", "compact_after"}},
		"at goes with once":              {[]string{"-config", good, "-at", "2026-03-01T00:00:00Z"}, cli.ExitUsage, []string{"-once"}},
		"a backfill of no length":        {[]string{"-config", good, "-backfill", "0d"}, cli.ExitUsage, []string{"0d"}},
		"a backfill that ends too early": {[]string{"-config", good, "-backfill", "2026-03-02T00:00:00Z/2026-03-01T00:00:00Z"}, cli.ExitUsage, []string{"not before"}},
		"an import without a group":      {[]string{"-data", dir, "-import", "x.csv"}, cli.ExitUsage, []string{"-group"}},
		"a column without an import":     {[]string{"-config", good, "-column", "a=b"}, cli.ExitUsage, []string{"-import"}},
		"a column that maps nothing":     {[]string{"-column", "a"}, cli.ExitUsage, []string{"METRIC=COLUMN"}},
		"an argument":                    {[]string{"-config", good, "surplus"}, cli.ExitUsage, []string{"surplus"}},
		"an import of a missing file":    {[]string{"-data", filepath.Join(dir, "lake"), "-import", filepath.Join(dir, "x.csv"), "-group", "g"}, cli.ExitFailed, []string{"x.csv"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out := execute(t, c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("output does not mention %q:\n%s", want, out)
				}
			}
		})
	}
}

// The configuration that -help shows is one that -check accepts.
func TestTheExampleOfTheManualIsValid(t *testing.T) {
	_, help := execute(t, "-help")
	_, example, found := strings.Cut(help, "A\nconfiguration:\n\n")
	if !found {
		t.Fatalf("the manual has no example:\n%s", help)
	}
	example, _, _ = strings.Cut(example, "\n\n")
	dir := t.TempDir()
	t.Chdir(dir) // the example's calendar is beside it
	write(t, "business_calendar.json", `{"is_sale_active": 1}`)
	write(t, "forescale.yaml", strings.ReplaceAll(example, "\t", ""))
	if code, out := execute(t, "-config", "forescale.yaml", "-check"); code != cli.ExitOK {
		t.Errorf("%s\nof\n%s", out, example)
	}
}

// A fault that a check can know of must not wait for the first run.
func TestCheckNoticesThatNoRegionIsSet(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	file := filepath.Join(t.TempDir(), "f.yaml")
	write(t, file, "data: /tmp/lake\ncollector:\n  sources:\n    - cloudwatch: {groups: [{name: web}]}\n")
	if code, out := execute(t, "-config", file, "-check"); code != cli.ExitUsage || !strings.Contains(out, "aws.region") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// -compact needs neither sources nor credentials, and keeps to collector.lake.
func TestCompactKeepsTheLake(t *testing.T) {
	dir := t.TempDir()
	store, err := blob.NewDir(filepath.Join(dir, "lake"))
	if err != nil {
		t.Fatal(err)
	}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	for _, age := range []int{0, 3, 90} {
		at := today.AddDate(0, 0, -age)
		row := api.Sample{Group: "web", Metric: api.MetricCPU, Stat: api.StatAvg, Time: at, Value: float64(age)}
		if err := dataset.New(store).Append(t.Context(), "w", at, []api.Sample{row}, at); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "f.yaml")
	write(t, file, "data: "+filepath.Join(dir, "lake")+"\ncollector: {lake: {keep: 1440h}}\n")
	for range 2 {
		if code, out := execute(t, "-config", file, "-compact"); code != cli.ExitOK {
			t.Fatal(out)
		}
		var found []string
		anew := false
		for info, err := range store.List(t.Context(), "", "") {
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(info.Key, "recent/") {
				anew = true
				continue
			}
			found = append(found, strings.Join(strings.Split(info.Key, "/")[:2], "/"))
		}
		three := "closed/date=" + today.AddDate(0, 0, -3).Format(time.DateOnly)
		if want := []string{three, three, "open/date=" + today.Format(time.DateOnly)}; !slices.Equal(found, want) {
			t.Errorf("the lake holds %q, want %q", found, want)
		}
		if !anew {
			t.Error("recent/ was not made")
		}
	}
	r, err := dataset.New(store).Recent(t.Context(), dataset.Want{At: today.Add(step), Step: step, Newest: 12})
	if err != nil || len(r.Groups()) != 1 {
		t.Errorf("a scaler that starts finds %v, %v", r, err)
	}
}

// A cron job compacts while the service collects.
func TestCompactRunsBesideACollectorThatHoldsTheSpool(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f.yaml")
	write(t, file, "data: "+filepath.Join(dir, "lake")+"\ncollector: {spool: {dir: "+filepath.Join(dir, "state")+"}}\n")
	p := new(program)
	p.config, p.section = file, sources.DefaultConfig()
	common, err := conf.Load(file, "collector", &p.section)
	if err != nil {
		t.Fatal(err)
	}
	p.common, p.log = common, slog.New(slog.DiscardHandler)
	held, err := p.openSpools()
	if err != nil || held.ticks == nil {
		t.Fatal("no spool to hold: ", err)
	}
	defer held.close()
	if code, out := execute(t, "-config", file, "-compact"); code != cli.ExitOK {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

func TestParseRange(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string][2]time.Time{
		"14d": {now.AddDate(0, 0, -14), now},
		"90m": {now.Add(-90 * time.Minute), now},
		"2026-03-01T00:00:00Z/2026-03-02T00:00:00+01:00": {
			time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC)},
	} {
		from, to, err := parseRange(text, now)
		if err != nil || !from.Equal(want[0]) || !to.Equal(want[1]) {
			t.Errorf("%s: %s to %s, %v", text, from, to, err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "9999999999d", "-5h", "0s", "x/y", "2026-03-01T00:00:00Z/"} {
		if _, _, err := parseRange(text, now); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestImportFillsTheLake(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "data.csv")
	write(t, file, "timestamp,cpu_utilization,is_sale_active\n2026-03-01T00:00:00Z,1.5,0\n2026-03-01T00:05:00Z,2.5,1\n")
	for range 2 {
		if code, out := execute(t, "-data", filepath.Join(dir, "lake"), "-import", file, "-group", "../../x"); code != cli.ExitOK {
			t.Fatal(out)
		}
	}
	store, err := blob.Open(t.Context(), filepath.Join(dir, "lake"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := dataset.New(store).Scan(t.Context(), dataset.Query{})
	if err != nil || len(rows) != 4 || rows[0].Group != "../../x" || rows[1].Value != 2.5 {
		t.Errorf("the lake holds %v, %v", rows, err)
	}
}

func TestBackfillThenStopBySignal(t *testing.T) {
	// A back-fill ends at the wall clock, so that the simulation lies just before it.
	began := time.Now().UTC().Truncate(step).Add(-300 * step)
	s := newSystem(t, began, fleet.Traps{})
	s.advance(300)
	for range 2 { // a repetition changes nothing
		if out, err := s.command("-config", s.configFile, "-backfill", s.slot(0).Format(time.RFC3339)+"/"+s.slot(299).Format(time.RFC3339)).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		s.compare(0, 299)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	config, err := os.ReadFile(s.configFile)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.configFile, string(config)+"  metrics_listen: 127.0.0.1:0\n")
	cmd := s.command("-config", s.configFile)
	var log tail
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for ctx.Err() == nil && !strings.Contains(log.String(), "serving metrics") { // it is up, however slow the machine
		time.Sleep(5 * time.Millisecond)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("after SIGTERM: %v\n%s", err, log.String())
		}
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		t.Error("SIGTERM did not stop the collector")
	}
	if !strings.Contains(log.String(), "collector is done") {
		t.Errorf("the log has no figures of the run:\n%s", log.String())
	}
}
