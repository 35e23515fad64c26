package archtest

import (
	"go/ast"
	"go/token"
	"reflect"
	"strconv"
	"testing"
	"unicode/utf8"
)

// maxText limits the sentence about a setting or a metric. Details belong to
// deploy/docs/settings.md or a runbook.
const maxText = 120

func TestSettingsAndMetricsHaveShortTexts(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		hold := func(what, text string) {
			if n := utf8.RuneCountInString(text); n > maxText {
				t.Errorf("%s: %s has a text of %d characters, more than %d: %s", s.path, what, n, maxText, text)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.Field:
				if x.Tag != nil {
					raw, _ := strconv.Unquote(x.Tag.Value)
					tag := reflect.StructTag(raw)
					hold(tag.Get("env"), tag.Get("doc"))
				}
			case *ast.KeyValueExpr:
				if key, ok := x.Key.(*ast.Ident); ok && key.Name == "Help" {
					hold("a metric", literal(x.Value))
				}
			case *ast.CallExpr:
				if exprString(x.Fun) == "prometheus.NewDesc" && len(x.Args) > 1 {
					hold(literal(x.Args[0]), literal(x.Args[1]))
				}
			}
			return true
		})
	}
}

// literal returns the text of a string literal, "" for any other expression.
func literal(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	text, _ := strconv.Unquote(lit.Value)
	return text
}
