package vault

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/vault-svc/internal/memory"
)

type metrics struct {
	quotaRefusals, sealErrors, openErrors prometheus.Counter
	// reads and writes count operations, however many statements they take or share.
	reads, writes prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, v *Vault, budget *memory.Budget) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		quotaRefusals: counter("vault_quota_refusals_total",
			"Writes refused because they would exceed the user's quota."),
		sealErrors: counter("vault_seal_errors_total", "Items that could not be sealed."),
		openErrors: counter("vault_open_errors_total", "Values and metadata that did not open."),
		reads:      counter("vault_reads_total", "Reads of one item that reached the database, one a request."),
		writes:     counter("vault_writes_total", "Writes of one item that reached the database, one a request."),
	}
	read := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, f)
	}
	reg.MustRegister(m.quotaRefusals, m.sealErrors, m.openErrors, m.reads, m.writes,
		read("vault_key_cache_hits_total", "Data keys found unwrapped in memory.",
			func() float64 { return float64(v.keys.Hits()) }),
		read("vault_key_cache_misses_total", "Data keys not found in memory.",
			func() float64 { return float64(v.keys.Misses()) }),
		read("vault_key_errors_total", "Data keys that did not unwrap: the key-encryption keyset lacks a key.",
			func() float64 { return float64(v.keys.UnwrapErrors()) }),
		read("vault_read_statements_total",
			"Statements of these reads: many small reads share one, a large value takes two.",
			func() float64 { return float64(v.reads.Statements() + v.largeReads.Load()) }),
		read("vault_write_statements_total",
			"Statements of these writes: many small writes share one, a write that could not share it takes another.",
			func() float64 { return float64(v.writes.Statements() + v.unbatched.Statements()) }),
		read("vault_inflight_refusals_total",
			"Requests answered 503 because large values occupied VAULT_MAX_INFLIGHT_BYTES or the user's share of it.",
			func() float64 { return float64(budget.Refused()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "vault_inflight_bytes", Help: "Memory reserved for large values.",
		},
			func() float64 { return float64(budget.Used()) }),
	)
	return m
}
