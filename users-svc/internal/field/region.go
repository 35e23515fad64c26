package field

import (
	"regexp"

	"github.com/realmgate/realmgate/pkg/input"
)

// MaxRegion is the most characters that the name of a region has.
const MaxRegion = 50

var regionPattern = regexp.MustCompile(`^[a-z0-9-]+$`)

// ValidRegion reports whether name is the name of a region: 1 to MaxRegion lower-case letters,
// digits and hyphens.
func ValidRegion(name string) bool { return len(name) <= MaxRegion && regionPattern.MatchString(name) }

// Region reads the optional field "region"; false when it is absent or breaks a rule.
func Region(body *input.Object) (string, bool) {
	region, ok := body.String("region", 1, MaxRegion)
	if ok && !ValidRegion(region) {
		body.Fail("region", "must be lower-case letters, digits and hyphens")
		return "", false
	}
	return region, ok
}
