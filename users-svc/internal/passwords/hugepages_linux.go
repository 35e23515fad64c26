package passwords

import (
	"syscall"
)

// hugePages asks the system to back the next n bytes of the heap with pages of 2 MB, where the
// hashes will then find their memory: a hash reads and writes it in random order, and with pages of
// 4 KB spends a fifteenth of its time on looking up where they are. The bytes are never touched
// here, so they cost address space and no RAM. A system that has no such pages, or gives them to
// everybody, ignores it.
func hugePages(n int) {
	_ = syscall.Madvise(make([]byte, n), syscall.MADV_HUGEPAGE)
}
