package machine

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func TestEveryThreadPrefersThroughput(t *testing.T) {
	if os.Getenv("PREFER_THROUGHPUT") == "" { // in a process of its own: it cannot be taken back
		again := exec.Command(os.Args[0], "-test.run=^TestEveryThreadPrefersThroughput$")
		again.Env = append(os.Environ(), "PREFER_THROUGHPUT=1")
		if out, err := again.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if err := PreferThroughput(); err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	for range 20 { // threads that come later, too
		go func() { runtime.LockOSThread(); <-begun }()
	}
	defer close(begun)
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			t.Fatal(err)
		}
		if attr, err := unix.SchedGetAttr(id, 0); err != nil || attr.Policy != unix.SCHED_BATCH {
			t.Errorf("thread %d: %+v, %v", id, attr, err)
		}
	}
}
