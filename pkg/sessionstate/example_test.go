package sessionstate_test

import (
	"context"
	"fmt"

	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// A service collects the changes that a request makes, and sends them to the gateway in the header
// of the answer.
func ExampleWithCollector() {
	ctx, changes := sessionstate.WithCollector(context.Background())
	sessionstate.Collect(ctx, sessionstate.Change{UserID: "5f1d7a84db00d2fce00b31a7", Version: 8})
	header := changes.Header()
	fmt.Println(header)
	for _, change := range sessionstate.ParseChanges(header) {
		fmt.Println(change.UserID, change.Version)
	}
	// Output:
	// 5f1d7a84db00d2fce00b31a7:8
	// 5f1d7a84db00d2fce00b31a7 8
}
