//go:build system

package compose

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"golang.org/x/sys/unix"
)

// engine runs services as a container engine would, as far as a test needs it: each in
// a read-only root file system of its own, as its own user, with its volumes and the
// names of the others. It must run in name spaces of mounts, processes and network of
// its own. All services share that network, so that their names mean 127.0.0.1.
type engine struct {
	t       *testing.T
	dir     string
	stages  map[string]string // root file system by target
	images  map[string]image
	foreign map[string][]string // what runs in place of an image from elsewhere, by its name without the tag
	project *types.Project
	config  string // in place of forescale.yaml
	running map[string]*container
	runs    int
}

// container is a service that was started.
type container struct {
	service types.ServiceConfig
	root    string
	env     []string
	health  []string
	cmd     *exec.Cmd
	ended   chan struct{}
	log     *os.File
}

// start starts a service in a container of its own.
func (e *engine) start(s types.ServiceConfig) {
	e.t.Helper()
	c, argv := e.create(s, s.Name)
	var err error
	c.log, err = os.Create(filepath.Join(e.dir, s.Name+".log"))
	e.must(err)
	c.cmd = e.command(c, context.Background(), argv)
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	e.must(c.cmd.Start())
	go func() { _ = c.cmd.Wait(); close(c.ended) }()
	e.running[s.Name] = c
}

// create makes the root file system of a service, and returns what is to run in it.
func (e *engine) create(s types.ServiceConfig, name string) (c *container, argv []string) {
	e.t.Helper()
	c = &container{service: s, root: filepath.Join(e.dir, "containers", name), ended: make(chan struct{})}
	e.must(os.MkdirAll(c.root, 0o755))
	argv = e.fill(c)
	for key, value := range s.Environment {
		c.env = append(c.env, key+"="+*value)
	}
	e.mount(c)
	return c, argv
}

// fill puts the image into the root of a container, and returns what it is to run.
func (e *engine) fill(c *container) []string {
	e.t.Helper()
	s := c.service
	if s.Build == nil {
		name, _, _ := strings.Cut(s.Image, ":")
		argv := slices.Clone(e.foreign[name])
		for _, dir := range []string{"usr", "etc", "proc", "dev", "tmp"} {
			e.must(os.Mkdir(filepath.Join(c.root, dir), 0o755))
		}
		for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
			e.must(os.Symlink("usr/"+dir, filepath.Join(c.root, dir)))
		}
		return append(argv, s.Command...)
	}
	im := e.images[s.Build.Target]
	e.must(transfer(e.stages[s.Build.Target], c.root, nil, os.Link))
	c.env, c.health = append(c.env, im.env...), im.health
	entrypoint, command := im.entrypoint, im.cmd
	if s.Entrypoint != nil {
		entrypoint, command = s.Entrypoint, nil
	}
	if s.Command != nil {
		command = s.Command
	}
	return append(slices.Clone(entrypoint), command...)
}

// mount puts the volumes in their places, and makes the rest read-only.
func (e *engine) mount(c *container) {
	e.t.Helper()
	e.bind(c.root, c.root, false)
	hosts := "127.0.0.1 localhost"
	for name := range e.project.Services {
		hosts += " " + name
	}
	e.must(os.MkdirAll(filepath.Join(c.root, "etc"), 0o755))
	e.must(os.WriteFile(filepath.Join(c.root, "etc", "hosts"), []byte(hosts+"\n"), 0o644))
	for _, dir := range []string{"proc", "dev"} {
		e.must(os.MkdirAll(filepath.Join(c.root, dir), 0o755))
	}
	e.must(unix.Mount("proc", filepath.Join(c.root, "proc"), "proc", 0, ""))
	e.bind("/dev", filepath.Join(c.root, "dev"), false)
	if c.service.Build == nil {
		e.bind("/usr", filepath.Join(c.root, "usr"), true)
	}
	for _, v := range c.service.Volumes {
		source := v.Source
		if filepath.Base(source) == "forescale.yaml" {
			source = e.config
		}
		if v.Type == types.VolumeTypeVolume {
			source = e.volume(c, v)
		}
		target := filepath.Join(c.root, v.Target)
		info, err := os.Stat(source)
		e.must(err)
		if info.IsDir() {
			e.must(os.MkdirAll(target, 0o755))
		} else {
			e.must(os.MkdirAll(filepath.Dir(target), 0o755))
			e.must(os.WriteFile(target, nil, 0o644))
		}
		e.bind(source, target, v.ReadOnly)
	}
	for _, tmpfs := range c.service.Tmpfs {
		target, options, _ := strings.Cut(tmpfs, ":")
		e.must(os.MkdirAll(filepath.Join(c.root, target), 0o755))
		e.must(unix.Mount("tmpfs", filepath.Join(c.root, target), "tmpfs", 0, options))
	}
	if c.service.ReadOnly {
		e.readOnly(c.root)
	}
}

// volume returns the folder of a volume, or the one below it that is mounted. A new
// volume gets what the image has in its place.
func (e *engine) volume(c *container, v types.ServiceVolumeConfig) string {
	e.t.Helper()
	dir := filepath.Join(e.dir, "volumes", v.Source)
	nocopy, subpath := false, ""
	if v.Volume != nil {
		nocopy, subpath = v.Volume.NoCopy, v.Volume.Subpath
	}
	if _, err := os.Stat(dir); err != nil {
		e.must(os.MkdirAll(dir, 0o755))
		content := filepath.Join(c.root, v.Target)
		switch info, err := os.Stat(content); {
		case nocopy:
		case err == nil:
			e.must(transfer(content, dir, nil, duplicate))
			e.must(keepMode(info, dir))
		case c.service.Build == nil && anyUser(): // the image of the service would have it
			uid, gid := e.user(c.service)
			e.must(os.Chown(dir, uid, gid))
		}
	}
	return filepath.Join(dir, subpath)
}

func (e *engine) bind(source, target string, readOnly bool) {
	e.t.Helper()
	e.must(unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""))
	if readOnly {
		e.readOnly(target)
	}
}

// readOnly makes a mount read-only. Who is not root must repeat what was locked.
func (e *engine) readOnly(target string) {
	e.t.Helper()
	var s unix.Statfs_t
	e.must(unix.Statfs(target, &s))
	locked := uintptr(s.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME)
	e.must(unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|locked, ""))
}

// command returns a command in a container, as its user.
func (e *engine) command(c *container, ctx context.Context, argv []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0])
	cmd.Path, cmd.Args, cmd.Err = argv[0], argv, nil
	cmd.Env, cmd.Dir = c.env, "/"
	uid, gid := e.user(c.service)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: c.root, Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: !anyUser()}}
	if !anyUser() { // the only user there is gets the number of the service's
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: 0, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: 0, Size: 1}}
	}
	return cmd
}

func (e *engine) user(s types.ServiceConfig) (uid, gid int) {
	e.t.Helper()
	first, second, _ := strings.Cut(s.User, ":")
	uid, err1 := strconv.Atoi(first)
	gid, err2 := strconv.Atoi(second)
	e.must(err1)
	e.must(err2)
	return uid, gid
}

// exec runs a command in the container of a service that runs, as docker compose exec.
func (e *engine) exec(name string, argv ...string) (out string, err error) {
	return e.output(e.running[name], argv)
}

// run runs a service with other arguments in a container that is for nothing else, as
// docker compose run --rm.
func (e *engine) run(name string, args ...string) (out string, err error) {
	e.t.Helper()
	s := e.project.Services[name]
	s.Command = args
	e.runs++
	c, argv := e.create(s, fmt.Sprintf("%s-run-%d", name, e.runs))
	return e.output(c, argv)
}

// output runs a command in a container and returns what it prints. A program of ours
// is found by its name alone.
func (e *engine) output(c *container, argv []string) (out string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if argv[0] == "forescale" {
		argv = append([]string{"/usr/local/bin/forescale"}, argv[1:]...)
	}
	raw, err := e.command(c, ctx, argv).CombinedOutput()
	return string(raw), err
}

// up starts all services, each when what it depends on is as it wants it.
func (e *engine) up() {
	e.t.Helper()
	for len(e.running) < len(e.project.Services) {
		started := len(e.running)
		for _, name := range e.project.ServiceNames() {
			s := e.project.Services[name]
			ready := e.running[name] == nil
			for other := range s.DependsOn {
				ready = ready && e.running[other] != nil
			}
			if !ready {
				continue
			}
			for other, d := range s.DependsOn {
				e.await(other, d.Condition)
			}
			e.start(s)
		}
		if len(e.running) == started {
			e.t.Fatal("the services wait for each other")
		}
	}
}

// await returns when a service fulfils a condition.
func (e *engine) await(name, condition string) {
	e.t.Helper()
	c := e.running[name]
	switch condition {
	case types.ServiceConditionCompletedSuccessfully:
		select {
		case <-c.ended:
			if !c.cmd.ProcessState.Success() {
				e.t.Fatalf("%s: %v", name, c.cmd.ProcessState)
			}
		case <-time.After(patience):
			e.t.Fatalf("%s does not end", name)
		}
	case types.ServiceConditionHealthy:
		if c.health == nil {
			c.health = e.probe(c)
		}
		e.until(name+" is healthy", func() error {
			out, err := e.exec(name, c.health...)
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	}
}

// probe returns the health check of an image from elsewhere. Its programs are those of
// this machine, which may lack nc; asking with bash is as good.
func (e *engine) probe(c *container) []string {
	test := c.service.HealthCheck.Test
	if test[1] != "nc" {
		return test[1:]
	}
	return []string{"/usr/bin/bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/%s/%s", test[3], test[4])}
}

// patience is how long anything may take.
const patience = 4 * time.Minute

// until waits until a question has no error.
func (e *engine) until(what string, ask func() error) {
	e.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := ask()
		if err == nil {
			return
		}
		for name, c := range e.running {
			select {
			case <-c.ended:
				if !oneShot(c.service) || !c.cmd.ProcessState.Success() {
					e.t.Fatalf("%s has ended: %v", name, c.cmd.ProcessState)
				}
			default:
			}
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("never so: %s: %v", what, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// down stops what runs, each service after those that depend on it, and returns how
// they ended.
func (e *engine) down() map[string]*os.ProcessState {
	states := map[string]*os.ProcessState{}
	for len(states) < len(e.running) {
		for name, c := range e.running {
			wanted := states[name] != nil
			for other := range e.running {
				_, depends := e.project.Services[other].DependsOn[name]
				wanted = wanted || depends && states[other] == nil
			}
			if wanted {
				continue
			}
			_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
			select {
			case <-c.ended:
			case <-time.After(time.Minute):
				e.t.Errorf("%s does not stop", name)
				_ = c.cmd.Process.Kill()
				<-c.ended
			}
			states[name] = c.cmd.ProcessState
		}
	}
	for _, c := range e.running {
		if raw, err := os.ReadFile(c.log.Name()); err == nil && e.t.Failed() {
			e.t.Logf("%s:\n%s", c.service.Name, raw[max(0, len(raw)-4000):])
		}
	}
	return states
}

func (e *engine) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

func owner(info fs.FileInfo) (uid, gid int) {
	s := info.Sys().(*syscall.Stat_t)
	return int(s.Uid), int(s.Gid)
}

// insideEnv says that this process is in name spaces of its own: "root" when it may
// become any user, "user" when there is only one.
const insideEnv = "FORESCALE_COMPOSE_INSIDE"

// anyUser reports whether this process may give files to other users, and become them.
func anyUser() bool { return os.Getuid() == 0 && os.Getenv(insideEnv) != "user" }

// inside runs this test again in name spaces of its own, with the root file systems in
// dir.
func inside(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=10m")
	cmd.Env = append(os.Environ(), insideEnv+"=root", "FORESCALE_COMPOSE_IMAGES="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	if !anyUser() {
		cmd.Env = append(cmd.Env, insideEnv+"=user")
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("in name spaces of its own: %v", err)
	}
}

// settle makes the name spaces usable: mounts stay in here, /proc shows the processes
// of here, and loopback is up.
func settle(t *testing.T) {
	t.Helper()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatal(err)
	}
}
