package compose

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the folder of the repository, which is the build's context.
const root = "../.."

// instruction is one of a stage, such as COPY, with its flags and its text.
type instruction struct {
	line  int
	name  string
	flags map[string]string // --NAME=VALUE; of several the last
	text  string
}

// args returns the words of the text, or the elements of its JSON array.
func (i instruction) args() []string {
	var list []string
	if json.Unmarshal([]byte(i.text), &list) == nil {
		return list
	}
	return strings.Fields(i.text)
}

// exec returns the command of an instruction in exec form, nil in shell form.
func (i instruction) exec() []string {
	var list []string
	_ = json.Unmarshal([]byte(strings.TrimPrefix(strings.TrimSpace(i.text), "CMD ")), &list)
	return list
}

// stage is what a FROM begins.
type stage struct {
	from, name   string
	instructions []instruction
}

// all returns the instructions of a name.
func (s stage) all(name string) (found []instruction) {
	for _, i := range s.instructions {
		if i.name == name {
			found = append(found, i)
		}
	}
	return found
}

// readDockerfile reads what our Dockerfile needs of the format, and fails on the rest.
func readDockerfile(t *testing.T) []stage {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	stages, err := parseDockerfile(string(raw))
	if err != nil {
		t.Fatal(err)
	}
	return stages
}

func parseDockerfile(text string) (stages []stage, err error) {
	known := " ARG CMD COPY ENTRYPOINT ENV EXPOSE HEALTHCHECK RUN USER WORKDIR "
	pending, begin := "", 0
	for n, line := range strings.Split(text, "\n") {
		if trimmed := strings.TrimSpace(line); trimmed == "" || strings.HasPrefix(trimmed, "#") {
			continue // between the lines of an instruction too
		}
		if pending == "" {
			begin = n + 1
		}
		if head, more := strings.CutSuffix(line, `\`); more {
			pending += head
			continue
		}
		name, rest, _ := strings.Cut(pending+line, " ")
		pending = ""
		i := instruction{line: begin, name: name, flags: map[string]string{}, text: strings.TrimSpace(rest)}
		for strings.HasPrefix(i.text, "--") {
			flag, rest, _ := strings.Cut(i.text, " ")
			key, value, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
			i.flags[key], i.text = value, strings.TrimSpace(rest)
		}
		switch words := strings.Fields(i.text); {
		case name == "FROM" && len(words) == 3 && words[1] == "AS":
			stages = append(stages, stage{from: words[0], name: words[2]})
		case name == "FROM", len(stages) == 0, !strings.Contains(known, " "+name+" "):
			return nil, fmt.Errorf("line %d: %s is not understood here", begin, name)
		default:
			last := &stages[len(stages)-1]
			last.instructions = append(last.instructions, i)
		}
	}
	return stages, nil
}

// image is what a target's stages come to for whoever runs it.
type image struct {
	entrypoint, cmd, health []string
	user                    string
	env                     []string
	bases                   []stage // the target's stage and those below it
}

// images returns what each stage comes to that rests on no foreign image.
func images(t *testing.T, stages []stage) map[string]image {
	t.Helper()
	found := map[string]image{}
	for _, s := range stages {
		im, below := found[s.from]
		if !below && s.from != "scratch" {
			continue
		}
		im.bases = append([]stage{s}, im.bases...)
		im.env = append([]string{}, im.env...)
		for _, i := range s.instructions {
			switch i.name {
			case "ENTRYPOINT":
				im.entrypoint, im.cmd = i.exec(), nil // as the builder does
			case "CMD":
				im.cmd = i.exec()
			case "HEALTHCHECK":
				im.health = i.exec()
			case "USER":
				im.user = i.text
			case "ENV":
				im.env = append(im.env, i.args()...)
			}
		}
		found[s.name] = im
	}
	return found
}

func TestTheReaderOfTheDockerfileKnowsWhatItDoesNotKnow(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want string // part of the error; empty: it is understood
	}{
		"a stage":                          {"FROM scratch AS a\nRUN x \\\n # a comment\n  y\n", ""},
		"a stage without a name":           {"FROM scratch\n", "line 1: FROM"},
		"an instruction before a stage":    {"RUN x\n", "line 1: RUN"},
		"an instruction that is not known": {"FROM scratch AS a\n\nADD x y\n", "line 3: ADD"},
	} {
		t.Run(name, func(t *testing.T) {
			stages, err := parseDockerfile(c.text)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
			if err == nil && strings.Join(stages[0].instructions[0].args(), "|") != "x|y" {
				t.Errorf("got %+v", stages)
			}
		})
	}
}

func TestEveryImageIsWithoutRootAndShell(t *testing.T) {
	stages := readDockerfile(t)
	found := images(t, stages)
	for _, target := range []string{"cli", "cloud", "collector", "trainer", "scaler", "server", "s3"} {
		t.Run(target, func(t *testing.T) {
			im, ok := found[target]
			if !ok {
				t.Fatal("there is no such target, or it does not rest on scratch")
			}
			if !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(im.user) {
				t.Errorf("user %q is not a number other than root's", im.user)
			}
			for what, command := range map[string][]string{"ENTRYPOINT": im.entrypoint, "HEALTHCHECK": im.health} {
				if what == "HEALTHCHECK" && (target == "cli" || target == "trainer") {
					continue // they do their work and exit
				}
				if len(command) == 0 || path.Dir(command[0]) != "/usr/local/bin" {
					t.Errorf("%s %q: is not one of our programs in exec form", what, command)
				}
			}
			for _, s := range im.bases {
				if runs := s.all("RUN"); len(runs) > 0 {
					t.Errorf("line %d: RUN needs a shell, and the image has none", runs[0].line)
				}
			}
		})
	}
}

func TestEveryForeignImageIsPinned(t *testing.T) {
	names := map[string]bool{"scratch": true}
	for _, s := range readDockerfile(t) {
		if !names[s.from] && !regexp.MustCompile(`^[a-z./]+:\d[\w.-]*(@sha256:[0-9a-f]{64})?$`).MatchString(s.from) {
			t.Errorf("stage %s: %s has no version", s.name, s.from)
		}
		names[s.name] = true
	}
}

// Each COPY finds what it copies: in the context and not kept from it, or in a stage
// above.
func TestEveryCopyHasASource(t *testing.T) {
	stages, seen := readDockerfile(t), map[string]bool{}
	ignored := readIgnore(t)
	for _, s := range stages {
		for _, i := range s.all("COPY") {
			args := i.args()
			if from, ok := i.flags["from"]; ok {
				if !seen[from] {
					t.Errorf("line %d: there is no stage %s above", i.line, from)
				}
				continue
			}
			for _, source := range args[:len(args)-1] {
				if _, err := os.Stat(filepath.Join(root, source)); err != nil || source != "." && ignored.keepsOut(source) {
					t.Errorf("line %d: %s is not in the context (%v)", i.line, source, err)
				}
			}
		}
		seen[s.name] = true
	}
}

// ignore is .dockerignore: everything but the top-level names that it lists, without
// what the patterns for any depth match.
type ignore struct{ names, anywhere map[string]bool }

func readIgnore(t *testing.T) ignore {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	i := ignore{names: map[string]bool{}, anywhere: map[string]bool{}}
	everything := false
	for _, line := range strings.Split(string(raw), "\n") {
		deep, anywhere := strings.CutPrefix(line, "**/")
		name, kept := strings.CutPrefix(line, "!")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case line == "*":
			everything = true
		case anywhere:
			i.anywhere[deep] = true
		case kept && everything && !strings.ContainsAny(name, "/*?["):
			i.names[name] = true
		default:
			t.Fatalf(".dockerignore: %q is not understood here", line)
		}
	}
	return i
}

// keepsOut reports whether a path of the context is not sent to the builder.
func (i ignore) keepsOut(name string) bool {
	parts := strings.Split(filepath.ToSlash(name), "/")
	if !i.names[parts[0]] {
		return true
	}
	for _, part := range parts {
		for pattern := range i.anywhere {
			if ok, _ := path.Match(pattern, part); ok {
				return true
			}
		}
	}
	return false
}
