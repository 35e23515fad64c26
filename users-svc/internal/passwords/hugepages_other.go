//go:build !linux

package passwords

// hugePages does nothing: only Linux asks for them.
func hugePages(int) {}
