package passwords

import (
	"os"
	"regexp"
	"testing"
)

func TestHashesGetHugePagesWhereTheSystemHasThem(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		return // the system has none to give
	}
	NewHasher(Config{MemoryKiB: 19456, Time: 1, Threads: 1, Parallel: 1})
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^VmFlags:.* hg( |$)`).Match(maps) {
		t.Error("no memory of the process is to have huge pages")
	}
}
