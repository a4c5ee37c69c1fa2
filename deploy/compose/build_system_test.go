//go:build system

package compose

import (
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// builder runs the stages of the Dockerfile in directories: COPY copies, RUN runs in
// the stage's WORKDIR with the tools of this machine in place of those of the foreign
// image. What that does not show: that the foreign images have the tools.
type builder struct {
	t       *testing.T
	dir     string
	done    map[string]string // root file system by stage
	ignored ignore
}

// built is the root file system of each stage, made once, by whichever test needs it
// first.
var built struct {
	dir    string
	stages map[string]string
}

// TestMain removes what was built. In name spaces of its own nothing is.
func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// build returns the root file system of each stage.
func build(t *testing.T) map[string]string {
	t.Helper()
	if built.stages != nil {
		return built.stages
	}
	if built.dir == "" {
		var err error
		if built.dir, err = os.MkdirTemp("", "forescale-images-"); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp(built.dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // the services are other users
		t.Fatal(err)
	}
	b := &builder{t: t, dir: dir, done: map[string]string{}, ignored: readIgnore(t)}
	for _, s := range readDockerfile(t) {
		b.stage(s)
	}
	built.stages = b.done
	return b.done
}

func (b *builder) stage(s stage) {
	b.t.Helper()
	top := filepath.Join(b.dir, s.name)
	b.must(os.Mkdir(top, 0o755))
	if below, ok := b.done[s.from]; ok {
		b.must(transfer(below, top, nil, os.Link))
	}
	work, env := "/", os.Environ()
	for _, i := range s.instructions {
		switch i.name {
		case "WORKDIR":
			work = i.text
			b.must(os.MkdirAll(filepath.Join(top, work), 0o755))
		case "ARG", "ENV":
			env = append(env, i.args()...)
		case "COPY":
			b.copy(top, work, i)
		case "RUN":
			cmd := exec.Command("/bin/sh", "-ec", i.text)
			cmd.Dir, cmd.Env = filepath.Join(top, work), env
			if out, err := cmd.CombinedOutput(); err != nil {
				b.t.Fatalf("line %d: RUN %s: %v\n%s", i.line, i.text, err, out)
			}
		}
	}
	b.done[s.name] = top
}

func (b *builder) copy(top, work string, i instruction) {
	b.t.Helper()
	args := i.args()
	sources, to := args[:len(args)-1], args[len(args)-1]
	target := filepath.Join(top, to)
	if !filepath.IsAbs(to) {
		target = filepath.Join(top, work, to)
	}
	// What belongs to the repository is copied, lest a RUN change it.
	from, skip, put := root, b.ignored.keepsOut, duplicate
	if name, ok := i.flags["from"]; ok {
		from, skip, put = b.done[name], nil, os.Link
	}
	for _, source := range sources {
		path := filepath.Join(from, source)
		info, err := os.Stat(path)
		b.must(err)
		into := target
		switch {
		case info.IsDir():
			b.must(os.MkdirAll(into, 0o755))
		case strings.HasSuffix(to, "/"):
			b.must(os.MkdirAll(into, 0o755))
			into = filepath.Join(into, filepath.Base(source))
		}
		b.must(transfer(path, into, skip, put))
		if i.flags["chown"] == "" || !anyUser() {
			continue
		}
		// What is copied belongs to somebody else, and the folder that receives it does not.
		b.must(filepath.WalkDir(path, func(p string, _ fs.DirEntry, err error) error {
			if rel, _ := filepath.Rel(path, p); err == nil && rel != "." {
				return os.Chown(filepath.Join(into, rel), serviceID, serviceID)
			}
			return err
		}))
	}
}

func (b *builder) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// serviceID is the user and the group that the images run as.
const serviceID = 65532

// transfer puts each file of from into to, without what skip names by its path below
// from.
func transfer(from, to string, skip func(string) bool, put func(from, to string) error) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if rel == "." {
			target = to
		} else if skip != nil && skip(rel) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.IsDir() {
			return put(path, target)
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if rel == "." {
			return nil
		}
		return keepMode(info, target)
	})
}

// duplicate copies a file with its permissions.
func duplicate(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, raw, info.Mode().Perm())
}

// keepMode gives a folder the permissions and, where this process may, the owner of
// another one.
func keepMode(info fs.FileInfo, target string) error {
	if anyUser() {
		uid, gid := owner(info)
		if err := os.Chown(target, uid, gid); err != nil {
			return err
		}
	}
	return os.Chmod(target, info.Mode())
}

// Every line of the Dockerfile runs, and each program of the images finds what it
// loads: nothing, or libraries of its own image.
func TestSystemTheImagesAreBuiltAndWhole(t *testing.T) {
	stages := build(t)
	for name, program := range map[string]string{"cli": "forescale", "cloud": "forescale", "collector": "forescale-collector", "trainer": "forescale-trainer",
		"scaler": "forescale-scaler", "s3": "versitygw", "server": "forescale-server"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(stages[name], "usr/local/bin", program)
			f, err := elf.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			libraries, err := f.ImportedLibraries()
			if err != nil {
				t.Fatal(err)
			}
			if name != "server" {
				if len(libraries) > 0 || f.SectionByType(elf.SHT_DYNAMIC) != nil {
					t.Errorf("%s is not static: it loads %v", program, libraries)
				}
			} else if len(libraries) == 0 {
				t.Error("the server does not load the C library that ONNX Runtime needs")
			}
			if shells, _ := filepath.Glob(filepath.Join(stages[name], "*bin/*sh")); len(shells) > 0 {
				t.Errorf("there is a shell: %v", shells)
			}
			for _, file := range []string{"etc/ssl/certs/ca-certificates.crt", "usr/share/zoneinfo.zip"} {
				if info, err := os.Stat(filepath.Join(stages[name], file)); err != nil || info.Size() < 1000 {
					t.Errorf("%s: %v", file, err)
				}
			}
			t.Logf("%s: %d MiB", name, size(t, stages[name])>>20)
		})
	}
}

func size(t *testing.T, dir string) (sum int64) {
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			info, err := entry.Info()
			if err != nil {
				return err
			}
			sum += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}
