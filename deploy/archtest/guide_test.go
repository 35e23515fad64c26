package archtest

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestTheGuideNamesFunctionsThatExist checks the table "Where it is decided" of CONTRIBUTING.md.
func TestTheGuideNamesFunctionsThatExist(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				declared[s.path+" "+d.Name.Name] = true
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if v, ok := spec.(*ast.ValueSpec); ok {
						declared[s.path+" "+v.Names[0].Name] = true
					}
				}
			}
		}
	}
	entries := regexp.MustCompile("\\| `(\\w+)` in (\\S+\\.go) \\|").FindAllStringSubmatch(string(guide), -1)
	if len(entries) < 10 {
		t.Fatalf("the table has %d functions, want at least 10", len(entries))
	}
	for _, entry := range entries {
		if !declared[entry[2]+" "+entry[1]] {
			t.Errorf("%s has no %s", entry[2], entry[1])
		}
	}
}
