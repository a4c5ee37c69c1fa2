package batch

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Shard is one part of the groups: part Index, from 0, of Count. The zero value
// is all of them.
type Shard struct {
	Index int `json:"index"`
	Count int `json:"count"`
}

// maxShards is what Kubernetes allows for the completions of an indexed Job.
const maxShards = 100_000

// The variables in which Kubernetes and AWS Batch tell a process its index,
// counted from 0.
const (
	envKubernetes = "JOB_COMPLETION_INDEX"
	envAWSBatch   = "AWS_BATCH_JOB_ARRAY_INDEX"
	envAWSSize    = "AWS_BATCH_JOB_ARRAY_SIZE"
)

// ParseShard reads i/n, or auto/n, where the index is that of the indexed Job of
// Kubernetes or the array job of AWS Batch that the process is part of.
func ParseShard(text string, getenv func(string) string) (Shard, error) {
	index, count, ok := strings.Cut(text, "/")
	n, err := strconv.Atoi(count)
	if !ok || err != nil || n < 1 || n > maxShards {
		return Shard{}, fmt.Errorf("shard: %.40q must be i/n, such as 0/4, or auto/n, with n from 1 to %d", text, maxShards)
	}
	from := ""
	if index == "auto" {
		if index, from, err = indexFrom(getenv, n); err != nil {
			return Shard{}, fmt.Errorf("shard: %w", err)
		}
	}
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= n {
		return Shard{}, fmt.Errorf("shard: %sindex %.40q must be 0 to %d, since there are %d shards", from, index, n-1, n)
	}
	return Shard{Index: i, Count: n}, nil
}

// indexFrom returns the index in the environment, and what to call it.
func indexFrom(getenv func(string) string, n int) (index, name string, err error) {
	kubernetes, aws := getenv(envKubernetes), getenv(envAWSBatch)
	if size := getenv(envAWSSize); size != "" && aws != "" && size != strconv.Itoa(n) {
		return "", "", fmt.Errorf("%s is %.40q, but auto/%d says %d", envAWSSize, size, n, n)
	}
	switch {
	case kubernetes != "" && aws != "" && kubernetes != aws:
		return "", "", fmt.Errorf("%s is %.40q and %s is %.40q; say i/n", envKubernetes, kubernetes, envAWSBatch, aws)
	case kubernetes != "":
		return kubernetes, envKubernetes + ": ", nil
	case aws != "":
		return aws, envAWSBatch + ": ", nil
	}
	return "", "", fmt.Errorf("auto: neither %s nor %s is set: this is no indexed job; say i/n", envKubernetes, envAWSBatch)
}

// Has reports whether the shard has a group:
//
//	the first 8 bytes of SHA-256(group), big-endian, modulo Count, are Index
//
// It depends on nothing but the name, so that machines need not agree on a list,
// and must never change: shards of two versions may run side by side.
func (s Shard) Has(group string) bool {
	if s.Count <= 1 {
		return true
	}
	sum := sha256.Sum256([]byte(group))
	return binary.BigEndian.Uint64(sum[:8])%uint64(s.Count) == uint64(s.Index)
}

// Of returns the groups that the shard has, in their order.
func (s Shard) Of(groups []string) []string {
	var own []string
	for _, group := range groups {
		if s.Has(group) {
			own = append(own, group)
		}
	}
	return own
}

// String returns i/n, "" for all groups.
func (s Shard) String() string {
	if s.Count == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Index, s.Count)
}
