package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// closedLoop is what wrk found: each connection sends its next request when the one
// before is answered.
type closedLoop struct {
	p50, p99 float64 // ms
	requests float64
	perSec   float64
}

// script is what wrk posts: a Lua program with the body as a literal.
func script(body string) string {
	return "wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/json\"\nwrk.body = [=[" + body + "]=]\n"
}

var (
	wrkLatency  = regexp.MustCompile(`(?m)^\s+(50|99)%\s+([0-9.]+)(us|ms|s|m)$`)
	wrkRequests = regexp.MustCompile(`(?m)^\s*(\d+) requests in `)
	wrkPerSec   = regexp.MustCompile(`(?m)^Requests/sec:\s+([0-9.]+)`)
)

// parseWrk reads the output of wrk --latency. Failed requests are an error: a server
// that answers quickly that it cannot is not fast.
func parseWrk(out string) (closedLoop, error) {
	var c closedLoop
	if strings.Contains(out, "Non-2xx") || strings.Contains(out, "Socket errors") {
		return c, fmt.Errorf("requests failed:\n%s", out)
	}
	unit := map[string]float64{"us": 1e-3, "ms": 1, "s": 1e3, "m": 60e3}
	for _, m := range wrkLatency.FindAllStringSubmatch(out, -1) {
		v, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return c, err
		}
		if v *= unit[m[3]]; m[1] == "50" {
			c.p50 = v
		} else {
			c.p99 = v
		}
	}
	for re, into := range map[*regexp.Regexp]*float64{wrkRequests: &c.requests, wrkPerSec: &c.perSec} {
		m := re.FindStringSubmatch(out)
		if m == nil {
			return c, fmt.Errorf("wrk printed\n%s", out)
		}
		var err error
		if *into, err = strconv.ParseFloat(m[1], 64); err != nil {
			return c, err
		}
	}
	if c.p50 == 0 || c.p99 == 0 || c.requests == 0 {
		return c, fmt.Errorf("wrk printed\n%s", out)
	}
	return c, nil
}
