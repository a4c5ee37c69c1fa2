package compose

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/forescale/forescale/collector/sources"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/models/gate"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/scaler/targets"
	"github.com/forescale/forescale/server"
	"github.com/forescale/forescale/trainer"
)

// load reads a composition as Docker Compose does: against its schema, with undefined
// services, volumes and cycles as errors.
func load(text []byte) (*types.Project, error) {
	dir, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	return loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir:  dir,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, "docker-compose.yml"), Content: text}},
		Environment: types.Mapping{},
	})
}

func composition(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func project(t *testing.T) *types.Project {
	t.Helper()
	p, err := load(composition(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheCompositionIsLoadedStrictly(t *testing.T) {
	text := string(composition(t))
	for name, c := range map[string]struct{ old, new, want string }{
		"as it is":                          {"", "", ""},
		"an unknown key":                    {"    stop_grace_period: 30s\n", "    stop_grace: 30s\n", "stop_grace"},
		"a service that is not there":       {"      server: {condition", "      serve: {condition", `"serve"`},
		"services that wait for each other": {"    command: [\"init\"", "    depends_on: [scaler]\n    command: [\"init\"", "cycle"},
		"a volume that is not declared":     {"\n  mosquitto:\n  collector:", "\n  collector:", "mosquitto"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(text, c.old) {
				t.Fatalf("%q is not in the file any more", c.old)
			}
			_, err := load([]byte(strings.Replace(text, c.old, c.new, 1)))
			if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// oneShot reports whether a service does its work and exits.
func oneShot(s types.ServiceConfig) bool { return s.Restart == "no" || s.Restart == "on-failure" }

func TestEveryServiceIsHardenedAndBounded(t *testing.T) {
	for name, s := range project(t).Services {
		t.Run(name, func(t *testing.T) {
			if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged || len(s.CapAdd) > 0 {
				t.Error("it is not read-only, or may do what it need not")
			}
			if !regexp.MustCompile(`^[1-9]\d*:65532$`).MatchString(s.User) {
				t.Errorf("user %q", s.User)
			}
			if s.MemLimit == 0 || s.CPUS == 0 || s.PidsLimit == 0 {
				t.Error("it has no limit of memory, processors or processes")
			}
			for _, port := range s.Ports {
				if port.HostIP != "127.0.0.1" {
					t.Errorf("port %s is published on %q", port.Published, port.HostIP)
				}
			}
			for _, v := range s.Volumes {
				if v.Type == types.VolumeTypeBind {
					if _, err := os.Stat(v.Source); err != nil || !v.ReadOnly {
						t.Errorf("%s: is not there, or may be written to (%v)", v.Source, err)
					}
				}
				if v.Source == "secrets" && name != "init" && (!v.ReadOnly || v.Volume.Subpath == "" || !v.Volume.NoCopy) {
					t.Errorf("%s: it sees the secrets of others", v.Target)
				}
			}
			for key := range s.Environment {
				if regexp.MustCompile(`(?i)password|token|secret|access_key`).MatchString(key) {
					t.Errorf("%s: a secret in the environment", key)
				}
			}
			if s.Restart != "unless-stopped" && !oneShot(s) {
				t.Errorf("restart: %q", s.Restart)
			}
		})
	}
}

// A condition that nothing can fulfil would keep a service from starting for ever.
func TestEveryDependencyCanBeFulfilled(t *testing.T) {
	p, built := project(t), images(t, readDockerfile(t))
	for name, s := range p.Services {
		if s.Build != nil && s.Build.Target != strings.TrimPrefix(strings.TrimSuffix(s.Image, ":dev"), "forescale-") {
			t.Errorf("%s: image %s is built as %s", name, s.Image, s.Build.Target)
		}
		if s.Build != nil && len(built[s.Build.Target].entrypoint) == 0 {
			t.Errorf("%s: the Dockerfile has no target %s", name, s.Build.Target)
		}
		for other, d := range s.DependsOn {
			on := p.Services[other]
			switch d.Condition {
			case types.ServiceConditionCompletedSuccessfully:
				if on.Restart != "no" { // one that is tried again may never get there
					t.Errorf("%s waits for the end of %s, which does not end", name, other)
				}
			case types.ServiceConditionHealthy:
				if on.HealthCheck == nil && (on.Build == nil || len(built[on.Build.Target].health) == 0) {
					t.Errorf("%s waits for the health of %s, which nobody asks for", name, other)
				}
			}
		}
		if !oneShot(s) && s.HealthCheck == nil && (s.Build == nil || len(built[s.Build.Target].health) == 0) && name != "trainer" {
			t.Errorf("%s has no health check", name)
		}
	}
}

// The parts of the configuration speak of the same services and ports as the
// composition.
func TestTheConfigurationIsValidAndSpeaksOfTheServices(t *testing.T) {
	path := "forescale.yaml"
	collecting, serving, scaling := sources.DefaultConfig(), server.Defaults(), scaler.DefaultConfig()
	training, judging := trainer.DefaultConfig(), gate.DefaultConfig()
	var err error
	for section, into := range map[string]any{"collector": &collecting, "server": &serving, "scaler": &scaling, "trainer": &training, "gate": &judging} {
		_, loadErr := conf.Load(path, section, into)
		err = errors.Join(err, loadErr)
	}
	common, _ := conf.Load(path, "", nil)
	err = errors.Join(err, collecting.Validate(common.Step), serving.Validate(), scaling.Validate(common.Step), targets.Validate(scaling, common), training.Validate(), judging.Validate())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range scaling.Groups {
		if g.Mode != "dry-run" {
			t.Errorf("group %s is in mode %s", g.Name, g.Mode)
		}
	}
	if !serving.Authenticates() {
		t.Error("the server lets everyone in")
	}
	services := project(t).Services
	raw := ""
	for _, name := range []string{path, "prometheus.yml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		raw += string(text)
	}
	for _, m := range regexp.MustCompile(`(?:://|")([a-z0-9]+):(\d+)`).FindAllStringSubmatch(raw, -1) {
		if _, ok := services[m[1]]; !ok {
			t.Errorf("%s is no service", net.JoinHostPort(m[1], m[2]))
		}
	}
	// A secret is read where the service that reads it has it mounted.
	for _, m := range regexp.MustCompile(`/run/secrets/([a-z0-9]+)/`).FindAllStringSubmatch(raw, -1) {
		if !slices.ContainsFunc(services[m[1]].Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == "/run/secrets/"+m[1] }) {
			t.Errorf("%s does not see /run/secrets/%s", m[1], m[1])
		}
	}
	if common.Step != 5*time.Minute {
		t.Errorf("step %s, and the rules of deploy/prometheus are for five minutes", common.Step)
	}
}

// pageCommands returns the commands of docs/docker.md.
func pageCommands(t *testing.T) (lines []string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs", "docker.md"))
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(string(page), "```") {
		if i%2 == 1 {
			lines = append(lines, strings.Split(strings.TrimSpace(block), "\n")...)
		}
	}
	return lines
}

// words splits a command line as a shell does that knows no more than double quotes.
func words(line string) (list []string) {
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			list = append(list, part)
		} else {
			list = append(list, strings.Fields(part)...)
		}
	}
	return list
}

// What the page on Docker names is there. The system test runs those of its commands
// that need no engine.
func TestThePageOnDockerSpeaksOfWhatThereIs(t *testing.T) {
	services, built := project(t).Services, images(t, readDockerfile(t))
	commands := pageCommands(t)
	for _, line := range commands {
		args := words(line)
		switch {
		case strings.HasPrefix(line, "docker compose exec "):
			if s, ok := services[args[3]]; !ok || oneShot(s) {
				t.Errorf("%s: %s does not run", line, args[3])
			}
		case strings.HasPrefix(line, "docker compose run --rm "):
			if _, ok := services[args[4]]; !ok {
				t.Errorf("%s: there is no service %s", line, args[4])
			}
		case strings.HasPrefix(line, "docker build "):
			if i := slices.Index(args, "--target"); len(built[args[i+1]].entrypoint) == 0 {
				t.Errorf("%s: there is no such target", line)
			}
		case line != "docker compose up -d --build":
			t.Errorf("no test knows %q", line)
		}
	}
	if len(commands) < 10 {
		t.Errorf("the page has only %d commands", len(commands))
	}
}
