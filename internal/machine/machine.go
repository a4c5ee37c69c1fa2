// Package machine tells how much of the machine this process may use: its processors
// and its memory, less what the container's control groups (version 1 or 2) allow.
package machine

import (
	"bufio"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
)

// Processors returns how many processors this process may keep busy: those that it may
// run on, and no more than its CPU quota, rounded down. It is at least 1.
func Processors() int { return processors(os.DirFS("/"), runtime.NumCPU()) }

// Memory returns the bytes of memory that this process may use: the machine's, or the
// limit of its control group, whichever is less. 0: it cannot be told.
func Memory() int64 { return memory(os.DirFS("/")) }

func processors(root fs.FS, online int) int {
	quota := float64(online)
	for _, dir := range groups(root, "cpu") {
		// Version 2: "max 100000", or "150000 100000"; version 1: two files.
		if limit, period, ok := strings.Cut(text(root, dir, "cpu.max"), " "); ok {
			quota = min(quota, share(limit, period))
		}
		quota = min(quota, share(text(root, dir, "cpu.cfs_quota_us"), text(root, dir, "cpu.cfs_period_us")))
	}
	return max(1, int(quota))
}

// share returns limit/period, and infinity if there is no limit.
func share(limit, period string) float64 {
	l, err := strconv.ParseFloat(limit, 64)
	if err != nil || !(l > 0) {
		return math.Inf(1)
	}
	p, err := strconv.ParseFloat(period, 64)
	if err != nil || !(p > 0) {
		return math.Inf(1)
	}
	return l / p
}

func memory(root fs.FS) int64 {
	least := total(root)
	for _, dir := range groups(root, "memory") {
		for _, name := range []string{"memory.max", "memory.limit_in_bytes"} {
			n, err := strconv.ParseInt(text(root, dir, name), 10, 64)
			if err == nil && n > 0 && (least == 0 || n < least) { // no limit is "max", or a number beyond all memory
				least = n
			}
		}
	}
	return least
}

// total returns MemTotal of /proc/meminfo.
func total(root fs.FS) int64 {
	f, err := root.Open("proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) == 3 && fields[0] == "MemTotal:" && fields[2] == "kB" {
			if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				return n << 10
			}
		}
	}
	return 0
}

// groups returns the directories of the control groups of this process that a
// controller may have a limit in: its own and all above. Inside a container the path
// may be that of the host, of which only the root is mounted.
func groups(root fs.FS, controller string) []string {
	f, err := root.Open("proc/self/cgroup")
	if err != nil {
		return nil
	}
	defer f.Close()
	var dirs []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		part := strings.SplitN(lines.Text(), ":", 3) // id:controllers:path
		if len(part) != 3 {
			continue
		}
		var mounts []string
		switch {
		case part[0] == "0" && part[1] == "":
			mounts = []string{"sys/fs/cgroup", "sys/fs/cgroup/unified"}
		case contains(part[1], controller):
			mounts = []string{"sys/fs/cgroup/" + controller, "sys/fs/cgroup/" + part[1]}
		}
		for _, mount := range mounts {
			for dir := path.Join("/", part[2]); ; dir = path.Dir(dir) {
				dirs = append(dirs, mount+strings.TrimSuffix(dir, "/"))
				if dir == "/" {
					break
				}
			}
		}
	}
	return dirs
}

func contains(list, name string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if item == name {
			return true
		}
	}
	return false
}

// text returns the first line of a small file, or nothing.
func text(root fs.FS, dir, name string) string {
	b, err := fs.ReadFile(root, path.Join(dir, name))
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(line)
}
