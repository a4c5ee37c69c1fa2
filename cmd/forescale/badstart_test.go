package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// services are the programs that read a configuration.
var services = []string{"forescale-collector", "forescale-trainer", "forescale-server", "forescale-scaler"}

func TestEveryProgramAnswersForItself(t *testing.T) {
	for _, name := range append([]string{"forescale", "forescale demo", "forescale cloud", "forescale controls"}, services...) {
		t.Run(name, func(t *testing.T) {
			words := strings.Fields(name)
			run := func(args ...string) outcome { return invoke(t, words[0], append(words[1:], args...)...) }
			help := run("-help")
			if help.expect(t, 0); !strings.Contains(help.stdout, name) || help.stderr != "" {
				t.Errorf("-help prints %.200q, and on standard error %.200q", help.stdout, help.stderr)
			}
			version := run("-version")
			if version.expect(t, 0); !strings.HasPrefix(version.stdout, name+" ") {
				t.Errorf("-version prints %q", version.stdout)
			}
			run("-bogus").expect(t, 2, "-bogus")
			run("-check", "forescale.yaml").expect(t, 2, `"forescale.yaml"`)
		})
	}
	invoke(t, "forescale", "-check", "-config", "forescale.yaml").expect(t, 2, "-config") // there is no such file, and no such flag
	invoke(t, "forescale", "deploy").expect(t, 2, `"deploy"`)
	invoke(t, "forescale-trainer", "-data", "x.csv", "-out", "x", "more").expect(t, 2, `"more"`)
}

func TestCheckTellsTheFaultsAndMakesNothing(t *testing.T) {
	example, err := filepath.Abs("../../deploy/forescale.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	valid := filepath.Join(dir, "valid.yaml")
	write(t, valid, []byte(strings.ReplaceAll(string(text), "/var/lib/forescale", dir+"/made")))
	empty := filepath.Join(dir, "empty.yaml")
	write(t, empty, nil)
	for _, name := range services {
		section := strings.TrimPrefix(name, "forescale-")
		wrong := filepath.Join(dir, section+".yaml")
		write(t, wrong, fmt.Appendf(nil, "data: s3:/lake/x\nmodels: file://%s/made\nstep: 7m\ncolour: red\n%s:\n  shape: round\n", dir, section))
		t.Run(name, func(t *testing.T) {
			for _, config := range []string{example, valid} {
				invoke(t, name, "-check", "-config", config).expect(t, 0)
			}
			o := invoke(t, name, "-check", "-config", wrong)
			o.expect(t, 2, wrong, `line 4: unknown key "colour"`, `line 6: unknown key "shape"`, "step: 7m0s", "s3:/lake/x")
			invoke(t, name, "-check", "-config", filepath.Join(dir, "missing.yaml")).expect(t, 2, "missing.yaml")
			invoke(t, name, "-check", "-config", dir).expect(t, 2, dir)
			o = invoke(t, name, "-check", "-config", empty)
			if want := map[bool]int{true: 0, false: 2}[name == "forescale-trainer"]; o.code != want { // its input may come by flags
				t.Errorf("an empty configuration: exit code %d, want %d: %s", o.code, want, o.stderr)
			}
			unchanged(t, filepath.Join(dir, "made"), nil)
			if _, err := os.Stat(filepath.Join(dir, "made")); err == nil {
				t.Error("-check has made a folder")
			}
		})
	}
}

func TestAStoreThatCannotBeUsedIsNamed(t *testing.T) {
	dir := t.TempDir()
	data, file := filepath.Join(dir, "in.csv"), filepath.Join(dir, "file")
	write(t, data, table(recentRows(500)...))
	write(t, file, nil)
	out := filepath.Join(dir, "out")
	for url, c := range map[string]struct {
		code int
		want string
	}{
		"flie:///lake":                      {2, `unknown scheme "flie"`},
		"file:/lake":                        {2, "file:/lake: want file:///DIR"},
		"file://lake":                       {2, "three slashes"},
		"s3:/bucket":                        {2, "s3:/bucket: want"},
		"s3://bucket/x":                     {2, "no region"},
		"s3://bucket/x?regoin=eu-central-1": {2, `unknown parameter "regoin"`},
		"s3://key:secret@bucket/x":          {2, "credentials do not belong in the URL"},
		"s3://bucket/x?region=eu-central-1&endpoint=http://127.0.0.1:9&path_style=true": {1, "no credentials found; set AWS_ACCESS_KEY_ID"},
		"file://" + file: {1, file},
	} {
		for _, o := range []outcome{
			invoke(t, "forescale-collector", "-data", url, "-import", data, "-group", "web"),
			invoke(t, "forescale-trainer", "-data", url, "-out", out),
			invoke(t, "forescale-trainer", "-data", data, "-epochs", "1", "-out", out, "-models", url),
		} {
			o.expect(t, c.code, c.want)
			if strings.Contains(o.stderr, "secret@") {
				t.Errorf("a secret is shown: %s", o.stderr)
			}
		}
	}
	// A lake that is only misspelt is empty; the message must name it.
	invoke(t, "forescale-trainer", "-data", "file://"+dir+"/lkae", "-out", out).expect(t, 1, dir+"/lkae has no samples")
	invoke(t, "forescale-trainer", "-data", data, "-out", file).expect(t, 1, file)
}

func TestAReadOnlyStoreIsNamedAndStaysAsItIs(t *testing.T) {
	// Whoever is root may write anywhere, so these programs run as nobody.
	dir, err := os.MkdirTemp("", "forescale-readonly-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, folder := range []string{dir, programs(t)} {
		if err := os.Chmod(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	invokeAsNobody := func(name string, args ...string) outcome {
		cmd := exec.Command(filepath.Join(programs(t), name), args...)
		cmd.Env, cmd.Dir = append(withoutCredentials(), "TMPDIR="+filepath.Join(dir, "lake")), dir
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		return finish(t, cmd)
	}
	data, more, lake := filepath.Join(dir, "in.csv"), filepath.Join(dir, "more.csv"), filepath.Join(dir, "lake")
	write(t, data, table(recentRows(400)...))
	write(t, more, table(recentRows(500)...))
	invoke(t, "forescale-collector", "-data", lake, "-import", data, "-group", "web").expect(t, 0)
	readOnly(t, lake)
	before := content(t, lake)
	for _, o := range []outcome{
		invokeAsNobody("forescale-collector", "-data", lake, "-import", more, "-group", "web"),
		invokeAsNobody("forescale-collector", "-data", lake+"/new", "-import", more, "-group", "web"),
		invokeAsNobody("forescale-trainer", "-data", data, "-out", lake+"/out"),
		invokeAsNobody("forescale-trainer", "-data", data, "-out", lake),
		invokeAsNobody("forescale", "demo", "-headless", "-dir", lake+"/demo"),
		invokeAsNobody("forescale", "demo", "-headless"), // whose temporary folder is the lake
	} {
		o.expect(t, 1, lake, "permission denied")
	}
	unchanged(t, lake, before)
}

// readOnly takes the right to write from a folder and all below it, until the end
// of the test.
func readOnly(t *testing.T, dir string) {
	t.Helper()
	for mode, when := range map[string]func(func()){"a-w": func(f func()) { f() }, "u+w": t.Cleanup} {
		when(func() {
			if out, err := exec.Command("chmod", "-R", mode, dir).CombinedOutput(); err != nil {
				t.Errorf("chmod: %v\n%s", err, out)
			}
		})
	}
}

func TestAPortThatIsTakenIsNamedAndItsOwnerServesOn(t *testing.T) {
	dir := t.TempDir()
	first := serve(t, "-models", dir)
	address := strings.TrimPrefix(first.url, "http://")
	invoke(t, "forescale-server", "-models", dir, "-listen", address).expect(t, 1, address, "address already in use")
	invoke(t, "forescale", "cloud", "-listen", address).expect(t, 1, address, "address already in use")
	if status, _ := first.ask(t, http.MethodGet, "/readyz", nil); status != http.StatusOK {
		t.Errorf("the first server answers %d", status)
	}
	for _, listen := range []string{"8650", "127.0.0.1:99999", "0.0.0.0:0"} {
		invoke(t, "forescale-server", "-models", dir, "-listen", listen).expect(t, 2, "server.listen", listen)
	}
	if l, err := net.Listen("tcp", address); err == nil {
		l.Close()
		t.Errorf("%s was free", address)
	}
}

func TestAWrongDemoIsRefusedBeforeItBegins(t *testing.T) {
	short := filepath.Join(t.TempDir(), "short.csv")
	write(t, short, table(recentRows(20)...))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-steps", "-5"}, 2, "-steps -5: must not be negative"},
		{[]string{"-steps", "many"}, 2, `"many"`},
		{[]string{"-steps", "100000000"}, 1, "-steps can be 1 to"},
		{[]string{"-trace", short}, 1, "20 slots of 5m0s are too short"},
		{[]string{"-trace", "/does/not/exist.csv"}, 1, "exist.csv"},
		{[]string{"-target", "cpu"}, 2, "-target needs -trace"},
		{[]string{"-lead", "90s"}, 2, "-lead 1m30s"},
		{[]string{"-report", "/does/not/exist/demo.json"}, 2, "-report: stat /does/not/exist"},
		{[]string{"-server", "/does/not/exist"}, 1, "-server: "},
		{[]string{"-dir", filepath.Join(short, "x")}, 1, short},
		{[]string{"more"}, 2, `"more"`},
	} {
		o := invoke(t, "forescale", append([]string{"demo", "-headless"}, c.args...)...)
		if o.expect(t, c.code, c.want); strings.Contains(o.stdout, "train") {
			t.Errorf("%v: it was told after the work:\n%s%s", c.args, o.stdout, o.stderr)
		}
	}
}
