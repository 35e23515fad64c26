package render

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/realmgate/realmgate/gateway/openapi"
)

var update = flag.Bool("update", false, "write ../rendered")

// TestWhatTheGatewayServesIsRenderedFromTheDocument holds ../rendered, and what the gateway loads
// of it, against openapi.yaml and the templates.
func TestWhatTheGatewayServesIsRenderedFromTheDocument(t *testing.T) {
	d := loaded(t)
	pages := map[string]string{}
	for code, page := range d.errorPages {
		pages[code] = string(page)
	}
	errorPages, err := json.MarshalIndent(pages, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{"openapi.json": d.JSON(), "page.html": d.Page(), "errors.json": errorPages} {
		path := filepath.Join("..", "rendered", name)
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what openapi.yaml renders to (%v): cd gateway && go test ./openapi/render -run Rendered -update",
				path, err)
		}
	}
	if *update {
		return
	}
	served, err := openapi.Load()
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range pages {
		if got, ok := served.ErrorPage(code); !ok || string(got) != want {
			t.Errorf("the page of %s is not served", code)
		}
	}
	if _, ok := served.ErrorPage("NO_SUCH_CODE"); ok {
		t.Error("a page of a code that does not exist")
	}
	if !bytes.Equal(served.JSON(), d.JSON()) || !bytes.Equal(served.Page(), d.Page()) ||
		!bytes.Equal(served.YAML(), openapi.Written()) {
		t.Error("the gateway serves other documents")
	}
}
