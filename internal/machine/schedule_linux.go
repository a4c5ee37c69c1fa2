package machine

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// PreferThroughput asks the kernel not to interrupt a thread of this process that
// computes whenever another one of it is woken, for instance by a request that comes
// in (SCHED_BATCH of sched(7)): what came in meanwhile is then worked off together. An
// idle processor takes it up as quickly as ever. Threads that are begun later do as
// those that begin them.
func PreferThroughput() error {
	for pass := 0; ; pass++ { // a thread may begin another before its own turn has come
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		changed := false
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				continue
			}
			attr, err := unix.SchedGetAttr(id, 0)
			if errors.Is(err, unix.ESRCH) { // it has ended
				continue
			}
			if err == nil && attr.Policy == unix.SCHED_NORMAL {
				attr.Policy, changed = unix.SCHED_BATCH, true
				err = unix.SchedSetAttr(id, attr, 0)
			}
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("scheduling policy of thread %d: %w", id, err)
			}
		}
		if !changed || pass == 10 {
			return nil
		}
	}
}
