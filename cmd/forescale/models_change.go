package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/models"
)

// modelOrder is the command line of what changes a model: promote, rollback, pin and
// shadow.
type modelOrder struct {
	shelf
	verb    string
	from    int
	remove  bool
	by, why string
}

func modelsPromoteCommand() cli.Command  { return modelOrderCommand("promote", modelsPromoteManual) }
func modelsRollbackCommand() cli.Command { return modelOrderCommand("rollback", modelsRollbackManual) }
func modelsPinCommand() cli.Command      { return modelOrderCommand("pin", modelsPinManual) }
func modelsShadowCommand() cli.Command   { return modelOrderCommand("shadow", modelsShadowManual) }

func modelOrderCommand(verb, manual string) cli.Command {
	o := &modelOrder{shelf: newShelf(), verb: verb}
	return cli.Command{Name: "forescale models " + verb, Manual: manual, Flags: o.flags, Check: o.check, Run: o.run, Arguments: true}
}

func (o *modelOrder) flags(fs *flag.FlagSet) {
	o.shelf.flags(fs)
	fs.StringVar(&o.why, "reason", "", "`TEXT` that tells others why, 3 to 500 characters")
	fs.StringVar(&o.by, "by", "", "`NAME` of who does it (default: your login name)")
	switch o.verb {
	case "promote", "rollback":
		fs.IntVar(&o.from, "from", 0, "`VERSION` that must be the champion, or nothing is done (default: the one that is now)")
	default:
		fs.BoolVar(&o.remove, "remove", false, "take it back")
	}
}

// The bounds of a reason and of a name, in characters.
const (
	shortestReason, longestReason = 3, 500
	longestName                   = 100
)

// check returns all faults of the flags at once, and fills in the name.
func (o *modelOrder) check() error {
	faults := []error{o.shelf.check()}
	if n := utf8.RuneCountInString(o.why); !o.remove && (n < shortestReason || n > longestReason) {
		faults = append(faults, fmt.Errorf("-reason is %d characters long, must be %d to %d: others will ask why", n, shortestReason, longestReason))
	}
	if plain(o.why) != o.why {
		faults = append(faults, errors.New("-reason holds what cannot be shown on one line of a terminal"))
	}
	if o.by == "" {
		o.by = login()
	}
	if n := utf8.RuneCountInString(o.by); n < 1 || n > longestName {
		faults = append(faults, fmt.Errorf("-by is %d characters long, must be 1 to %d; without it your login name counts", n, longestName))
	}
	if o.from < 0 {
		faults = append(faults, fmt.Errorf("-from %d: versions are numbers from 1 on", o.from))
	}
	return errors.Join(faults...)
}

func (o *modelOrder) run(ctx context.Context, args []string) error {
	name, version, err := o.arguments(args)
	if err != nil {
		return err
	}
	reg, err := o.open(ctx)
	if err != nil {
		return err
	}
	switch o.verb {
	case "pin", "shadow":
		return o.order(ctx, reg, name, version)
	}
	from := o.from
	if from == 0 {
		champion, err := reg.Champion(ctx, name)
		if err != nil {
			return err
		}
		from = champion.Version
	}
	c := models.Change{Version: version, From: from, At: o.now().UTC(), By: o.by, Why: o.why}
	if o.verb == "promote" {
		if version == from {
			return fmt.Errorf("model %q: version %d is the champion already", name, version)
		}
		err = reg.Move(ctx, name, c)
	} else {
		c, err = reg.RollBack(ctx, name, c)
	}
	if err != nil {
		return err
	}
	if o.output == "json" {
		return o.json(struct {
			Model string `json:"model"`
			models.Change
		}{name, c})
	}
	fmt.Fprintln(o.out, changeLine(name, c))
	return nil
}

// arguments reads the name and the version, which not every command takes.
func (o *modelOrder) arguments(args []string) (name string, version int, err error) {
	takes := o.verb != "rollback" && !(o.verb == "shadow" && o.remove)
	want, form := 1, "NAME"
	if takes {
		want, form = 2, "NAME VERSION"
	}
	if len(args) != want {
		return "", 0, cli.Usagef("%d arguments, must be %s", len(args), form)
	}
	if name = args[0]; name == "" || len(name) > api.MaxNameLen {
		return "", 0, cli.Usagef("%.40q is no name of a model: it must be 1 to %d bytes long", name, api.MaxNameLen)
	}
	if !takes {
		return name, 0, nil
	}
	if version, err = strconv.Atoi(args[1]); err != nil || version < 1 {
		return "", 0, cli.Usagef("%q is no version: versions are numbers from 1 on", args[1])
	}
	return name, version, nil
}

// order pins a version or makes it the shadow, or takes that back.
func (o *modelOrder) order(ctx context.Context, registry *models.Registry, name string, version int) error {
	given := models.Order{Version: version, At: o.now().UTC(), By: o.by, Why: o.why}
	var err error
	what := map[string]string{"pin": "pinned", "shadow": "shadow"}[o.verb]
	switch {
	case o.verb == "pin" && o.remove:
		err = registry.Unpin(ctx, name, version)
	case o.verb == "pin":
		err = registry.Pin(ctx, name, given)
	case o.remove:
		err = registry.SetShadow(ctx, name, nil)
	default:
		err = registry.SetShadow(ctx, name, &given)
	}
	if err != nil {
		return err
	}
	if o.output == "json" {
		return o.json(struct {
			Model   string `json:"model"`
			Kind    string `json:"order"`
			Removed bool   `json:"removed,omitempty"`
			models.Order
		}{name, o.verb, o.remove, given})
	}
	if o.remove {
		what = "no longer " + what
	}
	line := fmt.Sprintf("%s model=%q %s %s by %q", stamp(given.At), name, what, orDash(versionText(version)), o.by)
	if o.why != "" { // nobody has to say why an order is taken back
		line += ": " + o.why
	}
	fmt.Fprintln(o.out, line)
	return nil
}
