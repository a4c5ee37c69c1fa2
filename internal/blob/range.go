package blob

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// checkRange reports a range that cannot be asked for.
func checkRange(length int64) error {
	if length <= 0 || length > MaxSize {
		return fmt.Errorf("a range of %d bytes; want 1 to %d", length, int64(MaxSize))
	}
	return nil
}

// clip returns the bytes [from, to) that a range means in an object of the given
// size. It is empty beyond the end.
func clip(offset, length, size int64) (from, to int64) {
	if offset < 0 {
		offset = max(0, size+offset)
	}
	from = min(offset, size)
	return from, min(size, from+length)
}

// GetRange implements Store.
func (m *Memory) GetRange(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if err := cmp.Or(errs(ctx, key), checkRange(length)); err != nil {
		return nil, fmt.Errorf("get range of %s: %w", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	if !ok {
		return nil, fmt.Errorf("get range of %s: %w", key, ErrNotFound)
	}
	from, to := clip(offset, length, int64(len(o.data)))
	return bytes.Clone(o.data[from:to]), nil
}

// GetRange implements Store.
func (d *Dir) GetRange(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if err := cmp.Or(d.check(ctx, key), checkRange(length)); err != nil {
		return nil, d.fault("get range of", key, err)
	}
	var data []byte
	err := d.noLinks(key)
	if err == nil {
		data, err = d.readRange(key, offset, length)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errOccupied) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, d.fault("get range of", key, err)
	}
	return data, nil
}

func (d *Dir) readRange(key string, offset, length int64) ([]byte, error) {
	f, err := d.root.Open(key)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from, to := clip(offset, length, info.Size())
	data := make([]byte, to-from)
	_, err = io.ReadFull(io.NewSectionReader(f, from, to-from), data)
	return data, err
}

// GetRange implements Store. What lies beyond the end is answered with 416.
func (s *S3) GetRange(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if err := cmp.Or(s.check(ctx, key), checkRange(length)); err != nil {
		return nil, fmt.Errorf("get range of %s: %w", key, err)
	}
	for attempt := 1; ; attempt++ {
		data, err := s.getRange(ctx, key, offset, length)
		if errors.Is(err, io.ErrUnexpectedEOF) && attempt < 3 && ctx.Err() == nil {
			continue // as in Get
		}
		if err != nil {
			return nil, fmt.Errorf("get range of %s: %w", key, err)
		}
		return data, nil
	}
}

func (s *S3) getRange(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	call, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(timeoutFor(length), func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()
	span := fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)
	if offset < 0 {
		span = fmt.Sprintf("bytes=%d", offset)
	}
	out, err := s.client.GetObject(call, &s3.GetObjectInput{Bucket: &s.cfg.Bucket, Key: aws.String(s.path(key)), Range: &span})
	switch {
	case err == nil:
	case code(err) == "NoSuchKey":
		return nil, ErrNotFound
	case code(err) == "InvalidRange":
		return []byte{}, nil
	default:
		return nil, s.explain(ctx, cmp.Or(context.Cause(call), err))
	}
	defer out.Body.Close()
	size := aws.ToInt64(out.ContentLength)
	if out.ContentLength == nil || size < 0 || size > MaxSize {
		return nil, fmt.Errorf("the server announces %d bytes of a range of %d", size, length)
	}
	from, to, err := sent(aws.ToString(out.ContentRange), size, offset, length)
	if err != nil {
		return nil, err
	}
	data := make([]byte, to)
	if _, err := io.ReadFull(out.Body, data); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, s.explain(ctx, fmt.Errorf("read %d bytes: %w", to, cmp.Or(context.Cause(call), err)))
	}
	return data[from:], nil
}

// sent returns which bytes [from, to) of a body of the given size are those that
// were asked for. A server may send the whole object instead, as HTTP allows it
// (RFC 9110, section 14.2); it then says no Content-Range.
func sent(contentRange string, size, offset, length int64) (from, to int64, err error) {
	if contentRange == "" {
		from, to = clip(offset, length, size)
		return from, to, nil
	}
	var first, last int64
	total, _ := strings.CutPrefix(contentRange, "bytes ")
	if _, err := fmt.Sscanf(total, "%d-%d/", &first, &last); err != nil || last-first+1 != size || offset >= 0 && first != offset {
		return 0, 0, fmt.Errorf("the server sent %q with %d bytes, not the range of %d bytes at %d", contentRange, size, length, offset)
	}
	return 0, min(size, length), nil
}
