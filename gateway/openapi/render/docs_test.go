package render

import (
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/realmgate/realmgate/gateway/openapi"
)

func TestThePageShowsEveryOperationAndCode(t *testing.T) {
	t.Parallel()
	d := loaded(t)
	page := string(d.Page())
	eachOperation(t, func(name, path string, item *openapi3.PathItem, op *openapi3.Operation) {
		for _, want := range []string{`<code>` + path + `</code>`, `<article id="` + op.OperationID + `">`,
			`href="#` + op.OperationID + `"`} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page has no %s", name, want)
			}
		}
	})
	for _, c := range d.Codes() {
		if !strings.Contains(page, `href="docs/errors/`+c.Code+`"`) {
			t.Errorf("the page has no link to %s", c.Code)
		}
	}
}

func TestThePagesLoadNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	d := loaded(t)
	missing, _ := d.ErrorPage("NOT_FOUND")
	loads := regexp.MustCompile(`(?i)(?:\ssrc|<link[^>]*\shref|\saction|@import|url\()\s*=?\s*["'(]?([^"'\s>)]*)`)
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script(?:>|\s+>)`)
	for name, page := range map[string]string{"the docs page": string(d.Page()), "an error page": string(missing)} {
		for _, m := range loads.FindAllStringSubmatch(page, -1) {
			if m[1] != "docs/style.css" && m[1] != "docs/app.js" && m[1] != "../style.css" {
				t.Errorf("%s loads %q", name, m[1])
			}
		}
		if found := inline.FindString(page); found != "" {
			t.Errorf("%s has inline style or script, which its policy refuses: %s", name, found)
		}
	}
	served, err := openapi.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"style.css", "app.js"} {
		content, contentType, ok := served.Asset(name)
		if !ok || len(content) == 0 || !strings.HasSuffix(contentType, "; charset=utf-8") {
			t.Fatalf("asset %s: %d bytes, type %q, ok %v", name, len(content), contentType, ok)
		}
		if strings.Contains(string(content), "//"+"cdn") || regexp.MustCompile(`https?://|@import|url\(`).Match(content) {
			t.Errorf("asset %s refers to another host", name)
		}
	}
	for _, name := range []string{"", "page.html", "../openapi.yaml", "style.css/"} {
		if _, _, ok := served.Asset(name); ok {
			t.Errorf("asset %q exists", name)
		}
	}
}

func TestEveryAnchorOfThePageExistsOnce(t *testing.T) {
	t.Parallel()
	page := string(loaded(t).Page())
	ids := map[string]int{}
	for _, m := range regexp.MustCompile(`\sid="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if ids[m[1]]++; ids[m[1]] > 1 {
			t.Errorf("id %s stands twice", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if ids[m[1]] == 0 {
			t.Errorf("#%s points nowhere", m[1])
		}
	}
}

func TestThereIsAPageForEachCodeAndForNoOther(t *testing.T) {
	t.Parallel()
	d := loaded(t)
	for _, c := range d.Codes() {
		page, ok := d.ErrorPage(c.Code)
		if !ok || !strings.Contains(string(page), "<h1><code>"+c.Code+"</code></h1>") ||
			!strings.Contains(string(page), "What to do") {
			t.Errorf("%s: ok %v, page of %d bytes without its code or advice", c.Code, ok, len(page))
		}
	}
	for _, code := range []string{"", "NO_SUCH_CODE", "user_not_found", "USER_NOT_FOUND/"} {
		if _, ok := d.ErrorPage(code); ok {
			t.Errorf("%q has a page", code)
		}
	}
	page, _ := d.ErrorPage("VAULT_LIMIT_EXCEEDED")
	if !strings.Contains(string(page), `href="../../docs#setVaultKey"`) ||
		strings.Contains(string(page), "On any operation") {
		t.Error("the page of VAULT_LIMIT_EXCEEDED does not say where it happens")
	}
	if page, _ = d.ErrorPage("RATE_LIMITED"); !strings.Contains(string(page), "On any operation") {
		t.Error("the page of RATE_LIMITED does not say that any operation can answer with it")
	}
}

func TestTextFromTheDocumentIsEscaped(t *testing.T) {
	t.Parallel()
	if got, want := string(inline("a `<b>` & <i>")), "a <code>&lt;b&gt;</code> &amp; &lt;i&gt;"; got != want {
		t.Errorf("inline = %s, want %s", got, want)
	}
	line := curlLine("POST", "/x", nil, `{"name":"O'Hara"}`, "session")
	if want := `-d '{"name":"O'\''Hara"}'`; !strings.Contains(line, want) {
		t.Errorf("curl line %s has no %s", line, want)
	}
}
