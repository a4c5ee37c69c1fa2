package cloudwatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/forescale/forescale/internal/awshttp"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/obs"
)

const (
	// maxAttempts bounds the tries of one call. With the SDK's jittered exponential
	// backoff (at most 20 s each) a throttled call gives up within about a minute;
	// the deadline of the whole Fetch may end it sooner.
	maxAttempts = 8
	// sessionName is how an assumed role appears in the account's own logs.
	sessionName = "forescale"
	// renewBefore is how long before its end an assumed role is assumed again.
	renewBefore = 2 * time.Minute
)

// Deps is what a Source is opened with.
type Deps struct {
	AWS   conf.AWS
	Step  time.Duration    // length of a slot, whole minutes
	Now   func() time.Time // nil: time.Now
	Log   *slog.Logger
	Paces *Paces // that it shares with other sources; nil: one of its own

	calls *calls // of the source that is opened
}

// Open returns the source of that name, with credentials from the SDK's default
// chain and of the roles that they may assume. Nothing is sent yet. The error lists
// every fault of the configuration.
func Open(ctx context.Context, name string, c Config, d Deps) (*Source, error) {
	if err := errors.Join(c.Validate(), c.validateAccounts(d.AWS)); err != nil {
		return nil, err
	}
	if d.Paces == nil {
		d.Paces = new(Paces)
	}
	c, d.calls = c.withDefaults(), new(calls)
	return newSource(name, c, d, func(account, region string) (*place, error) {
		return dial(ctx, c, d, account, region)
	})
}

// NewClient returns an SDK client for the source's own account and region, as the
// ones that Open makes; what the SDK has to say goes to log, at debug level.
func NewClient(ctx context.Context, c Config, shared conf.AWS, log *slog.Logger) (*cloudwatch.Client, error) {
	c = c.withDefaults()
	p, err := dial(ctx, c, Deps{AWS: shared, Log: log, Paces: new(Paces), calls: new(calls)}, "", "")
	if err != nil {
		return nil, err
	}
	return p.metrics.(*cloudwatch.Client), nil
}

// dial returns the clients for an account, by its name in the configuration, and
// region ("": the account's, else the source's, else the shared section's).
func dial(ctx context.Context, c Config, d Deps, account, region string) (*place, error) {
	role := d.AWS.Accounts[account] // the zero value: our own credentials
	cfg, err := configure(ctx, cmp.Or(region, role.Region, c.Region, d.AWS.Region), d.Log)
	if err != nil {
		return nil, err
	}
	if role.Role != "" {
		desk := sts.NewFromConfig(cfg, func(o *sts.Options) { o.BaseEndpoint = optional(d.AWS.STSEndpoint) })
		cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(desk, role.Role, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName, o.ExternalID = sessionName, optional(role.ExternalID)
		}), func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = renewBefore })
	}
	p := &place{account: account, region: cfg.Region, pace: d.Paces.of(role.Number(), cfg.Region, c.CallsPerSecond), batch: maxQueries}
	p.metrics = cloudwatch.NewFromConfig(cfg, func(o *cloudwatch.Options) {
		o.BaseEndpoint = optional(cmp.Or(c.Endpoint, d.AWS.CloudWatchEndpoint))
		o.APIOptions = append(o.APIOptions, attach(p.pace.calls, c.CallTimeout, d.calls))
	})
	p.groups = autoscaling.NewFromConfig(cfg, func(o *autoscaling.Options) {
		o.BaseEndpoint = optional(d.AWS.AutoScalingEndpoint)
		o.APIOptions = append(o.APIOptions, attach(p.pace.describes, c.CallTimeout, d.calls))
	})
	p.balancers = elasticloadbalancingv2.NewFromConfig(cfg, func(o *elasticloadbalancingv2.Options) {
		o.BaseEndpoint = optional(d.AWS.LoadBalancingEndpoint)
		o.APIOptions = append(o.APIOptions, attach(p.pace.describes, c.CallTimeout, d.calls))
	})
	return p, nil
}

// configure returns the SDK's configuration. Its adaptive retryer lowers the rate
// of a client's calls together while the provider throttles.
func configure(ctx context.Context, region string, log *slog.Logger) (aws.Config, error) {
	opts := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithRetryer(func() aws.Retryer {
			return retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
				o.StandardOptions = append(o.StandardOptions, func(s *retry.StandardOptions) { s.MaxAttempts = maxAttempts })
			})
		}),
		awsconfig.WithLogger(obs.AWS(log)),
	}
	if region != "" {
		opts = append(opts, awsconfig.WithRegion(region))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return cfg, fmt.Errorf("cloudwatch: configure the SDK: %w", err)
	}
	if cfg.Region == "" {
		return cfg, errors.New("cloudwatch: no region: set aws.region in the configuration, or AWS_REGION")
	}
	cfg.HTTPClient = awshttp.Whole(cfg.HTTPClient)
	return cfg, nil
}

// optional returns nil for an empty text: the SDK's own choice.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
