package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
)

// page returns the text of a page of the documentation.
func page(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// consoleCommands returns what the console blocks of a page say to type.
func consoleCommands(text string) (commands []string) {
	for i, block := range strings.Split(text, "```console\n") {
		if i == 0 {
			continue
		}
		block, _, _ = strings.Cut(block, "```")
		for line := range strings.Lines(block) {
			if command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ "); ok {
				commands = append(commands, command)
			}
		}
	}
	return commands
}

// Every command of the two pages works on an installation over the simulated cloud, in
// the order of the page.
func TestTheCommandsOfThePagesForOperatorsWork(t *testing.T) {
	programs(t) // before the patient's environment, in which there is no compiler
	for name, least := range map[string]int{"operate.md": 25, "troubleshooting.md": 12} {
		t.Run(name, func(t *testing.T) {
			p := newPatient(t)
			p.decided = -1 // the scaler decides itself, below
			config, _ := p.admit(t)
			dir := filepath.Dir(config)
			second(t, filepath.Join(dir, "models"), p.now)
			write(t, filepath.Join(dir, "token"), []byte("fst_abc\n"))
			run := func(command string) (int, string) { return typed(t, dir, command, p.serving) }
			if code, text := run("forescale-scaler -config forescale.yaml -once"); code != 0 {
				t.Fatalf("exit code %d:\n%s", code, text)
			}
			if name == "troubleshooting.md" { // which rolls back
				if code, text := run(`forescale models promote web 2 -reason "better" -config forescale.yaml`); code != 0 {
					t.Fatal(text)
				}
			}
			commands := consoleCommands(page(t, name))
			if len(commands) < least {
				t.Errorf("only %d commands", len(commands))
			}
			for _, command := range commands {
				code, text := run(command)
				// The model of the test has no server: its group needs attention.
				attention := strings.HasPrefix(command, "forescale status") && code == exitAttention
				if code != 0 && !attention {
					t.Errorf("%s: exit code %d\n%s", command, code, text)
				}
			}
		})
	}
}

// second puts a second version beside the first.
func second(t *testing.T, registry string, now time.Time) {
	t.Helper()
	m, model := onnxtest.Persistence(onnxtest.Spec(4, 2), 2)
	m.Name, m.Groups, m.TrainedUntil, m.CreatedAt = "web", []string{"web"}, now.Add(-day), now
	if _, err := models.NewRegistry(openLake(t, registry)).Put(t.Context(), m, model); err != nil {
		t.Fatal(err)
	}
}

// typed runs a command as a shell does, with the server of the test in place of the
// page's. One that goes on until Ctrl-C gets that after its first line.
func typed(t *testing.T, dir, command, server string) (code int, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command = strings.ReplaceAll(command, "https://forescale.example.com", server)
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", "exec "+command)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+programs(t))
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	all := bufio.NewScanner(out)
	all.Buffer(nil, 1<<20)
	for all.Scan() {
		if text == "" && strings.HasPrefix(command, "forescale tail") {
			_ = cmd.Process.Signal(os.Interrupt) // once: a second one kills
		}
		text += all.Text() + "\n"
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", command, err)
	}
	return cmd.ProcessState.ExitCode(), text + errOut.String()
}

// Whoever is woken by an alert finds it on the page, and every link of the pages leads
// somewhere.
func TestThePageOnTroubleKnowsEveryAlert(t *testing.T) {
	text := page(t, "troubleshooting.md")
	rules, err := filepath.Glob(filepath.Join("..", "..", "deploy", "prometheus", "*.rules.yml"))
	if err != nil || len(rules) == 0 {
		t.Fatal("no rules", err)
	}
	alerts := 0
	for _, path := range rules {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(string(raw), -1) {
			if alerts++; !regexp.MustCompile(`\b` + m[1] + `\b`).MatchString(text) {
				t.Errorf("%s: the page does not know %s", path, m[1])
			}
		}
	}
	if alerts < 20 {
		t.Errorf("only %d alerts were found", alerts)
	}
}

func TestTheLinksOfThePagesForOperatorsLead(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)]+)\)`)
	for _, name := range []string{"operate.md", "troubleshooting.md"} {
		for _, m := range link.FindAllStringSubmatch(page(t, name), -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			if path != "" && !exists(filepath.Join("..", "..", "docs", path)) {
				t.Errorf("%s: %s is not there", name, m[1])
			}
			if path == "" {
				path = name
			}
			if anchor != "" && !slices.Contains(anchors(page(t, path)), anchor) {
				t.Errorf("%s: %s has no such heading", name, m[1])
			}
		}
	}
}

// anchors returns how the headings of a page are linked to, as GitHub names them.
func anchors(text string) (names []string) {
	for line := range strings.Lines(text) {
		if title, ok := strings.CutPrefix(line, "#"); ok {
			title = strings.ToLower(strings.TrimSpace(strings.TrimLeft(title, "#")))
			title = regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(title, "")
			names = append(names, strings.ReplaceAll(title, " ", "-"))
		}
	}
	return names
}
