// Package cli is the frame that every Forescale command runs in: flags with a
// manual, -version, -check, signals and exit codes.
//
// Exit codes: 0 done, or stopped by SIGINT or SIGTERM after a clean drain;
// 1 the work failed; 2 the command line or the configuration is wrong.
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

// Command is one program, or one subcommand of a program.
type Command struct {
	Name   string // as typed, for example "forescale demo"
	Manual string // what it does, with examples; shown by -help above the flags
	// Flags declares the flags. It may be nil.
	Flags func(fs *flag.FlagSet)
	// Check validates the configuration without starting anything and returns
	// all faults at once. Main runs it for -check, and before Run otherwise.
	Check func() error
	// Run does the work until it is done or ctx ends. Positional arguments are
	// in args; a command that takes none refuses them.
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
	fs.SetOutput(stderr)
	fs.Usage = func() {} // a page of manual would push the fault off the screen
	version := fs.Bool("version", false, "print the version and exit")
	check := fs.Bool("check", false, "validate the configuration, print every fault and exit (2 when there is one)")
	if c.Flags != nil {
		c.Flags(fs)
	}
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(stdout, "%s\n\nFlags:\n", c.Manual)
		fs.SetOutput(stdout)
		fs.PrintDefaults()
		return ExitOK
	case err != nil: // which fs has printed
		fmt.Fprint(stderr, hint(c))
		return ExitUsage
	}
	if *version {
		fmt.Fprintln(stdout, c.Name, buildVersion())
		return ExitOK
	}
	if *check && fs.NArg() > 0 { // most likely a file whose -config is missing
		fmt.Fprintf(stderr, "%s: unexpected argument %q\n%s", c.Name, fs.Arg(0), hint(c))
		return ExitUsage
	}
	if c.Check != nil {
		if err := c.Check(); err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", c.Name, err)
			return ExitUsage
		}
	}
	if *check {
		fmt.Fprintln(stdout, "configuration is valid")
		return ExitOK
	}
	err := c.Run(ctx, fs.Args())
	var usage *UsageError
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return ExitOK // stopped by a signal, after Run has drained
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "%s: %v\n%s", c.Name, err, hint(c))
		return ExitUsage
	default:
		fmt.Fprintf(stderr, "%s: %v\n", c.Name, err)
		return ExitFailed
	}
}

// hint ends the report of a wrong command line.
func hint(c Command) string { return fmt.Sprintf("Run '%s -help' for how to use it.\n", c.Name) }

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return Version + " " + info.GoVersion
	}
	return Version
}
