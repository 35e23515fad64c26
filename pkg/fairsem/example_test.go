package fairsem_test

import (
	"fmt"

	"github.com/realmgate/realmgate/pkg/fairsem"
)

func ExampleSemaphore() {
	memory := fairsem.New(100, 25) // 100 in total, 25 for each client
	eve, ann := memory.For("eve"), memory.For("ann")
	fmt.Println(eve.TryAcquire(25))

	another := memory.For("eve")
	fmt.Println(another.TryAcquire(1), ann.TryAcquire(20))

	eve.Release()
	fmt.Println(another.TryAcquire(1))
	// Output:
	// true
	// false true
	// true
}
