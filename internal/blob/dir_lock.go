package blob

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lock takes the store's lock and returns what releases it. The wait is polled,
// not blocked, so that it ends with ctx, and after lockPatience at the latest.
func (d *Dir) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case <-d.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() {
		if err != nil {
			d.turn <- struct{}{}
		}
	}()
	if err := d.root.MkdirAll(reserved, 0o777); err != nil {
		return nil, err
	}
	f, err := d.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := flock(ctx, f); err != nil {
		f.Close()
		return nil, err
	}
	return func() {
		f.Close() // releases the lock
		d.turn <- struct{}{}
	}, nil
}

func flock(ctx context.Context, f *os.File) error {
	deadline := time.Now().Add(lockPatience)
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 10*time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("another process has held %s for %v", f.Name(), lockPatience)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
