package service

import (
	"os"
	"runtime/debug"
)

// gcPercent lets the heap grow to four times the memory in use before it is collected. A service uses
// a few megabytes; with Go's default of 100 it would collect dozens of times a second under load.
const gcPercent = 300

// SetGCPercent sets gcPercent for the process, unless the environment has GOGC.
func SetGCPercent() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
