// Package cli is the frame that every Forescale command runs in: flags with a
// manual, -version, -check, signals and exit codes.
//
// Exit codes: 0 done, or stopped by SIGINT or SIGTERM after a clean drain;
// 1 the work failed; 2 the command line or the configuration is wrong. A command
// whose manual says so has further ones ([StatusError]).
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
)

// Version is set by the linker in a release build.
var Version = "dev"

// The exit codes.
const (
	ExitOK     = 0
	ExitFailed = 1
	ExitUsage  = 2
)

// UsageError marks a fault of the command line or the configuration, for which
// the exit code is ExitUsage.
type UsageError struct{ Err error }

// Error implements error.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the fault itself.
func (e *UsageError) Unwrap() error { return e.Err }

// Usagef returns a UsageError with the formatted message.
func Usagef(format string, args ...any) error {
	return &UsageError{Err: fmt.Errorf(format, args...)}
}

// StatusError ends a command with an exit code of its own: the work is done, and
// whoever started it has something to do.
type StatusError struct {
	Code int // above ExitUsage
	Err  error
}

// Error implements error.
func (e *StatusError) Error() string { return e.Err.Error() }

// Unwrap returns what is to be told.
func (e *StatusError) Unwrap() error { return e.Err }

// Command is one program, or one subcommand of a program.
type Command struct {
	Name   string // as typed, for example "forescale demo"
	Manual string // what it does, with examples; shown by -help above the flags
	// Flags declares the flags. It may be nil.
	Flags func(fs *flag.FlagSet)
	// Check validates the configuration without starting anything and returns
	// all faults at once. Main runs it for -check, and before Run otherwise.
	Check func() error
	// Checked writes what -check has to say of a valid configuration besides that it
	// is valid. It may be nil.
	Checked func(w io.Writer)
	// Arguments says that the command takes positional arguments: -check lets them
	// pass then.
	Arguments bool
	// Run does the work until it is done or ctx ends. Positional arguments are
	// in args, wherever among the flags they stood; a command that takes none
	// refuses them.
	Run func(ctx context.Context, args []string) error
}

// Main runs the command with the process's arguments, turns SIGINT and SIGTERM
// into the end of the context, and exits.
func Main(c Command) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := Execute(ctx, c, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Execute runs the command with the given arguments and returns its exit code.
func Execute(ctx context.Context, c Command, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // a manual after each typing error would hide it
	version := fs.Bool("version", false, "print the version and exit")
	check := fs.Bool("check", false, "validate the configuration, print every fault and exit (2 when there is one)")
	if c.Flags != nil {
		c.Flags(fs)
	}
	rest, err := parse(fs, args)
	switch {
	case errors.Is(err, flag.ErrHelp): // asked for, so that it can be paged and searched
		fmt.Fprintf(stdout, "%s\n\nFlags:\n", c.Manual)
		fs.SetOutput(stdout)
		fs.PrintDefaults()
		return ExitOK
	case err != nil:
		return usage(c, err, stderr)
	}
	if *version {
		fmt.Fprintln(stdout, c.Name, buildVersion())
		return ExitOK
	}
	if *check && len(rest) > 0 && !c.Arguments { // most likely a file whose -config is missing
		return usage(c, fmt.Errorf("unexpected argument %q", rest[0]), stderr)
	}
	if c.Check != nil {
		if err := c.Check(); err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", c.Name, err)
			return ExitUsage
		}
	}
	if *check {
		fmt.Fprintln(stdout, "configuration is valid")
		if c.Checked != nil {
			c.Checked(stdout)
		}
		return ExitOK
	}
	err = c.Run(ctx, rest)
	var wrong *UsageError
	var status *StatusError
	switch {
	case err == nil:
		return ExitOK
	case ctx.Err() != nil && cancelled(err):
		return ExitOK // stopped by a signal, after Run has drained
	case errors.As(err, &wrong):
		return usage(c, err, stderr)
	case errors.As(err, &status):
		fmt.Fprintf(stderr, "%s: %v\n", c.Name, err)
		return status.Code
	default:
		fmt.Fprintf(stderr, "%s: %v\n", c.Name, err)
		return ExitFailed
	}
}

// parse sets the flags and returns the other arguments, which may stand before,
// between and after them: an order that is typed in a hurry begins with the name of
// the group. What follows "--" is no flag.
func parse(fs *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		if fs.NArg() == 0 {
			return rest, nil
		}
		if read := len(args) - fs.NArg(); read > 0 && args[read-1] == "--" {
			return append(rest, fs.Args()...), nil
		}
		rest, args = append(rest, fs.Arg(0)), fs.Args()[1:]
	}
}

// cancelled reports whether err says nothing but that the context ended. What
// else went wrong while a program was being stopped must be heard.
func cancelled(err error) bool {
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(e.Unwrap(), func(err error) bool { return !cancelled(err) })
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return cancelled(inner)
		}
	}
	return errors.Is(err, context.Canceled)
}

func usage(c Command, err error, stderr io.Writer) int {
	fmt.Fprintf(stderr, "%s: %v\nRun '%s -help' for how to use it.\n", c.Name, err, c.Name)
	return ExitUsage
}

// PackageComment returns the text of the comment above the package clause of a Go
// source file, so that a command's embedded main.go is its manual too.
func PackageComment(source string) string {
	var lines []string
	for line := range strings.Lines(source) {
		text, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "//")
		if !ok {
			break
		}
		lines = append(lines, strings.TrimPrefix(text, " "))
	}
	return strings.Join(lines, "\n")
}

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return Version + " " + info.GoVersion
	}
	return Version
}
