package blob

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// newRetryer returns the SDK's retryer, which repeats what 5xx, throttling and
// broken connections stopped, with these changes:
//
//   - 409 ConditionalRequestConflict is repeated too: two conditional writes met,
//     and only a repetition tells which of them stands.
//   - The pauses are short: what waits here is a scaling decision.
//   - There is no quota of retries over all calls. It would turn an outage of a
//     minute into one that goes on for as long as calls come in; the number of
//     attempts and the deadline of each call are bounds enough.
func newRetryer(maxAttempts int) aws.Retryer {
	r := retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = maxAttempts
		o.Backoff = retry.BackoffDelayerFunc(backoff)
		o.RateLimiter = ratelimit.None
	})
	return retry.AddWithErrorCodes(r, "ConditionalRequestConflict", "OperationAborted", "SlowDown", "ServiceUnavailable")
}

// backoff returns the pause before the next attempt: 50 ms, doubled each time
// and at most 3 s, of which a random half is taken off so that writers that met
// once do not meet again.
func backoff(attempt int, _ error) (time.Duration, error) {
	d := min(50*time.Millisecond<<min(attempt, 10), 3*time.Second)
	return d/2 + rand.N(d/2), nil
}

// explain adds to an error of the SDK what the operator can do about it.
func (s *S3) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	at := "AWS"
	if s.cfg.Endpoint != "" {
		at = s.cfg.Endpoint
	}
	var send *smithyhttp.RequestSendError
	switch code(err) {
	case "NoSuchBucket":
		return fmt.Errorf("bucket %q does not exist at %s; create it, or correct the URL: %w", s.cfg.Bucket, at, err)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken":
		return fmt.Errorf("%s refuses the credentials; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile or role in use: %w", at, err)
	case "AccessDenied":
		return fmt.Errorf("the credentials may not do this; they need s3:ListBucket on bucket %q, and s3:GetObject, s3:PutObject and s3:DeleteObject on its objects: %w", s.cfg.Bucket, err)
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "TemporaryRedirect":
		return fmt.Errorf("bucket %q is in another region; set ?region= in the URL: %w", s.cfg.Bucket, err)
	case "NotImplemented":
		return fmt.Errorf("the server at %s does not support conditional writes, which this store needs: %w", at, err)
	case "":
		switch {
		case strings.Contains(err.Error(), "get credentials"):
			return fmt.Errorf("no credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role: %w", err)
		case errors.As(err, &send):
			return fmt.Errorf("%s cannot be reached; check the endpoint: %w", at, err)
		}
	}
	return err
}
