package main

import (
	"bytes"
	"context"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/server/access"
)

// tool runs a command that takes its arguments as they are typed.
func tool(t *testing.T, c cli.Command, args ...string) (code int, out string) {
	t.Helper()
	var b bytes.Buffer
	return cli.Execute(context.Background(), c, args, &b, &b), b.String()
}

// install runs forescale init.
func install(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	var b bytes.Buffer
	return cli.Execute(context.Background(), (&installer{out: &b}).command(), args, &b, &b), b.String()
}

// files returns the content of each file below dir.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := os.ReadFile(filepath.Join(dir, path))
		found[path] = strings.TrimSuffix(string(raw), "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestInitMakesSecretsOnceAndDerivesTheRest(t *testing.T) {
	dir := t.TempDir()
	code, out := install(t, "-dir", dir)
	if code != cli.ExitOK {
		t.Fatal(out)
	}
	made := files(t, dir)
	for _, name := range serverClients {
		token := made[name+"/server-token"]
		if token == "" || made["server/"+name+".hash"] != access.HashToken(token) {
			t.Errorf("%s: token and hash do not belong together", name)
		}
	}
	if want := "aws_access_key_id = " + made["s3/access-key"] + "\naws_secret_access_key = " + made["s3/secret-key"]; !strings.HasSuffix(made["aws/credentials"], want) || made["s3/secret-key"] == "" {
		t.Errorf("credentials %q", made["aws/credentials"])
	}
	seen := map[string]string{}
	for path, content := range made {
		if strings.Contains(out, content) {
			t.Errorf("it prints what is in %s", path)
		}
		if other, again := seen[content]; again {
			t.Errorf("%s and %s are the same", path, other)
		}
		seen[content] = path
		if info, err := os.Stat(filepath.Join(dir, path)); err != nil || info.Mode().Perm() != 0o440 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}

	t.Run("again it changes nothing", func(t *testing.T) {
		if code, out := install(t, "-dir", dir); code != cli.ExitOK || out != "" {
			t.Errorf("exit code %d: %s", code, out)
		}
		for path, content := range files(t, dir) {
			if made[path] != content {
				t.Errorf("%s has changed", path)
			}
		}
	})
	t.Run("a secret that was removed is another one, and its hash follows", func(t *testing.T) {
		for _, path := range []string{"scaler/server-token", "sensor/mqtt-password"} {
			if err := os.Remove(filepath.Join(dir, path)); err != nil {
				t.Fatal(err)
			}
		}
		if code, out := install(t, "-dir", dir); code != cli.ExitOK {
			t.Fatal(out)
		}
		now := files(t, dir)
		if now["scaler/server-token"] == made["scaler/server-token"] || now["server/scaler.hash"] != access.HashToken(now["scaler/server-token"]) {
			t.Error("the token was not exchanged with its hash")
		}
		oldLines, newLines := strings.Split(made["mosquitto/passwords"], "\n"), strings.Split(now["mosquitto/passwords"], "\n")
		if len(newLines) != 2 || oldLines[0] != newLines[0] || oldLines[1] == newLines[1] {
			t.Errorf("passwords %q, before %q", newLines, oldLines)
		}
		for path, content := range now {
			switch path {
			case "scaler/server-token", "server/scaler.hash", "sensor/mqtt-password", "mosquitto/passwords":
			default:
				if made[path] != content {
					t.Errorf("%s has changed too", path)
				}
			}
		}
	})
	t.Run("the operator's token is shown to who asks for it", func(t *testing.T) {
		if code, out := install(t, "-dir", dir, "-show", "operator"); code != cli.ExitOK || out != made["operator/server-token"]+"\n" {
			t.Errorf("exit code %d: %s", code, out)
		}
		if code, out := install(t, "-dir", dir, "-show", "collector"); code != cli.ExitOK || out != made["collector/mqtt-password"]+"\n" {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
}

func TestInitSaysWhatIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	broken := t.TempDir()
	if err := os.MkdirAll(filepath.Join(broken, "scaler"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(broken, "scaler", "server-token"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no folder":                    {nil, cli.ExitUsage, "-dir: name the folder"},
		"a folder that is not there":   {[]string{"-dir", file + "s"}, cli.ExitFailed, "is not a folder"},
		"a file":                       {[]string{"-dir", file}, cli.ExitFailed, "is not a folder"},
		"a token that is empty":        {[]string{"-dir", broken}, cli.ExitFailed, "must hold 1 to"},
		"a client that is not there":   {[]string{"-dir", t.TempDir(), "-show", "nobody"}, cli.ExitUsage, "want one of scaler, prometheus, operator, collector, sensor"},
		"a secret that is not there":   {[]string{"-dir", t.TempDir(), "-show", "sensor"}, cli.ExitFailed, "without -show the command makes it"},
		"a client in another folder":   {[]string{"-dir", t.TempDir(), "-show", "../x"}, cli.ExitUsage, "want one of"},
		"an argument without its flag": {[]string{"-dir", t.TempDir(), "/secrets"}, cli.ExitUsage, `unexpected argument "/secrets"`},
	} {
		t.Run(name, func(t *testing.T) {
			if code, out := install(t, c.args...); code != c.code || !strings.Contains(out, c.says) {
				t.Errorf("exit code %d: %s", code, out)
			}
		})
	}
}

func TestAHashForMosquittoIsOfItsPasswordAlone(t *testing.T) {
	hash, err := mosquittoHash("secret")
	if err != nil {
		t.Fatal(err)
	}
	// Of mosquitto_passwd 2.0.11, for the password "secret".
	const theirs = "$7$101$2Vm/TeySkUiJqc/b$YxuH4UzV3qpli/JZWApgmIX6Og2sb05zbl7KcaPIflianw/YfygbHiCPZwriwg+zYX1e3qgceV1TqRqjK+D7ZA=="
	for _, c := range []struct {
		hash, password string
		want           bool
	}{
		{hash, "secret", true}, {theirs, "secret", true}, {hash, "other", false}, {"", "secret", false},
		{"$6$101$AAAA$AAAA", "secret", false}, {"$7$101$AAAA$", "secret", false}, {"$7$101$!$AAAA", "secret", false},
		{"$7$1000000000$AAAA$AAAA", "secret", false}, // that would take minutes
	} {
		if got := isMosquittoHash(c.hash, c.password); got != c.want {
			t.Errorf("%q of %q: %t", c.hash, c.password, got)
		}
	}
}

func TestLaunchBecomesTheProgramWithTheSecret(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	forescale := filepath.Join(programs(t), "forescale")
	cmd := exec.Command(forescale, "launch", "-env", "SECRET="+secret, "--", "/bin/sh", "-c", `echo "$SECRET $OTHER $0 $*"; exit 7`, "-env", "a b")
	cmd.Env = []string{"SECRET=of the environment", "OTHER=stays"}
	out, err := cmd.CombinedOutput()
	if got := string(out); got != "s3cret stays -env a b\n" || cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("%v: %s", err, got)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no program":                  {[]string{"-env", "A=" + secret}, cli.ExitUsage, "name the program"},
		"a secret that is not there":  {[]string{"-env", "A=" + secret + "s", "--", "true"}, cli.ExitFailed, "A: open"},
		"a program that is not there": {[]string{"--", "no-such-program"}, cli.ExitFailed, "no-such-program"},
		"a variable without a file":   {[]string{"-env", "A", "--", "true"}, cli.ExitUsage, "NAME=FILE"},
		"a variable given twice":      {[]string{"-env", "A=b", "-env", "A=c", "--", "true"}, cli.ExitUsage, "given twice"},
	} {
		t.Run(name, func(t *testing.T) {
			if code, out := tool(t, launchCommand(), c.args...); code != c.code || !strings.Contains(out, c.says) || strings.Contains(out, "s3cret") {
				t.Errorf("exit code %d: %s", code, out)
			}
		})
	}
}

func TestHealthTellsWellFromUnwell(t *testing.T) {
	answer := http.NewServeMux()
	answer.HandleFunc("/well", func(http.ResponseWriter, *http.Request) {})
	answer.HandleFunc("/unwell", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	answer.Handle("/elsewhere", http.RedirectHandler("/well", http.StatusFound))
	plain, encrypted := httptest.NewServer(answer), httptest.NewTLSServer(answer)
	defer plain.Close()
	defer encrypted.Close()
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	free.Close()
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"a good answer":                       {[]string{plain.URL + "/well"}, cli.ExitOK, ""},
		"a good answer with a certificate":    {[]string{encrypted.URL + "/well"}, cli.ExitOK, ""},
		"a bad answer":                        {[]string{plain.URL + "/unwell"}, cli.ExitFailed, "503"},
		"an answer that somebody else is":     {[]string{plain.URL + "/elsewhere"}, cli.ExitFailed, "302"},
		"no answer":                           {[]string{"http://" + nobody}, cli.ExitFailed, "refused"},
		"somebody listens":                    {[]string{"tcp://" + plain.Listener.Addr().String()}, cli.ExitOK, ""},
		"nobody listens":                      {[]string{"tcp://" + nobody}, cli.ExitFailed, "refused"},
		"an address alone":                    {[]string{"127.0.0.1:8650"}, cli.ExitUsage, "first path segment"},
		"another scheme":                      {[]string{"unix://x/y"}, cli.ExitUsage, "must be http, https or tcp"},
		"a password, which is not said again": {[]string{"http://u:hunter2@127.0.0.1"}, cli.ExitUsage, "http://u:xxxxx@"},
		"nothing":                             {nil, cli.ExitUsage, "give one URL"},
	} {
		t.Run(name, func(t *testing.T) {
			if code, out := tool(t, healthCommand(), c.args...); code != c.code || !strings.Contains(out, c.says) {
				t.Errorf("exit code %d: %s", code, out)
			}
		})
	}
}

func TestTheSimulatedCloudListensForOthersOnlyWhenToldTo(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
	}{
		"loopback":               {[]string{"-listen", "127.0.0.1:0"}, cli.ExitOK},
		"every address":          {[]string{"-listen", "0.0.0.0:0"}, cli.ExitUsage},
		"no host":                {[]string{"-listen", ":0"}, cli.ExitUsage},
		"every address, by flag": {[]string{"-listen", "0.0.0.0:0", "-allow-anonymous"}, cli.ExitOK},
		"no address, by flag":    {[]string{"-listen", "4570", "-allow-anonymous"}, cli.ExitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			if code, out := tool(t, cloudCommand(), append(c.args, "-check")...); code != c.code {
				t.Errorf("exit code %d: %s", code, out)
			}
		})
	}
}
