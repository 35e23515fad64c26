package realm_test

import (
	"fmt"

	"github.com/realmgate/realmgate/pkg/realm"
)

func ExampleResolve() {
	const a, b = "aaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbb"
	fmt.Println(realm.FromHost([]byte(a + ".api.example.com")))
	fmt.Println(realm.Resolve(a, ""))
	fmt.Println(realm.Resolve(a, a))
	fmt.Println(realm.Resolve(a, b))
	// Output:
	// aaaaaaaaaaaaaaaaaaaaaaaa
	// aaaaaaaaaaaaaaaaaaaaaaaa <nil>
	// aaaaaaaaaaaaaaaaaaaaaaaa <nil>
	//  VALIDATION_ERROR: Validation failed
}
