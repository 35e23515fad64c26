//go:build !unix

package atomicfile

// SyncDir does nothing on systems where a directory cannot be flushed.
func SyncDir(string) error { return nil }
