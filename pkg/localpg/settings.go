package localpg

import (
	"maps"
	"slices"
	"strconv"
)

// Disposable returns settings for a cluster whose data may be lost, such as that of a test run.
// Nothing is flushed to disk, so a power failure can destroy the cluster; a crash of PostgreSQL
// alone cannot.
func Disposable() map[string]string {
	return map[string]string{
		"fsync":              "off",
		"synchronous_commit": "off",
		"full_page_writes":   "off",
		"wal_level":          "minimal",
		"max_wal_senders":    "0",
		"autovacuum":         "off",
		"checkpoint_timeout": "1h",
	}
}

// settings suit a machine with 1 GB that also runs the services. Durability is PostgreSQL's
// default: every commit is on disk before it is answered.
func settings(port int, custom map[string]string) []string {
	all := map[string]string{
		"max_connections":      "200",
		"shared_buffers":       "128MB",
		"work_mem":             "8MB",
		"maintenance_work_mem": "64MB",
		"effective_cache_size": "512MB",
		"max_wal_size":         "512MB",
		"timezone":             "UTC",
		"log_timezone":         "UTC",
		// The client gets the errors of its statements, and their text may hold personal data. So
		// only LOG and above is logged, without statement or detail.
		"log_min_messages":        "log",
		"log_min_error_statement": "panic",
		"log_error_verbosity":     "terse",
		"log_line_prefix":         "",
		"log_destination":         "stderr",
		// With this, new sessions need not load PL/pgSQL from files that an upgrade may have
		// replaced or removed.
		"shared_preload_libraries": "plpgsql",
		"logging_collector":        "off",
	}
	maps.Copy(all, custom)
	all["port"] = strconv.Itoa(port)
	all["listen_addresses"] = loopback
	// A socket's path may have at most 107 bytes, and temporary folders of tests are longer.
	all["unix_socket_directories"] = ""
	var args []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		args = append(args, "-c", name+"="+all[name])
	}
	return args
}
