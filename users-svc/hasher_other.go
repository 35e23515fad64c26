//go:build !linux

package users

// hugePages does nothing: only Linux asks for them.
func hugePages(int) {}
