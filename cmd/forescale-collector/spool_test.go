package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/fleet"
)

func TestWhereTheSpoolIs(t *testing.T) {
	for name, c := range map[string]struct {
		configured string
		env        map[string]string
		want       string // the directory above it; "" for none
	}{
		"as configured":                        {"/var/spool/x", map[string]string{"HOME": "/home/a"}, "/var/spool/x"},
		"as configured, on Lambda too":         {"/mnt/efs", map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f"}, "/mnt/efs"},
		"off":                                  {"off", map[string]string{"HOME": "/home/a"}, ""},
		"nowhere on Lambda":                    {"", map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f", "HOME": "/home/a"}, ""},
		"systemd's state directory":            {"", map[string]string{"STATE_DIRECTORY": "/var/lib/forescale:/x", "HOME": "/home/a"}, "/var/lib/forescale"},
		"the user's state directory":           {"", map[string]string{"XDG_STATE_HOME": "/state", "HOME": "/home/a"}, "/state/forescale"},
		"the usual place of it":                {"", map[string]string{"HOME": "/home/a"}, "/home/a/.local/state/forescale"},
		"nowhere when nothing says where":      {"", nil, ""},
		"nowhere when what says so is no path": {"", map[string]string{"HOME": "a"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := &program{}
			p.section.Spool.Dir, p.section.Writer, p.common.Data = c.configured, "a/b", "s3://lake"
			dir, _ := p.spoolDir(func(key string) string { return c.env[key] })
			if c.want == "" {
				if dir != "" {
					t.Errorf("got %s", dir)
				}
				return
			}
			if filepath.Dir(dir) != filepath.Join(c.want, "spool") || !strings.HasPrefix(filepath.Base(dir), "a%2Fb-") {
				t.Errorf("got %s", dir)
			}
			p.common.Data = "s3://other"
			if other, _ := p.spoolDir(func(key string) string { return c.env[key] }); other == dir {
				t.Errorf("two lakes share %s", dir)
			}
		})
	}
}

func TestCheckLooksAtTheSpool(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, "")
	for name, c := range map[string]struct {
		spool string
		code  int
		want  string
	}{
		"a directory that is not there yet": {"{dir: " + filepath.Join(dir, "a", "b") + "}", cli.ExitOK, "valid"},
		"below a file":                      {"{dir: " + filepath.Join(file, "b") + "}", cli.ExitUsage, "spool.dir"},
		"a relative path":                   {"{dir: spool}", cli.ExitUsage, "spool.dir"},
		"too small":                         {"{max_bytes: 1000}", cli.ExitUsage, "spool.max_bytes"},
		"an unknown key":                    {"{path: /x}", cli.ExitUsage, "path"},
		"off":                               {"{dir: off}", cli.ExitOK, "valid"},
	} {
		t.Run(name, func(t *testing.T) {
			config := filepath.Join(t.TempDir(), "f.yaml")
			write(t, config, "data: /tmp/lake\naws: {region: us-east-1}\ncollector:\n  spool: "+c.spool+
				"\n  sources:\n    - cloudwatch: {groups: [{name: web}]}\n")
			if code, out := execute(t, "-config", config, "-check"); code != c.code || !strings.Contains(out, c.want) {
				t.Errorf("exit code %d:\n%s", code, out)
			}
		})
	}
}

// The lake takes nothing for three runs, each a process of its own; the next one
// delivers what they left on the disk.
func TestARunDeliversWhatEarlierOnesCouldNotStore(t *testing.T) {
	s := newSystem(t, evening, fleet.Traps{})
	home := t.TempDir()
	run := func(i int) (string, error) {
		s.advance(i)
		cmd := s.command("-config", s.configFile, "-once", "-at", s.slot(i).Format(time.RFC3339))
		cmd.Env = append(cmd.Env, "HOME="+home)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	s.once(6)
	own := filepath.Join(s.lake, ".forescale") // the store cannot write without it
	if err := os.RemoveAll(own); err != nil {
		t.Fatal(err)
	}
	write(t, own, "")
	for i := 7; i < 10; i++ {
		if out, err := run(i); err == nil || !strings.Contains(out, collector.ErrSpooled.Error()) {
			t.Fatalf("tick %d: %v\n%s", i, err, out)
		}
	}
	if err := os.Remove(own); err != nil {
		t.Fatal(err)
	}
	if out, err := run(10); err != nil || !strings.Contains(out, "delivered_ticks=3") {
		t.Fatalf("%v\n%s", err, out)
	}
	s.compare(3, 10)
}
