package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
)

func TestExecute(t *testing.T) {
	failed, usage := errors.New("the work failed"), Usagef("a wrong combination")
	for name, c := range map[string]struct {
		args           []string
		check, run     error
		code           int
		stdout, stderr string // parts of what is printed; empty: nothing may be
	}{
		"runs":               {nil, nil, nil, ExitOK, "ran []", ""},
		"hands arguments on": {[]string{"-n", "3", "x"}, nil, nil, ExitOK, "ran [x]", ""},
		"prints the manual where a pager finds it": {[]string{"-help"}, nil, failed, ExitOK, "the manual", ""},
		"prints the version":                       {[]string{"-version"}, failed, failed, ExitOK, "tool " + Version, ""},
		"says that a configuration is valid":       {[]string{"-check"}, nil, failed, ExitOK, "valid", ""},
		"says what is wrong with one":              {[]string{"-check"}, errors.New("min: -1"), nil, ExitUsage, "", "tool: min: -1"},
		"checks before it runs":                    {nil, errors.New("min: -1"), nil, ExitUsage, "", "min: -1"},
		"calls no unread file valid":               {[]string{"-check", "forescale.yaml"}, nil, nil, ExitUsage, "", `unexpected argument "forescale.yaml"`},
		"names an unknown flag":                    {[]string{"-bogus"}, nil, nil, ExitUsage, "", "-bogus"},
		"names a wrong value":                      {[]string{"-n", "many"}, nil, nil, ExitUsage, "", `"many"`},
		"tells failure":                            {nil, nil, failed, ExitFailed, "", "tool: the work failed"},
		"tells wrong use from failure":             {nil, nil, usage, ExitUsage, "", "Run 'tool -help'"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := Execute(t.Context(), Command{
				Name: "tool", Manual: "the manual",
				Flags: func(fs *flag.FlagSet) { fs.Int("n", 0, "a number") },
				Check: func() error { return c.check },
				Run: func(_ context.Context, args []string) error {
					if c.run == nil {
						fmt.Fprintln(&stdout, "ran", args)
					}
					return c.run
				},
			}, c.args, &stdout, &stderr)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, out := range []struct{ name, got, want string }{{"stdout", stdout.String(), c.stdout}, {"stderr", stderr.String(), c.stderr}} {
				if !strings.Contains(out.got, out.want) || out.want == "" && out.got != "" {
					t.Errorf("%s is %q, want %q", out.name, out.got, out.want)
				}
				if out.name == "stderr" && strings.Count(out.got, "\n") > 3 {
					t.Errorf("the fault is lost in %d lines", strings.Count(out.got, "\n"))
				}
			}
		})
	}
}

func TestASignalIsNoFailure(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	run := func(ctx context.Context, _ []string) error {
		cancel()
		return fmt.Errorf("stopped: %w", ctx.Err())
	}
	var stderr bytes.Buffer
	if code := Execute(ctx, Command{Name: "tool", Run: run}, nil, &stderr, &stderr); code != ExitOK || stderr.Len() > 0 {
		t.Errorf("exit code %d, %q", code, stderr.String())
	}
}
