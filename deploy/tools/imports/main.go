// Command imports writes the diagrams of packages and imports into CONTRIBUTING.md. Run it from the
// root. Start reading at package importgraph.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/realmgate/realmgate/deploy/tools/importgraph"
)

func main() {
	content, err := importgraph.Update(context.Background(), ".")
	if err == nil {
		err = os.WriteFile(importgraph.File, content, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
