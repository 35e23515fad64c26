package testkit

import "os"

// ReleaseBuild reports whether tests build programs in the same way as the images, as in CI
// (CI=true). Elsewhere that would compile every package a second time.
func ReleaseBuild() bool { return os.Getenv("CI") == "true" }

// BuildEnv returns the environment of "go build" for the programs that tests start. Unless
// ReleaseBuild is true, the programs are compiled like the tests and share the build cache with
// them.
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
