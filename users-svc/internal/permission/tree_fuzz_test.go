package permission

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/auth"
)

func FuzzParseTree(f *testing.F) {
	f.Add([]byte(`{"resources":{"vault":true,"x":{"y":false}},"containers":true}`))
	f.Add([]byte(`{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":true}}}}}}}}`))
	f.Add([]byte(`{"a":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !jsontext.Value(raw).IsValid() {
			return // a body is checked before its fields are read
		}
		tree, _, problem := Parse(raw)
		if problem != "" {
			return
		}
		stored, err := api.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Load(stored)
		if err != nil {
			t.Fatalf("%s was stored as %s: %v", raw, stored, err)
		}
		for _, p := range auth.KnownPermissions() {
			if tree.Allows(p) != again.Allows(p) {
				t.Errorf("%s: %s is not what it was in %s", p, stored, raw)
			}
		}
	})
}
