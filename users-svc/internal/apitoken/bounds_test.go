package apitoken

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/input"
)

// TestAFieldOverItsBoundCostsNoMoreThanReadingIt counts the allocations of token and password
// fields of half a megabyte: they must not grow with the number of entries in them.
func TestAFieldOverItsBoundCostsNoMoreThanReadingIt(t *testing.T) {
	addresses := make([]string, 40_000)
	for i := range addresses {
		addresses[i] = fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
	}
	const most = 600 // two hundred entries may be split off, and grow a slice
	for name, value := range map[string]string{
		"ip_whitelist, a string":   `"` + strings.Join(addresses, ",") + `"`,
		"ip_whitelist, blanks":     `"` + strings.Repeat(" ,", 200_000) + `"`,
		"ip_whitelist, an array":   `["` + strings.Join(addresses, `","`) + `"]`,
		"realm_ids, an array":      `[` + strings.Repeat(`"507f1f77bcf86cd799439011",`, 20_000) + `""]`,
		"expires_at, a number":     strings.Repeat("1", 500_000),
		"expires_at, a string":     `"2999-01-01T00:00:00.` + strings.Repeat("1", 500_000) + `Z"`,
		"permissions, many names":  `{` + strings.Repeat(`"a":true,`, 50_000) + `"b":true}`,
		"permissions, many levels": strings.Repeat(`{"a":`, 900) + `true` + strings.Repeat(`}`, 900),
		"alias, a string":          `"` + strings.Repeat("a", 500_000) + `"`,
	} {
		field, _, _ := strings.Cut(name, ",")
		o, err := input.ParseFields([]byte(`{"`+field+`":`+value+`}`), field)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var failed error
		n := testing.AllocsPerRun(1, func() {
			_, failed = readFields(o, time.Now(), field)
		})
		if failed == nil && name != "ip_whitelist, blanks" {
			t.Errorf("%s is taken", name)
		}
		if n > most {
			t.Errorf("%s: %v allocations, want at most %d", name, n, most)
		}
	}
}
