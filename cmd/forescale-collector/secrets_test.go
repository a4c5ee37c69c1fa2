package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/fleet"
)

// eavesdropper keeps the credentials that pass on the wire.
type eavesdropper struct {
	next http.Handler
	half atomic.Int32 // answers to break off in their middle, which the SDK complains of

	mu    sync.Mutex
	heard map[string]string // what is secret, by where it was heard
}

func (e *eavesdropper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	if token := r.Header.Get("X-Amz-Security-Token"); token != "" {
		e.heard["session token "+token[:4]] = token
	}
	if _, signature, ok := strings.Cut(r.Header.Get("Authorization"), "Signature="); ok {
		e.heard["signature"] = signature
	}
	e.mu.Unlock()
	if e.half.Add(-1) >= 0 {
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nSmithy-Protocol: rpc-v2-cbor\r\nContent-Length: 1000\r\n\r\n\xa0")
			conn.Close()
			return
		}
	}
	e.next.ServeHTTP(w, r)
}

// The collector runs at debug level, with recognisable credentials, through all
// that makes it write: refusals of each kind, lost answers, a back-fill and a check.
// Nothing that it leaves behind, output or file, may hold any of them.
func TestNothingThatIsWrittenHoldsASecret(t *testing.T) {
	const (
		role     = "arn:aws:iam::111122223333:role/forescale"
		key      = "AKIASECRETTESTKEY000"
		secret   = "wJalrSECRETSECRETSECRETbPxRfiCYEXAMPLEKEY"
		token    = "FwoGSESSIONSESSIONSESSIONtoken"
		external = "EXTERNALIDEXTERNALID"
	)
	s := newSystem(t, evening, fleet.Traps{})
	trace, err := fleet.Generate(fleet.GenerateConfig{Start: evening, Days: 2, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	demand, err := trace.Demand()
	if err != nil {
		t.Fatal(err)
	}
	cloud, err := fleet.New(fleet.Config{Start: evening, Now: evening.Add(30 * step), Roles: []fleet.Role{{ARN: role, ExternalID: external}},
		Groups: []fleet.GroupConfig{{Name: "web", Demand: demand}, {Name: "theirs", Demand: demand, Account: "111122223333"}}})
	if err != nil {
		t.Fatal(err)
	}
	ear := &eavesdropper{next: fleet.Handler(cloud), heard: map[string]string{"secret key": secret, "access key": key, "session token": token, "external id": external}}
	srv := httptest.NewServer(ear)
	defer srv.Close()
	write(t, s.configFile, fmt.Sprintf(`
data: file://%s
log: {level: debug}
aws:
  region: us-east-1
  cloudwatch_endpoint: %[2]q
  autoscaling_endpoint: %[2]q
  sts_endpoint: %[2]q
  accounts: {prod: {role: %q, external_id: %q}}
collector:
  fetch_timeout: 2s
  sources:
    - cloudwatch:
        call_timeout: 500ms
        groups: [{name: web}]
        discover: [{all: true, account: prod}]
`, s.lake, srv.URL, role, external))
	var out bytes.Buffer
	run := func(args ...string) {
		t.Helper()
		cmd := s.command(append([]string{"-config", s.configFile}, args...)...)
		cmd.Env = append(cmd.Env, "AWS_ACCESS_KEY_ID="+key, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_SESSION_TOKEN="+token)
		cmd.Stdout, cmd.Stderr = &out, &out
		_ = cmd.Run() // most are meant to fail
	}
	tick := []string{"-once", "-at", evening.Add(20 * step).Format(time.RFC3339)}
	run(tick...)
	if !strings.Contains(out.String(), "rows_stored=") || len(scan(t, s.lake)) == 0 {
		t.Fatalf("an undisturbed tick stores nothing:\n%s", out.String())
	}
	for _, f := range []fleet.Fault{
		{Operation: "GetMetricData", Kind: fleet.FaultDenied}, {Operation: "AssumeRole", Kind: fleet.FaultDenied},
		{Operation: "DescribeAutoScalingGroups", Kind: fleet.FaultDenied}, {Operation: "GetMetricData", Kind: fleet.FaultInvalid},
		{Operation: "AssumeRole", Kind: fleet.FaultThrottle, Count: 1}, {Operation: "GetMetricData", Kind: fleet.FaultLostResponse, Count: 1},
		{Operation: "GetMetricData", Kind: fleet.FaultHang, Count: 1},
	} {
		cloud.SetTraps(fleet.Traps{Faults: []fleet.Fault{f}})
		run(tick...)
	}
	cloud.SetTraps(fleet.Traps{})
	ear.half.Store(2)
	run(tick...)
	cloud.SetTraps(fleet.Traps{Series: []fleet.SeriesFault{{Status: "Forbidden"}}})
	run(tick...)
	run("-backfill", evening.Format(time.RFC3339)+"/"+evening.Add(20*step).Format(time.RFC3339))
	run("-check")

	for _, want := range []string{"level=DEBUG", "AccessDenied", "Forbidden"} { // it was talkative
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log has no %s: the test proves little\n%.2000s", want, out.String())
		}
	}
	if len(ear.heard) < 6 { // the role's own token, and a signature
		t.Errorf("only %d secrets were in use", len(ear.heard))
	}
	for what, value := range ear.heard {
		if strings.Contains(out.String(), value) {
			t.Errorf("the output holds the %s", what)
		}
	}
	err = filepath.WalkDir(s.lake, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		for what, value := range ear.heard {
			if bytes.Contains(raw, []byte(value)) || strings.Contains(path, value) {
				t.Errorf("%s holds the %s", path, what)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
