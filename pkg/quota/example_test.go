package quota_test

import (
	"fmt"

	"github.com/realmgate/realmgate/pkg/quota"
)

func ExampleEffective() {
	const byDefault = 50 << 20
	fmt.Println(quota.Effective(0, byDefault), quota.Effective(1<<20, byDefault), quota.Effective(quota.Nothing, byDefault))
	// Output: 52428800 1048576 0
}
