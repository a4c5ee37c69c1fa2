// Package s3test starts a real S3 server, versitygw, for the tests of whatever
// keeps objects in S3. It is for tests only.
//
// The program is named by the environment variable FORESCALE_VERSITYGW, which
// the Makefile sets; without it the test that asks for a server fails.
package s3test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Env names the variable with the path of versitygw.
const Env = "FORESCALE_VERSITYGW"

// The one account of the server, and the bucket that Start makes in it.
const (
	AccessKey = "forescale-test"
	SecretKey = "forescale-test-secret"
	Bucket    = "lake"
)

// Start returns the URL, as blob.Open takes it, of an empty bucket on a server
// of its own, which ends with the test. It puts the credentials into the
// environment for that time, so the test cannot be parallel.
func Start(t *testing.T) (storeURL string) {
	t.Helper()
	return StartServer(t).URL("")
}

// Server is a running versitygw.
type Server struct {
	Endpoint string // http://127.0.0.1:PORT
	addr     string
	dir      string
	mu       sync.Mutex
	cmd      *exec.Cmd // guarded by mu; nil when not running
}

// StartServer starts a server whose death and return a test can order.
func StartServer(t *testing.T) *Server {
	t.Helper()
	if os.Getenv(Env) == "" {
		t.Fatalf("%s is not set; it names the S3 server versitygw: run the tests with 'make test', or 'make setup' and set it to .cache/bin/versitygw-*", Env)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", SecretKey)
	t.Setenv("AWS_SESSION_TOKEN", "")
	t.Setenv("AWS_PROFILE", "")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	s := &Server{dir: t.TempDir()}
	t.Cleanup(s.Kill)
	var err error
	for range 5 { // another process may take the port in between
		if err = s.listen(); err != nil {
			continue
		}
		if err = s.Start(t.Context()); err == nil {
			break
		}
	}
	if err == nil {
		err = s.createBucket(t.Context())
	}
	if err != nil {
		t.Fatalf("start versitygw: %v", err)
	}
	return s
}

func (s *Server) listen() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.addr = l.Addr().String()
	s.Endpoint = "http://" + s.addr
	return l.Close()
}

// URL returns the URL of the bucket, below prefix.
func (s *Server) URL(prefix string) string { return StoreURL(s.Endpoint, prefix) }

// StoreURL returns the URL of the bucket as seen through another endpoint, for
// example a proxy.
func StoreURL(endpoint, prefix string) string {
	q := url.Values{"endpoint": {endpoint}, "region": {"us-east-1"}, "path_style": {"true"}}
	return "s3://" + Bucket + "/" + prefix + "?" + q.Encode()
}

// Start runs the program on the data of its last run, and returns when it
// accepts connections.
func (s *Server) Start(ctx context.Context) error {
	data := filepath.Join(s.dir, "data")
	if err := os.MkdirAll(data, 0o777); err != nil {
		return err
	}
	log := new(bytes.Buffer)
	cmd := exec.Command(os.Getenv(Env), "-q", "--port", s.addr, "posix", data)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.mu.Lock()
	s.cmd = cmd
	s.mu.Unlock()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", s.addr); err == nil {
			return c.Close()
		}
	}
	s.Kill()
	return fmt.Errorf("it does not listen on %s: %s", s.addr, log)
}

// Kill ends the program as kill -9 does, if it runs. It may be called from any
// goroutine.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Kill() // an error means that it has ended already
	s.cmd.Wait()
	s.cmd = nil
}

func (s *Server) createBucket(ctx context.Context) error {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion("us-east-1"))
	if err != nil {
		return err
	}
	bucket := Bucket
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = true
		o.BaseEndpoint = &s.Endpoint
	})
	_, err = client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket})
	return err
}
