package file

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// limited is the variable that makes this test binary a process that may write
// files of so few bytes only, and replaces the file that it names.
const limited = "FORESCALE_FILE_LIMITED"

const limit = 1000 // bytes

func TestMain(m *testing.M) {
	path := os.Getenv(limited)
	if path == "" {
		os.Exit(m.Run())
	}
	small := syscall.Rlimit{Cur: limit, Max: limit}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		panic(err)
	}
	err := ReplaceAll(Content{path + ".small", []byte("fits")}, Content{path, bytes.Repeat([]byte("n"), 2*limit)})
	_, _ = os.Stdout.WriteString(err.Error())
	if Full(err) && errors.Is(err, ErrFull) {
		os.Exit(7)
	}
	os.Exit(0)
}

func TestReplaceWritesTheWholeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	for _, content := range []string{"first", "", "the third is longer"} {
		if err := Replace(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("%q, %v, want %q", got, err, content)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v: others must be able to read it", info.Mode(), err)
	}
	alone(t, path)
}

func TestWithoutRoomTheOldFileStaysAndTheErrorNamesIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	if err := Replace(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = []string{limited + "=" + path}
	said, err := child.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 || !strings.Contains(string(said), "write "+path+":") || !strings.Contains(string(said), "free some space") {
		t.Errorf("%v: %q", err, said)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("%q, %v: the old file is gone", got, err)
	}
	alone(t, path)
}

func TestFilesThatBelongTogetherAreReplacedTogether(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := ReplaceAll(Content{a, []byte("1")}, Content{b, []byte("2")}); err != nil {
		t.Fatal(err)
	}
	if err := ReplaceAll(Content{a, []byte("3")}, Content{filepath.Join(dir, "none", "c"), nil}); err == nil || !strings.Contains(err.Error(), "write "+filepath.Join(dir, "none", "c")) {
		t.Errorf("%v", err)
	}
	for path, want := range map[string]string{a: "1", b: "2"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", path, got, err, want)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("%v, %v: something was left behind", entries, err)
	}
}

func TestOnlyAFullDiskIsAdvisedOn(t *testing.T) {
	full := fmt.Errorf("put web/1/model.onnx: %w", &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC})
	if err := Advise(full); !errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) || err.Error() != full.Error()+": "+ErrFull.Error() {
		t.Errorf("%v", err)
	}
	if err := Advise(Advise(full)); strings.Count(err.Error(), "free some space") != 1 {
		t.Errorf("advised twice: %v", err)
	}
	if err := Advise(fs.ErrExist); err != fs.ErrExist || Advise(nil) != nil {
		t.Errorf("%v", err)
	}
}

func TestAMissingDirectoryIsNotAFullDisk(t *testing.T) {
	err := Replace(filepath.Join(t.TempDir(), "none", "x"), nil)
	if !errors.Is(err, fs.ErrNotExist) || Full(err) {
		t.Errorf("%v", err)
	}
}

// alone checks that nothing but path lies in its directory.
func alone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v: a temporary file was left behind", entries, err)
	}
}
