package kube

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/forescale/forescale/api"
)

// Whatever answers at the address: a size comes out of it only when it is one.
func FuzzAnswer(f *testing.F) {
	f.Add(200, `{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"web","namespace":"shop","resourceVersion":"7"},"spec":{"replicas":4},"status":{"replicas":3,"selector":"app=web"}}`)
	f.Add(200, `{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"web","namespace":"shop","resourceVersion":"7"},"spec":{},"status":{"replicas":-1}}`)
	f.Add(409, `{"kind":"Status","reason":"Conflict","message":"x","details":{"retryAfterSeconds":-5,"causes":[{"field":"spec.replicas"}]}}`)
	f.Add(503, "<html>")
	f.Fuzz(func(t *testing.T, code int, body string) {
		resp := &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}, "Retry-After": {body}}}
		var s scaleObject
		err := decode(resp, []byte(body), &s)
		if (code < 200 || code > 299) != (status(err) != nil) {
			t.Fatalf("%d is %v", code, err)
		}
		if e := status(err); e != nil && (e.After < 0 || e.After > seconds(3600)) {
			t.Errorf("to be tried again after %s", e.After)
		}
		r, _ := ParseName(web)
		if err != nil || s.check(r) != nil {
			return
		}
		c := api.Capacity{Desired: int(s.Spec.Replicas)}
		if err := reported(&s, &c); err == nil && (!strings.Contains(body, "status") || c.InService < 0 || c.Pending < 0) || c.Desired < 0 || c.Desired > limitMaxReplicas {
			t.Errorf("%s is %+v", body, c)
		}
	})
}

// Whatever a Lease says: it is held for a time within reason, and goes back as the
// object that it was.
func FuzzLease(f *testing.F) {
	f.Add(`{"kind":"Lease","metadata":{"name":"x","labels":{"a":"b"}},"spec":{"holderIdentity":"a","leaseDurationSeconds":15,"leaseTransitions":1,"renewTime":"2026-03-02T12:00:00.000000Z"}}`)
	f.Add(`{"kind":"Lease","metadata":null,"spec":{"holderIdentity":null,"leaseDurationSeconds":9223372036854775807}}`)
	f.Add(`{"kind":"Lease","spec":[]}`)
	f.Fuzz(func(t *testing.T, body string) {
		resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}}
		var o leaseObject
		if decode(resp, []byte(body), &o) != nil {
			return
		}
		e := &Election{cfg: ElectionConfig{Duration: minLease}}
		if held := e.promised(o.Spec); held < minLease || held > maxLease {
			t.Errorf("%s is held for %s", body, held)
		}
		raw, err := json.Marshal(o)
		if err != nil {
			t.Fatalf("%s cannot be written back: %v", body, err)
		}
		var again leaseObject
		if err := json.Unmarshal(raw, &again); err != nil || again.Spec != o.Spec || len(again.Metadata) != len(o.Metadata) {
			t.Errorf("%s became %s, %v", body, raw, err)
		}
	})
}

// A kubeconfig gives an access with a server or an error, and no credential goes
// out in the clear.
func FuzzKubeconfig(f *testing.F) {
	f.Add("current-context: a\n"+contexts+"clusters: [{name: c, cluster: {server: https://h}}]\nusers: [{name: u, user: {token: x}}]", "")
	f.Add(contexts+"clusters: [{name: c, cluster: {server: http://h, proxy-url: socks5://p}}]", "anonymous")
	f.Add(contexts+"clusters: [{name: c, cluster: {server: https://h}}]\nusers: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: a/b}}}]", "a")
	nowhere := func(string) string { return "/nonexistent" }
	f.Fuzz(func(t *testing.T, text, context string) {
		var file kubeconfig
		if yaml.Unmarshal([]byte(text), &file) != nil {
			return
		}
		c, u, err := file.choose(context)
		if err != nil {
			return
		}
		a, err := c.access(nowhere)
		if err != nil || u.identify(&a, nowhere) != nil {
			return
		}
		if a.server.Host == "" || a.server.User != nil || a.server.Scheme == "http" && (a.credential != fixed("") || a.tls.GetClientCertificate != nil) {
			t.Errorf("%q at %s by %T", text, a.server, a.credential)
		}
	})
}
