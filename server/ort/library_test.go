package ort_test

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/forescale/forescale/server/ort"
)

// oldLibrary is an ONNX Runtime that knows no API version as new as ours.
const oldLibrary = `
struct base { const void *(*get_api)(unsigned); const char *(*get_version)(void); };
static const void *get_api(unsigned version) { return 0; }
static const char *get_version(void) { return "1.10.0"; }
static const struct base base = { get_api, get_version };
const struct base *OrtGetApiBase(void) { return &base; }
`

func TestAnUnusableLibraryIsAnErrorThatSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	compile := func(name, source string) string {
		path := filepath.Join(dir, name)
		script := write("script.map", "VERS_1.10.0 { global: *; };")
		if out, err := exec.Command("gcc", "-shared", "-fPIC", "-Wl,--version-script="+script, "-o", path, write(name+".c", source)).CombinedOutput(); err != nil {
			t.Fatalf("gcc: %v\n%s", err, out)
		}
		return path
	}
	for name, c := range map[string]struct{ path, want string }{
		"a file that is not there":      {filepath.Join(dir, "absent.so"), "does not exist"},
		"a directory":                   {dir, "is not a file"},
		"a text file":                   {write("text.so", "not a library"), "is not a shared library"},
		"a library for another machine": {write("foreign.so", foreignELF(t)), "is for another processor"},
		"a library that is too old":     {compile("old.so", oldLibrary), "is too old: it is version 1.10.0"},
		"a library that is another one": {compile("other.so", "int x;"), "is not ONNX Runtime"},
	} {
		t.Run(name, func(t *testing.T) {
			path, err := ort.Find(c.path)
			if err == nil {
				err = openLibrary(t, path)
			}
			var fault *ort.LibraryError
			if !errors.As(err, &fault) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			for _, hint := range []string{c.path, "make setup", "FORESCALE_ONNXRUNTIME", "1.24"} {
				if !strings.Contains(err.Error(), hint) {
					t.Errorf("%v\ndoes not mention %s", err, hint)
				}
			}
		})
	}
}

// openLibrary opens a library in a process of its own: a process has one.
func openLibrary(t *testing.T, path string) error {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestOpenInAProcessOfItsOwn$")
	cmd.Env = append(os.Environ(), "FORESCALE_TEST_OPEN="+path)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	for line := range strings.Lines(string(out)) {
		if _, text, ok := strings.Cut(line, "FAULT "+"ONNX Runtime library "+path+": "); ok {
			detail, _, _ := strings.Cut(text, "; run `make setup`")
			return &ort.LibraryError{Path: path, Detail: detail}
		}
	}
	t.Fatalf("%v\n%s", err, out)
	return nil
}

// This is the other process of openLibrary; on its own it has nothing to open.
func TestOpenInAProcessOfItsOwn(t *testing.T) {
	path := os.Getenv("FORESCALE_TEST_OPEN")
	if path == "" {
		return
	}
	if err := ort.Open(path); err != nil {
		t.Fatalf("FAULT %v", err)
	}
}

// foreignELF returns the head of a shared library for a machine that this is not.
func foreignELF(t *testing.T) string {
	t.Helper()
	machine := elf.EM_AARCH64
	if runtime.GOARCH == "arm64" {
		machine = elf.EM_X86_64
	}
	header := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(machine), Version: 1, Ehsize: 64, Shentsize: 64}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA], header.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	var b strings.Builder
	if err := binary.Write(&b, binary.LittleEndian, header); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestALibraryIsOpenedOnce(t *testing.T) {
	open(t)
	if v := ort.Version(); v == "" {
		t.Error("no version")
	}
	var fault *ort.LibraryError
	if err := ort.Open(os.Args[0]); !errors.As(err, &fault) || !strings.Contains(err.Error(), "in use already") {
		t.Errorf("got %v", err)
	}
}
