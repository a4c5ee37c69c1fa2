package journal

import (
	"encoding/json"
	"testing"
	"time"
)

// BenchmarkPack packs and unpacks the records of a small and of a large fleet.
func BenchmarkPack(b *testing.B) {
	for name, groups := range map[string]int{"one group": 1, "10000 groups": 10_000} {
		rec := record(day, "a")
		for i := range groups {
			d := rec.Decisions[0]
			d.Desired, d.Tick = i, day.Add(time.Duration(i)*time.Second)
			rec.Decisions = append(rec.Decisions, d)
		}
		plain, err := json.Marshal(rec)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Unpack(Pack(plain)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
