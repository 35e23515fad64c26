package quota_test

import (
	"fmt"

	"github.com/realmgate/realmgate/pkg/quota"
)

func ExampleEffective() {
	const byDefault = 50 << 20
	for _, own := range []int64{0, 1 << 20, quota.Nothing} {
		fmt.Println(quota.Effective(own, byDefault))
	}
	// Output:
	// 52428800
	// 1048576
	// 0
}
