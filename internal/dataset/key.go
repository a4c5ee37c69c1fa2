package dataset

import (
	"fmt"
	"regexp"
	"time"
)

const (
	root       = "open/"
	datePrefix = root + "date="
	partSuffix = ".parquet"
)

// partPrefix returns the key of a part up to the hash of its rows.
func partPrefix(day, interval time.Time, escapedWriter string) string {
	return fmt.Sprintf("%s%s/%s/%s-", datePrefix, day.UTC().Format(time.DateOnly),
		interval.UTC().Format("20060102T150405Z"), escapedWriter)
}

// partKey matches the keys of parts: the day, and the hash of the rows.
var partKey = regexp.MustCompile(`^open/date=(\d{4}-\d\d-\d\d)/[^/]+/[^/]+-([0-9a-f]{64})(?:--?\d+)?\.parquet$`)

// parseKey returns what the key of a part says of it; ok is false for any other
// key.
func parseKey(key string) (day time.Time, hash string, ok bool) {
	m := partKey.FindStringSubmatch(key)
	if m == nil {
		return day, "", false
	}
	day, err := time.Parse(time.DateOnly, m[1])
	return day, m[2], err == nil
}
