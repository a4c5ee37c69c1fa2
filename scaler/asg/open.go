package asg

import (
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
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/forescale/forescale/internal/awshttp"
	"github.com/forescale/forescale/internal/obs"
)

// Config says which groups a Target scales, and at what pace.
type Config struct {
	Region   string // empty: the SDK's own
	Endpoint string // of Auto Scaling; empty: the SDK's own
	// Role is the ARN of a role to assume; empty: the SDK's default credentials as
	// they are. ExternalID goes with it, when the role asks for one.
	Role, ExternalID string
	STSEndpoint      string // empty: the SDK's own
	// Throttle paces the calls. Targets of one account and region share it. nil: one
	// of its own, with the default pace.
	Throttle *Throttle
	// LookCalls is the budget of a look at the rivals, in calls; 0: DefaultLookCalls.
	LookCalls int
	// HTTP replaces the SDK's own HTTP client, when set.
	HTTP aws.HTTPClient
}

const (
	// maxAttempts is how often the SDK tries a call that was throttled, met
	// ResourceContention or failed on the way; maxBackoff bounds the waits between.
	maxAttempts = 4
	maxBackoff  = time.Second
	// sessionName is how an assumed role appears in the account's own logs.
	sessionName = "forescale"
	// renewBefore is how long before its end an assumed role is assumed again.
	renewBefore = 2 * time.Minute
)

// Open returns a target with credentials from the SDK's default chain, or of the
// role that they may assume. It makes no call. What the SDK has to say goes to log,
// at debug level.
func Open(ctx context.Context, c Config, log *slog.Logger) (*Target, error) {
	if c.Throttle == nil {
		c.Throttle = NewThrottle(0)
	}
	if c.LookCalls <= 0 {
		c.LookCalls = DefaultLookCalls
	}
	client, err := NewClient(ctx, c, log)
	if err != nil {
		return nil, err
	}
	return &Target{client: client, throttle: c.Throttle, budget: c.LookCalls, known: map[string]*sighting{}}, nil
}

// NewClient returns the SDK's client as a Target has it, for who wants to know more
// of groups than their sizes. It makes no call.
func NewClient(ctx context.Context, c Config, log *slog.Logger) (*autoscaling.Client, error) {
	opts := []func(*awsconfig.LoadOptions) error{awsconfig.WithLogger(obs.AWS(log)), awsconfig.WithRetryer(func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = maxAttempts, maxBackoff })
	})}
	if c.Region != "" {
		opts = append(opts, awsconfig.WithRegion(c.Region))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("asg: %w", err)
	}
	if cfg.Region == "" {
		return nil, errors.New("asg: aws.region is not set, neither in the configuration nor in AWS_REGION")
	}
	if c.HTTP != nil {
		cfg.HTTPClient = c.HTTP // not by an option, which a CA bundle of the environment could not be joined to
	}
	cfg.HTTPClient = awshttp.Whole(cfg.HTTPClient)
	if c.Role != "" {
		desk := sts.NewFromConfig(cfg, func(o *sts.Options) { o.BaseEndpoint = optional(c.STSEndpoint) })
		cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(desk, c.Role, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName, o.ExternalID = sessionName, optional(c.ExternalID)
		}), func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = renewBefore })
	}
	throttle := c.Throttle
	if throttle == nil {
		throttle = NewThrottle(0)
	}
	return autoscaling.NewFromConfig(cfg, func(o *autoscaling.Options) {
		o.BaseEndpoint = optional(c.Endpoint)
		o.APIOptions = append(o.APIOptions, throttle.attach)
	}), nil
}

// optional returns nil for an empty text: the SDK's own choice.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
