package blob

import (
	"context"
	"errors"
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
	dir, s3, err := parse(rawURL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("open store %w", err)
	case dir != "":
		return NewDir(dir)
	}
	for _, set := range options {
		set(&s3)
	}
	return NewS3(ctx, s3)
}

// Check returns what is wrong with a URL, as Open would, and makes nothing: a
// configuration can be checked on a machine that is not the one it is for.
func Check(ctx context.Context, rawURL string) error {
	dir, s3, err := parse(rawURL)
	switch {
	case err != nil:
		return fmt.Errorf("store %w", err)
	case dir != "":
		return nil
	}
	_, err = NewS3(ctx, s3)
	return err
}

// Directory returns the directory that a URL names, "" when it names none. Open
// makes it when it is missing; who only reads may want to look first.
func Directory(rawURL string) string {
	dir, _, err := parse(rawURL)
	if err != nil {
		return ""
	}
	return dir
}

// parse returns the directory or the bucket that a URL names. The error begins
// with the URL.
func parse(rawURL string) (dir string, s3 S3Config, err error) {
	if rawURL == "" {
		return "", s3, errors.New("URL is empty; want file:///DIR or s3://BUCKET/PREFIX")
	}
	if !strings.Contains(rawURL, "://") {
		// "s3:/bucket" is a slip of the fingers, not a folder called "s3:".
		if first, _, _ := strings.Cut(rawURL, "/"); strings.HasSuffix(first, ":") {
			return "", s3, fmt.Errorf("%s: want file:///DIR or s3://BUCKET/PREFIX", rawURL)
		}
		return filepath.Clean(rawURL), s3, nil
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", s3, fmt.Errorf("URL: %w", err)
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" || u.RawQuery != "" || u.Fragment != "" || !strings.HasPrefix(u.Path, "/") {
			return "", s3, fmt.Errorf("%s: want file:///DIR, with three slashes and nothing after the path", u.Redacted())
		}
		return filepath.Clean(u.Path), s3, nil
	case "s3":
		if s3, err = parseS3(u); err != nil {
			return "", s3, fmt.Errorf("%s: %w", u.Redacted(), err)
		}
		return "", s3, nil
	}
	return "", s3, fmt.Errorf("%s: unknown scheme %q; want file:///DIR or s3://BUCKET/PREFIX", u.Redacted(), u.Scheme)
}

// DirURL returns the file URL of a directory, whatever characters its path has.
func DirURL(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}).String(), nil
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
