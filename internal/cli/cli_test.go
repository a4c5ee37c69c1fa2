package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
)

func TestExecute(t *testing.T) {
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for name, c := range map[string]struct {
		ctx            context.Context
		args           []string
		check, run     error
		code           int
		stdout, stderr string // what each holds; "": nothing
	}{
		"help goes to the standard output, with the flags": {args: []string{"-help"}, code: ExitOK, stdout: "the manual\n\nFlags:"},
		"an unknown flag is named, and the manual is not":  {args: []string{"-x"}, code: ExitUsage, stderr: "tool: flag provided but not defined: -x\nRun 'tool -help'"},
		"the version":                                  {args: []string{"-version"}, code: ExitOK, stdout: "tool " + Version},
		"check says so when all is well":               {args: []string{"-check"}, code: ExitOK, stdout: "valid"},
		"check prints the faults":                      {args: []string{"-check"}, check: errors.New("a\nb"), code: ExitUsage, stderr: "tool: a\nb"},
		"check calls no unread file valid":             {args: []string{"-check", "forescale.yaml"}, code: ExitUsage, stderr: `unexpected argument "forescale.yaml"`},
		"faults keep the work from starting":           {check: errors.New("a"), run: errors.New("ran"), code: ExitUsage, stderr: "tool: a"},
		"work that is done":                            {code: ExitOK},
		"work that failed":                             {run: errors.New("no disk"), code: ExitFailed, stderr: "tool: no disk"},
		"work that found the command line wrong":       {run: fmt.Errorf("x: %w", Usagef("one %s", "too many")), code: ExitUsage, stderr: "one too many\nRun 'tool -help'"},
		"work that a signal stopped":                   {ctx: stopped, run: fmt.Errorf("fetch: %w", context.Canceled), code: ExitOK},
		"work that was cancelled for a reason its own": {run: context.Canceled, code: ExitFailed, stderr: "canceled"},
		"work that failed while a signal stopped it": {ctx: stopped, run: errors.Join(fmt.Errorf("fetch: %w", context.Canceled), errors.New("store: no space left")),
			code: ExitFailed, stderr: "no space left"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.ctx == nil {
				c.ctx = t.Context()
			}
			command := Command{Name: "tool", Manual: "the manual",
				Flags: func(fs *flag.FlagSet) { fs.Int("n", 1, "a `NUMBER`") },
				Check: func() error { return c.check },
				Run:   func(context.Context, []string) error { return c.run }}
			var stdout, stderr strings.Builder
			if code := Execute(c.ctx, command, c.args, &stdout, &stderr); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for what, got := range map[string][2]string{"standard output": {stdout.String(), c.stdout}, "standard error": {stderr.String(), c.stderr}} {
				if !strings.Contains(got[0], got[1]) || got[1] == "" && got[0] != "" {
					t.Errorf("%s: %q, want %q", what, got[0], got[1])
				}
			}
		})
	}
}

func TestPackageComment(t *testing.T) {
	got := PackageComment("// Tool does it.\n//\n//\ttool -x\npackage main\n\n// later\n")
	if want := "Tool does it.\n\n\ttool -x"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
