package server

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/forescale/forescale/internal/machine"
	"github.com/forescale/forescale/server/access"
)

// Config is the section server of the configuration file.
type Config struct {
	// Listen is the address to listen on, host:port; port 0 takes a free one.
	Listen string `yaml:"listen"`
	// Config says who may ask for what. Without clients everyone may, and Listen and
	// GRPCListen must be addresses that only this machine can reach.
	access.Config `yaml:",inline"`
	// GRPCListen is the address to listen on for gRPC, host:port; empty: there is no
	// gRPC. BodyLimit bounds a message there.
	GRPCListen string `yaml:"grpc_listen"`
	// ModelControl permits requests to load and unload models, by clients with the
	// right admin; where no clients are listed, by anyone who can reach the server.
	ModelControl bool `yaml:"model_control"`
	// ONNXRuntime is the path of the ONNX Runtime library; empty: it is looked for.
	ONNXRuntime string `yaml:"onnxruntime"`
	// Threads is how many threads one run of a model may use, at most one for each
	// processor of the machine or the container's quota.
	Threads int `yaml:"threads"`
	// Workers is how many runs may go on at once; 0 means as many as keep the
	// processors, or the container's quota of them, busy.
	Workers int `yaml:"workers"`
	// Queue is how many rows may wait; beyond it the answer is 429.
	Queue int `yaml:"queue"`
	// BodyLimit bounds a request body, in bytes, and each output of an answer, in
	// elements.
	BodyLimit int64 `yaml:"body_limit"`
	// Reload is how often the registry is read for new champions.
	Reload time.Duration `yaml:"reload"`
	// Latest is how many of the newest versions of a model in use are kept loaded
	// beside its champion and those that are pinned; 0: none.
	Latest int `yaml:"latest"`
	// MemoryBudget bounds the memory of loaded models together, in bytes, roughly; 0
	// means half of the memory that the machine or the container has.
	MemoryBudget int64 `yaml:"memory_budget"`
	// LoadAhead loads the models of the registry that nobody has asked for yet, while
	// the server is idle and within MemoryBudget.
	LoadAhead bool `yaml:"load_ahead"`
	// LoadTimeout bounds fetching, loading and verifying one model.
	LoadTimeout time.Duration `yaml:"load_timeout"`
	// RequestTimeout bounds the work on one request, waiting included.
	RequestTimeout time.Duration `yaml:"request_timeout"`
	// ReadTimeout bounds reading a request, WriteTimeout reading and answering it,
	// IdleTimeout the rest between two requests of a connection.
	ReadTimeout  time.Duration `yaml:"read_timeout"`
	WriteTimeout time.Duration `yaml:"write_timeout"`
	IdleTimeout  time.Duration `yaml:"idle_timeout"`
	// DrainDelay is how long the server goes on accepting after it has become not
	// ready, so that a load balancer can notice; and how long after it connections
	// that are kept may bring one more request.
	DrainDelay time.Duration `yaml:"drain_delay"`
	// DrainTimeout bounds waiting for the requests in progress at the end.
	DrainTimeout time.Duration `yaml:"drain_timeout"`
	// AccessLog writes every so many requests into the log, with those that fail by
	// the server's fault; 0: none.
	AccessLog int `yaml:"access_log"`
	// PprofListen is the address for Go's profiles, which must be of this machine
	// alone; empty: there are none.
	PprofListen string  `yaml:"pprof_listen"`
	Tracing     Tracing `yaml:"tracing"`
	// Replay says that data and journal carry the times of a recorded or simulated
	// past. It changes what the web page says of freshness and nothing else.
	Replay bool `yaml:"replay"`
}

// Defaults returns the configuration of a server for this machine alone.
func Defaults() Config {
	return Config{
		Listen:         "127.0.0.1:8650",
		Threads:        1,
		Queue:          1024,
		BodyLimit:      16 << 20,
		Reload:         2 * time.Second,
		LoadAhead:      true,
		LoadTimeout:    30 * time.Second,
		RequestTimeout: 10 * time.Second,
		ReadTimeout:    30 * time.Second,
		WriteTimeout:   60 * time.Second,
		IdleTimeout:    2 * time.Minute,
		DrainDelay:     100 * time.Millisecond,
		DrainTimeout:   15 * time.Second,
		Tracing:        Tracing{Share: 0.01},
	}
}

// Validate returns every fault of the configuration at once.
func (c Config) Validate() error {
	var faults []error
	fault := func(field, format string, args ...any) {
		faults = append(faults, fmt.Errorf("server.%s: %s", field, fmt.Sprintf(format, args...)))
	}
	faults = append(faults, c.Config.Validate())
	if err := checkListen(c.Listen, c.Remote()); err != nil {
		fault("listen", "%v", err)
	}
	if c.GRPCListen != "" {
		if err := checkListen(c.GRPCListen, c.Remote()); err != nil {
			fault("grpc_listen", "%v", err)
		}
	}
	for _, f := range []struct {
		name          string
		value, lo, hi int64
	}{
		{"threads", int64(c.Threads), 1, 1024},
		{"workers", int64(c.Workers), 0, 1024},
		{"queue", int64(c.Queue), 1, 1 << 20},
		{"latest", int64(c.Latest), 0, 100},
		{"access_log", int64(c.AccessLog), 0, 1 << 40},
		{"body_limit", c.BodyLimit, 1 << 10, 1 << 30},
		{"memory_budget", c.MemoryBudget, 0, 1 << 50},
	} {
		if f.value < f.lo || f.value > f.hi {
			fault(f.name, "is %d, must be %d to %d", f.value, f.lo, f.hi)
		}
	}
	for _, f := range []struct {
		name          string
		value, lo, hi time.Duration
	}{
		{"reload", c.Reload, 10 * time.Millisecond, 24 * time.Hour},
		{"load_timeout", c.LoadTimeout, time.Millisecond, time.Hour},
		{"request_timeout", c.RequestTimeout, time.Millisecond, time.Hour},
		{"read_timeout", c.ReadTimeout, time.Millisecond, time.Hour},
		{"write_timeout", c.WriteTimeout, time.Millisecond, time.Hour},
		{"idle_timeout", c.IdleTimeout, time.Millisecond, 24 * time.Hour},
		{"drain_delay", c.DrainDelay, 0, time.Hour},
		{"drain_timeout", c.DrainTimeout, time.Millisecond, time.Hour},
	} {
		if f.value < f.lo || f.value > f.hi {
			fault(f.name, "is %s, must be %s to %s", f.value, f.lo, f.hi)
		}
	}
	if c.PprofListen != "" {
		if host, _, err := net.SplitHostPort(c.PprofListen); err != nil || !isLoopback(host) {
			fault("pprof_listen", "%q is not host:port of this machine alone; use 127.0.0.1:6060", c.PprofListen)
		}
	}
	c.Tracing.validate(fault)
	return errors.Join(faults...)
}

// isLoopback reports whether a host is reached from this machine alone.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// checkListen refuses an address that is not host:port, or that is not loopback
// when there is a reason against others.
func checkListen(address string, remote error) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not host:port", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("%q: the port must be a number from 0 to 65535", address)
	}
	if remote == nil || loopback(address) {
		return nil
	}
	return fmt.Errorf("%q can be reached from other machines: %w", address, remote)
}

// loopback reports whether only this machine can reach an address host:port.
func loopback(address string) bool {
	host, _, _ := net.SplitHostPort(address) // no host is every address
	return isLoopback(host)
}

// RunThreads returns how many threads one run of a model may use: as configured, and
// no more than there are processors for this process.
func (c Config) RunThreads() int { return min(c.Threads, machine.Processors()) }

// workers returns how many runs may go on at once.
func (c Config) workers() int {
	if c.Workers > 0 {
		return c.Workers
	}
	return max(1, machine.Processors()/c.RunThreads())
}

// leastBudget is the memory budget where the memory cannot be told.
const leastBudget = 512 << 20

// memoryBudget returns the bytes that loaded models may hold together.
func (c Config) memoryBudget() int64 {
	if c.MemoryBudget > 0 {
		return c.MemoryBudget
	}
	if half := machine.Memory() / 2; half > 0 {
		return half
	}
	return leastBudget
}
