package blob

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// MaxSize is the most bytes that an object may have: what a Get may be asked to
// hold in memory. An ONNX file, as a protobuf, can be no larger either.
const MaxSize = 2 << 30

// Open returns the store that a URL names:
//
//	file:///DIR   a directory of this machine, made when missing (see Dir);
//	              a plain path, absolute or relative, means the same
//	s3://BUCKET/PREFIX?region=R&endpoint=URL&path_style=true   (see S3)
//
// Nothing is read or written yet. Credentials of S3 are never part of the URL.
func Open(ctx context.Context, rawURL string, options ...Option) (Store, error) {
	if rawURL == "" {
		return nil, fmt.Errorf("open store: the URL is empty; want file:///DIR or s3://BUCKET/PREFIX")
	}
	if !strings.Contains(rawURL, "://") {
		return NewDir(filepath.Clean(rawURL))
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" || u.RawQuery != "" || u.Fragment != "" || !strings.HasPrefix(u.Path, "/") {
			return nil, fmt.Errorf("open store %s: want file:///DIR, with three slashes and nothing after the path", u.Redacted())
		}
		return NewDir(filepath.Clean(u.Path))
	case "s3":
		cfg, err := parseS3(u)
		if err != nil {
			return nil, fmt.Errorf("open store %s: %w", u.Redacted(), err)
		}
		for _, set := range options {
			set(&cfg)
		}
		return NewS3(ctx, cfg)
	}
	return nil, fmt.Errorf("open store %s: unknown scheme %q; want file:///DIR or s3://BUCKET/PREFIX", u.Redacted(), u.Scheme)
}

// Option sets what a URL cannot say.
type Option func(*S3Config)

// WithLog lets the AWS SDK log to log, see S3Config.Log.
func WithLog(log *slog.Logger) Option { return func(c *S3Config) { c.Log = log } }

// parseS3 reads an s3 URL; an unknown parameter is an error, for a misspelt
// endpoint would send the data elsewhere.
func parseS3(u *url.URL) (S3Config, error) {
	cfg := S3Config{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	if u.User != nil {
		return cfg, fmt.Errorf("credentials do not belong in the URL; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a profile or a role")
	}
	if cfg.Bucket == "" || u.Port() != "" {
		return cfg, fmt.Errorf("want s3://BUCKET/PREFIX")
	}
	if cfg.Prefix != "" {
		if err := CheckKey(cfg.Prefix); err != nil {
			return cfg, fmt.Errorf("prefix: %w", err)
		}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return cfg, err
	}
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := query.Get(name)
		switch {
		case len(query[name]) > 1:
			return cfg, fmt.Errorf("parameter %s is given twice", name)
		case name == "region":
			cfg.Region = value
		case name == "endpoint":
			e, err := url.Parse(value)
			if err != nil || e.Host == "" || e.Scheme != "http" && e.Scheme != "https" {
				return cfg, fmt.Errorf("endpoint %q is not an http or https URL", value)
			}
			cfg.Endpoint = value
		case name == "path_style" && (value == "true" || value == "false"):
			cfg.PathStyle = value == "true"
		case name == "path_style":
			return cfg, fmt.Errorf("path_style is %q, must be true or false", value)
		default:
			return cfg, fmt.Errorf("unknown parameter %q; known are endpoint, path_style, region", name)
		}
	}
	return cfg, nil
}
