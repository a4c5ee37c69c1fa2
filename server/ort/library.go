package ort

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	onnxruntime "github.com/yalue/onnxruntime_go"
)

// MinVersion is the oldest ONNX Runtime that provides the C API (version 24)
// which this program was compiled for.
const MinVersion = "1.24"

const advice = "run `make setup` to install it, or point FORESCALE_ONNXRUNTIME at a libonnxruntime.so, version " + MinVersion + " or later"

// LibraryError says that no usable ONNX Runtime was found, where it was looked
// for, and what to do.
type LibraryError struct {
	Path   string // the library at fault; empty when none was found
	Detail string
}

// Error implements error.
func (e *LibraryError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("ONNX Runtime: %s; %s", e.Detail, advice)
	}
	return fmt.Sprintf("ONNX Runtime library %s: %s; %s", e.Path, e.Detail, advice)
}

// Find returns the path of the ONNX Runtime library: the explicit one (from a
// flag, the configuration or the environment) if given, otherwise
// lib/libonnxruntime.so* beside the executable, otherwise the one that
// `make setup` installs in the source tree, looked for from the working directory
// upwards. The error is a *LibraryError.
func Find(explicit string) (path string, err error) {
	if explicit != "" {
		return explicit, checkFile(explicit)
	}
	var tried []string
	if exe, err := os.Executable(); err == nil {
		if exe, err = filepath.EvalSymlinks(exe); err == nil {
			tried = append(tried, filepath.Join(filepath.Dir(exe), "lib", "libonnxruntime.so*"))
		}
	}
	if dir, err := os.Getwd(); err == nil {
		tried = append(tried, sourceTree(dir)...)
	}
	for _, pattern := range tried {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			continue
		}
		slices.Sort(found)
		return found[0], checkFile(found[0])
	}
	return "", &LibraryError{Detail: fmt.Sprintf("no library found (tried %q)", tried)}
}

// sourceTree returns where npm puts the library in the source tree that dir is
// part of, if it is part of one.
func sourceTree(dir string) []string {
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	for {
		home := filepath.Join(dir, "server", "ort", "runtime")
		if _, err := os.Stat(filepath.Join(home, "package.json")); err == nil && arch != "" {
			return []string{filepath.Join(home, "node_modules", "onnxruntime-node", "bin", "napi-v6", runtime.GOOS, arch, "libonnxruntime.so*")}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
	}
}

// machines are the ELF machine numbers of the architectures that we know.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// checkFile returns a *LibraryError unless path is a shared library for this
// processor. The dynamic loader would refuse it too, but less clearly.
func checkFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return &LibraryError{Path: path, Detail: "does not exist"}
	case err != nil:
		return &LibraryError{Path: path, Detail: err.Error()}
	case !info.Mode().IsRegular():
		return &LibraryError{Path: path, Detail: "is not a file"}
	}
	want, known := machines[runtime.GOARCH]
	if runtime.GOOS != "linux" || !known {
		return nil
	}
	f, err := elf.Open(path)
	if err != nil {
		return &LibraryError{Path: path, Detail: "is not a shared library: " + err.Error()}
	}
	defer f.Close()
	if f.Machine != want || f.Class != elf.ELFCLASS64 {
		return &LibraryError{Path: path, Detail: fmt.Sprintf("is for another processor (%s, this is %s)", f.Machine, want)}
	}
	symbols, err := f.DynamicSymbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return &LibraryError{Path: path, Detail: "is not a shared library: " + err.Error()}
	}
	if !slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return s.Name == entryPoint && s.Section != elf.SHN_UNDEF }) {
		return &LibraryError{Path: path, Detail: "is not ONNX Runtime: it has no " + entryPoint}
	}
	return nil
}

// entryPoint is the function that every ONNX Runtime library exports.
const entryPoint = "OrtGetApiBase"

// fileVersion returns, for a message, the version that a library carries as the
// version of its symbols (VERS_1.24.3), or nothing. The library itself cannot be
// asked: it is unloaded again once it has turned out to be too old.
func fileVersion(path string) string {
	f, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	versions, _ := f.DynamicVersions() // an error means that it has none
	for _, v := range versions {
		if number, ok := strings.CutPrefix(v.Name, "VERS_"); ok {
			return ": it is version " + number
		}
	}
	return ""
}

// environment guards what onnxruntime_go keeps in global variables.
var environment struct {
	sync.Mutex
	path string // the library in use; empty: none yet
}

// Open loads the library at path and initialises ONNX Runtime. That happens once
// in the life of a process: a second call with the same path does nothing, with
// another path it is an error. Nothing is ever unloaded. The error is a
// *LibraryError; after it, Open may be tried with another path.
func Open(path string) error {
	environment.Lock()
	defer environment.Unlock()
	abs, err := filepath.Abs(path)
	if err != nil {
		return &LibraryError{Path: path, Detail: err.Error()}
	}
	switch environment.path {
	case abs:
		return nil
	case "":
	default:
		return &LibraryError{Path: path, Detail: fmt.Sprintf("another one is in use already: %s", environment.path)}
	}
	if err := checkFile(abs); err != nil {
		return err
	}
	fewArenas()
	onnxruntime.SetSharedLibraryPath(abs)
	// ONNX Runtime reports through return values; what it would print on the way
	// belongs in no log of ours.
	if err := onnxruntime.InitializeEnvironment(onnxruntime.WithLogLevelFatal()); err != nil {
		if strings.HasSuffix(err.Error(), "Error setting ORT API base: 2") { // its GetApi knows no such version
			return &LibraryError{Path: path, Detail: "is too old" + fileVersion(abs)}
		}
		return &LibraryError{Path: path, Detail: err.Error()}
	}
	environment.path = abs
	return nil
}

// Version returns the version of the library in use, for example 1.24.3, or ""
// before Open.
func Version() string {
	environment.Lock()
	defer environment.Unlock()
	if environment.path == "" {
		return ""
	}
	return onnxruntime.GetVersion()
}
