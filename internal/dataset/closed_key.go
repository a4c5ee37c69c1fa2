package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"regexp"
	"strconv"
	"time"

	"github.com/forescale/forescale/internal/blob"
)

const (
	closedRoot   = "closed/"
	closedPrefix = closedRoot + "date="
	// shapeName is the object that says of how many files a closed day is made. Its
	// underscore hides it from Spark, Athena and others that read folders of Parquet.
	shapeName = "_shape.json"
)

// closedKey is what the key of a closed file says: file number file of files of a
// day. It holds the groups for which fileOf(group, files) is file, and no others,
// so that no two files of a day can state the same row.
type closedKey struct {
	day         time.Time
	file, files int
}

func (k closedKey) String() string {
	return fmt.Sprintf("%sdate=%s/part-%05d-of-%05d%s", closedRoot, k.day.Format(time.DateOnly), k.file, k.files, partSuffix)
}

// maxFiles bounds the files of one day.
const maxFiles = 1000

var closedPattern = regexp.MustCompile(`^closed/date=(\d{4}-\d\d-\d\d)/part-(\d{5})-of-(\d{5})\.parquet$`)

// parseClosed returns what the key of a closed file says; ok is false for any
// other key.
func parseClosed(key string) (k closedKey, ok bool) {
	m := closedPattern.FindStringSubmatch(key)
	if m == nil {
		return k, false
	}
	day, err := time.Parse(time.DateOnly, m[1])
	k.day = day
	k.file, _ = strconv.Atoi(m[2]) // five digits
	k.files, _ = strconv.Atoi(m[3])
	return k, err == nil && k.file < k.files && k.files <= maxFiles
}

// fileOf returns which of files files holds the group.
func fileOf(group string, files int) int {
	if files == 1 {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(group))
	return int(h.Sum32() % uint32(files))
}

// versioned returns the name of one content of an object. A key may come back with
// another content: a part that was compacted away can be written again.
func versioned(info blob.Info) string { return info.Key + "@" + info.Version }

// partID is how a closed file names a part that it stands for: 64 bits of the
// SHA-256 of its versioned name.
type partID uint64

func idOf(info blob.Info) partID {
	sum := sha256.Sum256([]byte(versioned(info)))
	return partID(binary.BigEndian.Uint64(sum[:8]))
}
