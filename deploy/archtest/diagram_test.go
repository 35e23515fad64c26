package archtest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/realmgate/realmgate/deploy/tools/importgraph"
)

func TestTheDiagramOfImportsIsUpToDate(t *testing.T) {
	want, err := importgraph.Update(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, importgraph.File))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s has old diagrams of imports: go run ./deploy/tools/imports", importgraph.File)
	}
}
