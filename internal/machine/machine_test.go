package machine

import (
	"testing"
	"testing/fstest"
)

func files(content map[string]string) fstest.MapFS {
	root := fstest.MapFS{}
	for name, text := range content {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

func TestQuotaAndLimitAreThoseOfTheControlGroups(t *testing.T) {
	const meminfo = "MemTotal:       16777216 kB\nMemFree:  1 kB\n"
	for name, c := range map[string]struct {
		files      map[string]string
		processors int
		memory     int64
	}{
		"nothing is known": {nil, 8, 0},
		"no limits":        {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n", "sys/fs/cgroup/memory.max": "max\n"}, 8, 16 << 30},
		"version 2, seen from inside": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n",
			"sys/fs/cgroup/cpu.max": "250000 100000\n", "sys/fs/cgroup/memory.max": "1073741824\n"}, 2, 1 << 30},
		"version 2, half a processor": {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1, 0},
		"version 2, a limit of a group above": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/pods/a/b\n",
			"sys/fs/cgroup/pods/a/b/cpu.max": "700000 100000\n", "sys/fs/cgroup/pods/cpu.max": "300000 100000\n", "sys/fs/cgroup/pods/a/memory.max": "2147483648"}, 3, 2 << 30},
		"version 1": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/docker/x\n2:cpu,cpuacct:/docker/x\n0::/\n",
			"sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us": "400000\n", "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us": "100000\n",
			"sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": "4294967296\n"}, 4, 4 << 30},
		"version 1 without limits": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/\n2:cpu:/\n",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 8, 16 << 30},
		"version 1, the path of the host": {map[string]string{"proc/self/cgroup": "2:cpu:/docker/x\n",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 2, 0},
		"damaged files": {map[string]string{"proc/meminfo": "MemTotal: x kB", "proc/self/cgroup": "nonsense\n0::../..\n",
			"sys/fs/cgroup/cpu.max": "0 0", "sys/fs/cgroup/memory.max": "-5"}, 8, 0},
	} {
		t.Run(name, func(t *testing.T) {
			root := files(c.files)
			if n := processors(root, 8); n != c.processors {
				t.Errorf("%d processors, want %d", n, c.processors)
			}
			if n := memory(root); n != c.memory {
				t.Errorf("%d bytes, want %d", n, c.memory)
			}
		})
	}
}

func TestThisMachineHasProcessorsAndMemory(t *testing.T) {
	if Processors() < 1 || Memory() < 1<<20 {
		t.Errorf("%d processors, %d bytes", Processors(), Memory())
	}
}
