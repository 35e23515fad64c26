//go:build !unix

package durable

// SyncFolder does nothing where folders cannot be flushed.
func SyncFolder(string) error { return nil }
