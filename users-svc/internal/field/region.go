package field

import (
	"regexp"

	"github.com/realmgate/realmgate/pkg/input"
)

var RegionPattern = regexp.MustCompile(`^[a-z0-9-]+$`)

// MaxRegion bounds a region's name in characters.
const MaxRegion = 50

// Region reads the field "region"; "" when it is absent or breaks a rule.
func Region(body *input.Object) (string, bool) {
	region, ok := body.String("region", 1, MaxRegion)
	if ok && !RegionPattern.MatchString(region) {
		body.Fail("region", "must be lower-case letters, digits and hyphens")
		return "", false
	}
	return region, ok
}
