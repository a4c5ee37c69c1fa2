//go:build system

package function

import (
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Whoever builds the archives gets the bytes that everybody gets.
func TestSystemTheArchivesAreTheSameEachTime(t *testing.T) {
	arch := map[string]string{"amd64": "x86_64"}[runtime.GOARCH] // as Lambda calls it
	if arch == "" {
		arch = runtime.GOARCH
	}
	var sums []map[string][32]byte
	for range 2 {
		dir := t.TempDir()
		cmd := exec.Command("make", "-C", filepath.Join("..", ".."), "lambda", "LAMBDA_OUT="+dir, "LAMBDA_ARCHS="+arch)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.zip"))
		if err != nil || len(files) != 2 {
			t.Fatalf("archives %v, %v", files, err)
		}
		sum := map[string][32]byte{}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			sum[filepath.Base(f)] = sha256.Sum256(data)
		}
		sums = append(sums, sum)
	}
	for name, sum := range sums[0] {
		if sum != sums[1][name] {
			t.Errorf("%s differs", name)
		}
	}
}
