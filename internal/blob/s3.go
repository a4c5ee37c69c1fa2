package blob

import (
	"context"
	"errors"
)

type S3Config struct {
	Bucket, Prefix, Region, Endpoint string
	PathStyle                        bool
}

func NewS3(ctx context.Context, cfg S3Config) (Store, error) { return nil, errors.New("todo") }
