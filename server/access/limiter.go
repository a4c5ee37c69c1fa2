package access

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxAddresses bounds the addresses that are remembered. The one that was seen
// longest ago is forgotten first, and has a whole burst again when it comes back:
// whoever owns more addresses than that was never held up by a limit for each.
const maxAddresses = 16384

// addresses counts those who have not said who they are. It is safe for concurrent
// use.
type addresses struct {
	limit rate.Limit
	burst int

	mu    sync.Mutex
	known map[netip.Addr]*list.Element // guarded by mu, with what follows
	order list.List                    // of *address, the one seen last in front
}

type address struct {
	ip     netip.Addr
	bucket *rate.Limiter
}

func newAddresses(limit rate.Limit, burst int) *addresses {
	return &addresses{limit: limit, burst: burst, known: map[netip.Addr]*list.Element{}}
}

// take takes a request of an address out of its bucket, or returns how long it must
// wait.
func (a *addresses) take(ip netip.Addr, now time.Time) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.known[ip]
	if e == nil {
		if len(a.known) >= maxAddresses {
			oldest := a.order.Back()
			delete(a.known, oldest.Value.(*address).ip)
			a.order.Remove(oldest)
		}
		e = a.order.PushFront(&address{ip, rate.NewLimiter(a.limit, a.burst)})
		a.known[ip] = e
	}
	a.order.MoveToFront(e)
	return take(e.Value.(*address).bucket, now)
}

// take takes one request out of a bucket, or returns how long it must wait.
func take(bucket *rate.Limiter, now time.Time) time.Duration {
	r := bucket.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// addressOf returns what a remote address host:port is counted by: IPv4 as it is, of
// IPv6 the first 64 bits, because the rest is the client's own to choose. What is no
// address, such as a socket's path, is all counted as one.
func addressOf(remote string) netip.Addr {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		prefix, _ := ip.Prefix(64) // 64 bits are in range
		return prefix.Addr()
	}
	return ip
}
