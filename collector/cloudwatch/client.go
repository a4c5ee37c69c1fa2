package cloudwatch

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"

	"github.com/forescale/forescale/internal/awshttp"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/obs"
)

// maxAttempts bounds the tries of one call. With the SDK's jittered exponential
// backoff (at most 20 s each) a throttled call gives up within about a minute;
// the deadline of the whole Fetch may end it sooner.
const maxAttempts = 8

// NewClient returns an SDK client with credentials from the SDK's default chain.
// Its adaptive retryer lowers the rate of all calls together while CloudWatch
// throttles. What the SDK has to say goes to log, at debug level. Nothing is sent
// yet.
func NewClient(ctx context.Context, c Config, shared conf.AWS, log *slog.Logger) (*cloudwatch.Client, error) {
	region, endpoint := c.Region, c.Endpoint
	if region == "" {
		region = shared.Region
	}
	if endpoint == "" {
		endpoint = shared.CloudWatchEndpoint
	}
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
		return nil, fmt.Errorf("cloudwatch: configure the SDK: %w", err)
	}
	if cfg.Region == "" {
		return nil, fmt.Errorf("cloudwatch: no region: set aws.region in the configuration, or AWS_REGION")
	}
	cfg.HTTPClient = awshttp.Whole(cfg.HTTPClient)
	return cloudwatch.NewFromConfig(cfg, func(o *cloudwatch.Options) {
		if endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
	}), nil
}
