//go:build !unix

package gateway

// syncFolder does nothing where folders cannot be flushed.
func syncFolder(string) error { return nil }
