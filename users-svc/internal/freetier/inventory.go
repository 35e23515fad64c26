package freetier

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/realmgate/realmgate/users-svc/internal/field"
)

// Inventory is the setting that lists the free-tier servers: "region:country:city:capacity",
// separated by semicolons.
type Inventory []serverSpec

// serverSpec is a server before it is in the database.
type serverSpec struct {
	name, region, country, city string
	capacity                    int
}

// maxCapacity bounds the accounts of one server.
const maxCapacity = 1_000_000

// UnmarshalText reads the setting. A server is named after its region and its number there:
// eu-west-1, eu-west-2.
func (inv *Inventory) UnmarshalText(text []byte) error {
	*inv = nil
	seen := map[string]int{}
	for entry := range strings.SplitSeq(string(text), ";") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		f := strings.Split(entry, ":")
		if len(f) != 4 {
			return fmt.Errorf("%q is no server: write region:country:city:capacity", entry)
		}
		capacity, err := strconv.Atoi(f[3])
		switch {
		case !field.RegionPattern.MatchString(f[0]) || len(f[0]) > field.MaxRegion:
			return fmt.Errorf("%q is no region: use up to %d lower-case letters, digits and hyphens", f[0], field.MaxRegion)
		case f[1] == "" || f[2] == "":
			return fmt.Errorf("%q needs a country and a city", entry)
		case err != nil || capacity < 1 || capacity > maxCapacity:
			return fmt.Errorf("%q: capacity must be a whole number from 1 to %d", entry, maxCapacity)
		}
		seen[f[0]]++
		*inv = append(*inv, serverSpec{name: f[0] + "-" + strconv.Itoa(seen[f[0]]), region: f[0], country: f[1], city: f[2],
			capacity: capacity})
	}
	return nil
}
