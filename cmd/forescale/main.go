// Command forescale holds the operator's tools.
//
//	forescale backtest replay decisions over your own history, beside other policies
//	forescale demo     replay a workload through the whole pipeline on this machine
//	forescale cloud    run the simulated cloud on its own
//	forescale freeze, pause, resume, controls    orders to the scaler, and which are in force
//	forescale retrain, watch                     a better model, if it is one; and how the one at work does
//	forescale models list, promote, rollback, pin, shadow    the versions of the registry
//	forescale token, key, sign                   secrets: for clients of the server, to sign models with
//	forescale init, launch, health               for containers: secrets of an installation, a start with them, a check
//	forescale sensor   publish this host's own metrics over MQTT
//	forescale status, tail                       how every group stands; decisions as they come
//	forescale explain, replay                    why a decision was made; whether it would be made again
//	forescale doctor                             what is wrong with an installation, and what to do
//	forescale calendar check, show               the business calendar
//	forescale import, export, data               into and out of the data lake; what is in it
//
// Each has its own -help.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/forescale/forescale/internal/cli"
)

const manual = `forescale holds the operator's tools of Forescale, a predictive autoscaler.

Usage:
  forescale backtest [flags] replay decisions over your own history: what would they have saved?
  forescale demo [flags]     replay a workload through the whole pipeline on this machine
  forescale cloud [flags]    run the simulated cloud on its own, for tries with your own configuration
  forescale sensor [flags]   publish this host's own metrics over MQTT, for the collector

Models:
  forescale retrain -group NAME | -all-groups              train a challenger; let it serve if it serves better
  forescale watch                                          roll back a model that disappoints; has the world drifted?
  forescale models list                                    every model: champion, versions, pins, shadow
  forescale models promote|rollback|pin|shadow NAME …      which version serves, stays, is tried out

  forescale key -out FILE                                  a key to sign models with
  forescale sign NAME…                                     sign what is in the registry already

Server:
  forescale token                                          a client's token, and its hash for the configuration

Containers:
  forescale init -dir FOLDER                               make the secrets of an installation that are missing
  forescale launch -env NAME=FILE -- PROGRAM …             start a program with secrets in its environment
  forescale health URL                                     is a service well?

Orders to a scaler at work:
  forescale freeze (-all | GROUP…) -for 2h -reason TEXT    never smaller; a live breach still adds
  forescale pause  (-all | GROUP…) -for 2h -reason TEXT    decide and record, change nothing
  forescale resume (-all | GROUP…)                         take both back
  forescale controls                                       what is in force: who, why, until when

What goes on:
  forescale status [GROUP…]                                every group: load, forecast, size, state and why
  forescale tail [GROUP…]                                  decisions as they come
  forescale doctor                                         what is wrong with the installation, and what to do

Past decisions, from the audit log:
  forescale explain GROUP [-at TIME]                       why a group has its size
  forescale replay [-at TIME | -from T -to T] [GROUP…]     reach decisions anew and compare

Business calendar:
  forescale calendar check FILE…                           is it sound? All faults at once, with line and fix
  forescale calendar show [FILE] -days 30                  what is planned, and what models will see of it

Data lake:
  forescale import FILE… -group NAME                       store CSV or Parquet files; -dry-run shows what would be stored
  forescale export -out FILE [GROUP…]                      CSV or Parquet that other tools, and ours, read
  forescale data [GROUP…]                                  groups, ranges, gaps, duplicates, sizes
  forescale data verify                                    checksum and schema of every object

'forescale COMMAND -help' says more. The services are programs of their own:
forescale-collector, forescale-trainer, forescale-server and forescale-scaler.
`

func main() {
	// The first signal drains; a second one ends the process as usual.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	commands := map[string]func() cli.Command{
		"backtest": backtestCommand, "demo": demoCommand, "cloud": cloudCommand,
		"freeze": freezeCommand, "pause": pauseCommand, "resume": resumeCommand, "controls": controlsCommand,
		"explain": explainCommand, "replay": replayCommand, "doctor": doctorCommand, "status": statusCommand, "tail": tailCommand,
		"retrain": retrainCommand, "watch": watchCommand,
		"models": modelsCommand, "models list": modelsListCommand, "models promote": modelsPromoteCommand,
		"models rollback": modelsRollbackCommand, "models pin": modelsPinCommand, "models shadow": modelsShadowCommand,
		"token": tokenCommand, "key": keyCommand, "sign": signCommand,
		"init": initCommand, "launch": launchCommand, "health": healthCommand,
		"sensor":   sensorCommand,
		"calendar": calendarCommand, "calendar check": calendarCheckCommand, "calendar show": calendarShowCommand,
		"import": importCommand, "export": exportCommand, "data": dataCommand, "data verify": dataVerifyCommand,
	}
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	if len(args) > 1 { // a command of two words
		if c, ok := commands[args[0]+" "+args[1]]; ok {
			return cli.Execute(ctx, c(), args[2:], os.Stdout, os.Stderr)
		}
	}
	if c, ok := commands[name]; ok {
		return cli.Execute(ctx, c(), args[1:], os.Stdout, os.Stderr)
	}
	switch name {
	case "", "help", "-help", "--help", "-h":
		fmt.Print(manual)
		return cli.ExitOK
	case "version":
		return cli.Execute(ctx, cli.Command{Name: "forescale"}, []string{"-version"}, os.Stdout, os.Stderr)
	case "-version", "--version", "-check", "--check": // there is nothing to configure: -config is refused
		return cli.Execute(ctx, cli.Command{Name: "forescale"}, args, os.Stdout, os.Stderr)
	}
	fmt.Fprintf(os.Stderr, "forescale: there is no command %q\n\n%s", name, manual)
	return cli.ExitUsage
}
