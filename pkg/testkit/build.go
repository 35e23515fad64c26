package testkit

import "os"

// ReleaseBuild reports whether tests build programs as the images are built. That is so in CI
// (CI=true). Elsewhere it would compile every package a second time.
func ReleaseBuild() bool { return os.Getenv("CI") == "true" }

// BuildEnv returns the environment of "go build" for the programs that tests start. Unless
// ReleaseBuild says otherwise, they are compiled like the tests, with which they share the build
// cache.
func BuildEnv() []string {
	switch {
	case ReleaseBuild():
		return append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath")
	case Race:
		return append(os.Environ(), "GOFLAGS=-race")
	default:
		return os.Environ()
	}
}
