package journal

import (
	"testing"
)

// BenchmarkJournal is one append, alone and with others.
func BenchmarkJournal(b *testing.B) {
	for name, parallel := range map[string]int{"alone": 1, "with 32 others": 32} {
		b.Run(name, func(b *testing.B) {
			cfg := testConfig(b.TempDir())
			cfg.MaxBytes = 1 << 40
			j := open(b, cfg)
			e := newEvent()
			b.ReportAllocs()
			if parallel == 1 {
				for b.Loop() {
					_ = j.Append(e)
				}
				return
			}
			b.SetParallelism(parallel)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_ = j.Append(e)
				}
			})
		})
	}
}
