package blob

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/forescale/forescale/internal/obs"
)

// S3Config says where the objects of an S3 store are. Credentials come from the
// SDK's default chain: environment, shared profile, or the role of the machine.
type S3Config struct {
	Bucket    string
	Prefix    string // without slashes at its ends; "" for the whole bucket
	Region    string // empty: from the environment or profile
	Endpoint  string // URL of an S3-compatible server; empty: AWS
	PathStyle bool   // bucket in the path instead of the host name
	PageSize  int32  // keys a page of a listing; 0: the server's own, 1000
	// MaxAttempts bounds the tries of one call, the first included; 0: 8, whose
	// pauses make some five seconds.
	MaxAttempts int
	Log         *slog.Logger // takes what the SDK has to say, at debug level; nil: nothing does
}

const (
	// callTimeout bounds a call, its retries included, before the time that its
	// bytes are granted: one second for each MiB.
	callTimeout = 60 * time.Second
	// answerTimeout bounds the wait for the head of one answer.
	answerTimeout = 20 * time.Second
)

// S3 is a Store in a bucket of S3, or of a server that speaks its protocol and
// honours If-None-Match and If-Match on PUT. Bytes are at rest when Put returns.
type S3 struct {
	client *s3.Client
	cfg    S3Config
}

// NewS3 returns the store without contacting it: a bucket that does not exist,
// or a wrong secret, is the error of the first call.
func NewS3(ctx context.Context, cfg S3Config) (*S3, error) {
	sdk, err := config.LoadDefaultConfig(ctx, config.WithLogger(obs.AWS(cfg.Log)))
	if err != nil {
		return nil, fmt.Errorf("open s3://%s: %w", cfg.Bucket, err)
	}
	region := cmp.Or(cfg.Region, sdk.Region)
	if region == "" {
		if cfg.Endpoint == "" {
			return nil, fmt.Errorf("open s3://%s: no region; add ?region=REGION to the URL, or set AWS_REGION", cfg.Bucket)
		}
		region = "us-east-1" // part of the signature; other servers take this one
	}
	client := s3.NewFromConfig(sdk, func(o *s3.Options) {
		o.Region = region
		o.UsePathStyle = cfg.PathStyle
		if cfg.Endpoint != "" {
			o.BaseEndpoint = &cfg.Endpoint
		}
		// The SDK's newer checksum trailers are refused by many S3-compatible
		// servers. TLS and the signature's SHA-256 already protect the bytes.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.Retryer = newRetryer(cmp.Or(cfg.MaxAttempts, 8))
		o.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.ResponseHeaderTimeout = answerTimeout
			t.MaxIdleConnsPerHost = 16
		})
	})
	return &S3{client: client, cfg: cfg}, nil
}

func (s *S3) check(ctx context.Context, key string) error {
	if err := errs(ctx, key); err != nil {
		return err
	}
	return CheckKey(s.path(key)) // with the prefix, it may be too long
}

// path returns the key within the bucket.
func (s *S3) path(key string) string {
	if s.cfg.Prefix == "" {
		return key
	}
	return s.cfg.Prefix + "/" + key
}

// Get implements Store.
func (s *S3) Get(ctx context.Context, key string) (Object, error) {
	if err := s.check(ctx, key); err != nil {
		return Object{}, err
	}
	for attempt := 1; ; attempt++ {
		o, err := s.get(ctx, key)
		// A body cut short is not among what the SDK retries.
		if errors.Is(err, io.ErrUnexpectedEOF) && attempt < 3 && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return Object{}, fmt.Errorf("get %s: %w", key, err)
		}
		return o, nil
	}
}

func (s *S3) get(ctx context.Context, key string) (Object, error) {
	call, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(callTimeout, func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()
	out, err := s.client.GetObject(call, &s3.GetObjectInput{Bucket: &s.cfg.Bucket, Key: aws.String(s.path(key))})
	if err != nil {
		if code(err) == "NoSuchKey" {
			return Object{}, ErrNotFound
		}
		return Object{}, s.explain(ctx, cmp.Or(context.Cause(call), err))
	}
	defer out.Body.Close()
	size := aws.ToInt64(out.ContentLength)
	if out.ContentLength == nil || size < 0 || size > MaxSize {
		return Object{}, fmt.Errorf("the server announces %d bytes; an object may have 0 to %d", size, int64(MaxSize))
	}
	timer.Reset(timeoutFor(size))
	data := make([]byte, size)
	if _, err := io.ReadFull(out.Body, data); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return Object{}, s.explain(ctx, fmt.Errorf("read %d bytes: %w", size, cmp.Or(context.Cause(call), err)))
	}
	return Object{Data: data, ETag: aws.ToString(out.ETag)}, nil
}

// timeoutFor returns how long a call that moves size bytes may take.
func timeoutFor(size int64) time.Duration {
	return callTimeout + time.Duration(size>>20)*time.Second
}

// Put implements Store. A retry inside of it may meet the very object that a
// first try has written although its answer was lost; the bytes tell.
func (s *S3) Put(ctx context.Context, key string, data []byte, cond Condition) (string, error) {
	if err := s.check(ctx, key); err != nil {
		return "", err
	}
	etag, err := s.put(ctx, key, data, cond)
	if err != nil {
		return "", fmt.Errorf("put %s: %w", key, err)
	}
	return etag, nil
}

func (s *S3) put(ctx context.Context, key string, data []byte, cond Condition) (string, error) {
	if len(data) > MaxSize {
		return "", fmt.Errorf("%d bytes are more than an object may have (%d)", len(data), int64(MaxSize))
	}
	in := &s3.PutObjectInput{
		Bucket: &s.cfg.Bucket, Key: aws.String(s.path(key)),
		Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))),
	}
	switch {
	case cond.Absent():
		in.IfNoneMatch = aws.String("*")
	case cond.Matching() && cond.ETag() == "":
		return "", ErrConflict // an empty header would be left out, and the condition with it
	case cond.Matching():
		in.IfMatch = aws.String(cond.ETag())
	}
	call, cancel := context.WithTimeout(ctx, timeoutFor(int64(len(data))))
	defer cancel()
	out, err := s.client.PutObject(call, in)
	switch {
	case err == nil && aws.ToString(out.ETag) == "":
		return "", fmt.Errorf("the server returned no ETag, without which nothing can be compared and swapped")
	case err == nil:
		return *out.ETag, nil
	case code(err) == "PreconditionFailed":
		return s.putBefore(ctx, key, data)
	case code(err) == "NoSuchKey" && cond.Matching():
		return "", ErrConflict
	}
	return "", s.explain(ctx, err)
}

// putBefore returns the ETag of the object if it holds data, else ErrConflict.
func (s *S3) putBefore(ctx context.Context, key string, data []byte) (string, error) {
	o, err := s.Get(ctx, key)
	switch {
	case errors.Is(err, ErrNotFound):
		return "", ErrConflict
	case err != nil:
		return "", fmt.Errorf("the condition did not hold, and what is there cannot be read: %w", err)
	case !bytes.Equal(o.Data, data):
		return "", ErrConflict
	}
	return o.ETag, nil
}

// Delete implements Store.
func (s *S3) Delete(ctx context.Context, key string) error {
	if err := s.check(ctx, key); err != nil {
		return err
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.client.DeleteObject(call, &s3.DeleteObjectInput{Bucket: &s.cfg.Bucket, Key: aws.String(s.path(key))})
	if err != nil && code(err) != "NoSuchKey" {
		return fmt.Errorf("delete %s: %w", key, s.explain(ctx, err))
	}
	return nil
}

// List implements Store, a page at a time. Keys that no Put could have written,
// such as the folder markers of other tools, are left out.
func (s *S3) List(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 && CheckKey(prefix[:i]) != nil {
			return // no key begins like this
		}
		in := &s3.ListObjectsV2Input{Bucket: &s.cfg.Bucket, Prefix: aws.String(s.path(prefix))}
		if s.cfg.PageSize > 0 {
			in.MaxKeys = &s.cfg.PageSize
		}
		if after != "" {
			in.StartAfter = aws.String(s.path(after))
		}
		last := after
		for {
			page, err := s.page(ctx, in)
			if err != nil {
				yield(Info{}, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			for _, o := range page.Contents {
				key := strings.TrimPrefix(aws.ToString(o.Key), s.path(""))
				if CheckKey(key) != nil {
					continue
				}
				if key <= last { // would repeat or lose keys, or never end
					yield(Info{}, fmt.Errorf("list %s: the server sent %q after %q, out of order", prefix, key, last))
					return
				}
				last = key
				if !yield(Info{Key: key, Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified), Version: aws.ToString(o.ETag)}, nil) {
					return
				}
			}
			if !aws.ToBool(page.IsTruncated) || aws.ToString(page.NextContinuationToken) == "" {
				return
			}
			in.ContinuationToken = page.NextContinuationToken
		}
	}
}

func (s *S3) page(ctx context.Context, in *s3.ListObjectsV2Input) (*s3.ListObjectsV2Output, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := s.client.ListObjectsV2(call, in)
	if err != nil {
		return nil, s.explain(ctx, err)
	}
	return out, nil
}

// code returns the server's error code, for example NoSuchKey, or "".
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}
