package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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
		"work that is done and asks for more":          {run: fmt.Errorf("x: %w", &StatusError{Code: 3, Err: errors.New("drift")}), code: 3, stderr: "tool: x: drift"},
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

func TestFlagsAndArgumentsStandInAnyOrder(t *testing.T) {
	for args, want := range map[string]string{
		"":                    "n=1 []",
		"-n 2 web idle":       "n=2 [web idle]",
		"web -n 2 idle":       "n=2 [web idle]",
		"web idle -n=2":       "n=2 [web idle]",
		"web -n 2 -- -n 3":    "n=2 [web -n 3]",
		"-- web -n 2":         "n=1 [web -n 2]",
		"- -n 2":              "n=2 [-]",
		"web -n 2 -check":     "", // a command that takes arguments lets -check pass
		"web -n 2 -help -n 3": "",
	} {
		t.Run(args, func(t *testing.T) {
			got, n := "", 0
			command := Command{Name: "tool", Arguments: true,
				Flags: func(fs *flag.FlagSet) { fs.IntVar(&n, "n", 1, "a `NUMBER`") },
				Run:   func(_ context.Context, args []string) error { got = fmt.Sprintf("n=%d %v", n, args); return nil }}
			var stderr strings.Builder
			if code := Execute(t.Context(), command, strings.Fields(args), io.Discard, &stderr); code != ExitOK || got != want {
				t.Errorf("exit code %d, got %q, want %q\n%s", code, got, want, &stderr)
			}
		})
	}
	var stderr strings.Builder
	if code := Execute(t.Context(), Command{Name: "tool"}, []string{"web", "-bogus"}, io.Discard, &stderr); code != ExitUsage || !strings.Contains(stderr.String(), "-bogus") {
		t.Errorf("an unknown flag behind an argument: exit code %d, %s", code, &stderr)
	}
}

func TestPackageComment(t *testing.T) {
	got := PackageComment("// Tool does it.\n//\n//\ttool -x\npackage main\n\n// later\n")
	if want := "Tool does it.\n\n\ttool -x"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
