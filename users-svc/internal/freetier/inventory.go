package freetier

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/realmgate/realmgate/users-svc/internal/field"
)

// Inventory is the setting that lists the free-tier servers: "region:country:city:capacity",
// separated by semicolons. The capacity is in accounts.
type Inventory []serverSpec

// serverSpec describes a server that is to be stored.
type serverSpec struct {
	name, region, country, city string
	capacity                    int
}

// maxCapacity is the most accounts of one server.
const maxCapacity = 1_000_000

// UnmarshalText reads the setting. It names a server after its region and its number there:
// eu-west-1, eu-west-2.
func (inv *Inventory) UnmarshalText(text []byte) error {
	*inv = nil
	seen := map[string]int{}
	for entry := range strings.SplitSeq(string(text), ";") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		parts := strings.Split(entry, ":")
		if len(parts) != 4 {
			return fmt.Errorf("%q is no server: write region:country:city:capacity", entry)
		}
		capacity, err := strconv.Atoi(parts[3])
		switch {
		case !field.ValidRegion(parts[0]):
			return fmt.Errorf("%q is no region: use up to %d lower-case letters, digits and hyphens",
				parts[0], field.MaxRegion)
		case parts[1] == "" || parts[2] == "":
			return fmt.Errorf("%q needs a country and a city", entry)
		case err != nil || capacity < 1 || capacity > maxCapacity:
			return fmt.Errorf("%q: capacity must be a whole number from 1 to %d", entry, maxCapacity)
		}
		seen[parts[0]]++
		*inv = append(*inv, serverSpec{name: parts[0] + "-" + strconv.Itoa(seen[parts[0]]), region: parts[0],
			country: parts[1], city: parts[2],
			capacity: capacity})
	}
	return nil
}
