package targets

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/scaler/asg"
)

// driverASG names the driver of EC2 Auto Scaling Groups.
const driverASG = "asg"

// accountFaults returns what is wrong with the accounts, and with what the groups
// say of theirs.
func accountFaults(cfg scaler.Config, aws conf.AWS) []error {
	faults := []error{aws.Validate()}
	for i, g := range cfg.Groups {
		if g.Account == "" && g.Region == "" {
			continue
		}
		bad := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("scaler.groups[%d] (%s): "+format, append([]any{i, g.Name}, args...)...))
		}
		if driver, _ := g.Route(); driver != driverASG {
			bad("account, region: belong to the target %s, not to %s", driverASG, driver)
		} else if _, ok := aws.Accounts[g.Account]; g.Account != "" && !ok {
			bad("account: %q is not in aws.accounts", g.Account)
		}
	}
	return faults
}

// instance names the one of a driver's targets that a group belongs to: DRIVER,
// followed by /ACCOUNT/REGION when it names either.
func instance(g scaler.Group) string {
	driver, _ := g.Route()
	if g.Account != "" || g.Region != "" {
		return driver + "/" + g.Account + "/" + g.Region
	}
	return driver
}

// opener opens targets of Auto Scaling Groups.
type opener struct {
	aws       conf.AWS
	log       *slog.Logger
	throttles map[[2]string]*asg.Throttle // by account number ("": our own) and region
}

// open returns the target of one account, by its name in the configuration, and
// region. Those that turn out to be of the same account and region share their pace.
func (o *opener) open(ctx context.Context, account, region string) (scaler.Target, error) {
	by := o.aws.Accounts[account] // the zero value: our own credentials
	region = cmp.Or(region, by.Region, o.aws.Region)
	where := [2]string{by.Number(), region}
	if o.throttles[where] == nil {
		o.throttles[where] = asg.NewThrottle(o.aws.CallsPerSecond)
	}
	return asg.Open(ctx, asg.Config{
		Region: region, Endpoint: o.aws.AutoScalingEndpoint,
		Role: by.Role, ExternalID: by.ExternalID, STSEndpoint: o.aws.STSEndpoint,
		Throttle: o.throttles[where], LookCalls: o.aws.RivalCalls,
	}, o.log)
}
