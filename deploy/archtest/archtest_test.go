package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

var modules = []string{"pkg", "gateway", "users-svc", "vault-svc", "activity-svc", "deploy"}

// source is a Go file of this repository; its path is relative to the root.
type source struct {
	path  string
	test  bool
	fset  *token.FileSet
	file  *ast.File
	lines int
}

func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	for _, m := range modules {
		err := filepath.WalkDir(filepath.Join(root, m), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			s := source{test: strings.HasSuffix(path, "_test.go"), fset: token.NewFileSet(),
				lines: strings.Count(string(content), "\n")}
			s.path, _ = filepath.Rel(root, path)
			s.file, err = parser.ParseFile(s.fset, path, content, parser.ParseComments)
			out = append(out, s)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(out) < 50 {
		t.Fatalf("only %d Go files found: is the root right?", len(out))
	}
	return out
}

// rules say which files may import packages that begin with one of the prefixes.
var rules = []struct {
	about    string
	prefixes []string
	allowed  []string // regular expressions of paths
}{
	{"SQL is written in stores", []string{"github.com/jackc/pgx"},
		[]string{`^pkg/(db|localpg|testkit)/`, `_store\.go$`, `_test\.go$`, `^deploy/(bench|chaos)/`}},
	{"Fiber stays at the door", []string{"github.com/gofiber/"},
		[]string{`^pkg/httpx/`, `^gateway/`, `_http\.go$`, `_test\.go$`, `^deploy/bench/`}},
	{"NATS has one owner", []string{"github.com/nats-io/nats.go"},
		[]string{`^pkg/bus/`, `_test\.go$`, `^deploy/chaos/`}},
	{"OpenTelemetry has one owner", []string{"go.opentelemetry.io"}, []string{`^pkg/(trace|testkit)/`}},
	{"embedded servers stay out of the services",
		[]string{"github.com/nats-io/nats-server", "github.com/alicebob/miniredis"},
		[]string{`^pkg/testkit/`, `^deploy/(standalone|chaos|bench)/`, `_test\.go$`}},
	{"testkit is for tests", []string{"github.com/realmgate/realmgate/pkg/testkit"},
		[]string{`^pkg/testkit/`, `_test\.go$`}},
	{"localpg is for standalone and tests", []string{"github.com/realmgate/realmgate/pkg/localpg"},
		[]string{`^pkg/(testkit|localpg)/`, `^deploy/`, `_test\.go$`}},
	{"only testing code imports testing", []string{"testing"}, []string{`^pkg/testkit/`, `_test\.go$`}},
}

func TestImports(t *testing.T) {
	for _, s := range sources(t) {
		for _, spec := range s.file.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			for _, r := range rules {
				hit := slices.ContainsFunc(r.prefixes,
					func(p string) bool { return path == p || strings.HasPrefix(path, strings.TrimSuffix(p, "/")+"/") })
				if hit && !slices.ContainsFunc(r.allowed,
					func(re string) bool { return regexp.MustCompile(re).MatchString(s.path) }) {
					t.Errorf("%s imports %s: %s", s.path, path, r.about)
				}
			}
			if from, to := moduleOf(s.path), importedModule(path); to != "" && from != to && to != "pkg" &&
				from != "deploy" {
				t.Errorf("%s imports %s: services never import each other, and pkg imports no service", s.path, path)
			}
		}
	}
}

func moduleOf(path string) string { m, _, _ := strings.Cut(path, "/"); return m }

func importedModule(path string) string {
	rest, ok := strings.CutPrefix(path, "github.com/realmgate/realmgate/")
	if !ok {
		return ""
	}
	return moduleOf(rest)
}

const (
	maxFileLines     = 400
	maxFunctionLines = 60
)

func TestFilesAndFunctionsAreShort(t *testing.T) {
	for _, s := range sources(t) {
		if s.lines > maxFileLines {
			t.Errorf("%s has %d lines, more than %d: is it one idea?", s.path, s.lines, maxFileLines)
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			if n := s.fset.Position(f.Body.End()).Line - s.fset.Position(f.Pos()).Line + 1; n > maxFunctionLines {
				t.Errorf("%s: %s has %d lines, more than %d", s.path, f.Name.Name, n, maxFunctionLines)
			}
		}
	}
}

func TestPackageCommentsSayWhereToStartReading(t *testing.T) {
	documented, seen := map[string]bool{}, map[string]bool{}
	for _, s := range sources(t) {
		dir := filepath.Dir(s.path)
		if s.test || strings.Contains(dir, "/cmd/") {
			continue
		}
		seen[dir] = true
		if base := filepath.Base(dir); slices.Contains([]string{"util", "utils", "common", "helpers", "misc"}, base) {
			t.Errorf("%s: name the package after the things that it provides", dir)
		}
		if doc := strings.Join(strings.Fields(s.file.Doc.Text()),
			" "); regexp.MustCompile(`^(Package|Command) \S+ [a-z]`).MatchString(doc) &&
			strings.Contains(doc, "tart reading") {
			documented[dir] = true
		}
	}
	for dir := range seen {
		if !documented[dir] {
			t.Errorf(`%s: its package comment must open with "Package x provides …" and say where to start reading`,
				dir)
		}
	}
}

// TestNoGlobalState makes sure that one process can hold two instances of anything: there is no
// init function, and no package variable whose initialisation has effects elsewhere (metrics,
// clients, goroutines).
func TestNoGlobalState(t *testing.T) {
	harmless := regexp.MustCompile(`^(errors\.New|fmt\.Errorf|regexp\.MustCompile|template\.Must|strings\.NewReplacer|sync\.OnceFunc|netip\.|big\.|language\.|apperr\.|time\.|map|\[\])`)
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function", s.path)
			}
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				value := spec.(*ast.ValueSpec)
				for _, v := range value.Values {
					if value.Names[0].Name == "_" {
						continue // an assertion for the compiler
					}
					call, ok := v.(*ast.CallExpr)
					if ok && !harmless.MatchString(exprString(call.Fun)) {
						t.Errorf("%s: a package variable is made by %s", s.path, exprString(call.Fun))
					}
				}
			}
		}
	}
}

// TestTokensAreComparedAsASCII: Unicode case folding makes the Kelvin sign a k and ſ an s.
func TestTokensAreComparedAsASCII(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if f, ok := n.(*ast.SelectorExpr); ok &&
				(exprString(f) == "strings.EqualFold" || exprString(f) == "bytes.EqualFold") {
				t.Errorf("%s calls %s; use pkg/ascii", s.path, exprString(f))
			}
			return true
		})
	}
}

func exprString(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return exprString(x.X) + "." + x.Sel.Name
	case *ast.ArrayType:
		return "[]"
	default:
		return "?"
	}
}

// TestWaitsAreMonotonic: nanoseconds since 1970 must not be compared to measure a wait, because the
// clock may be set in between. Waits within a process use pkg/monotonic.
func TestWaitsAreMonotonic(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.path, "deploy/bench/") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			f, ok := n.(*ast.SelectorExpr)
			if !ok || !strings.HasPrefix(f.Sel.Name, "Unix") {
				return true
			}
			if call, ok := f.X.(*ast.CallExpr); ok && exprString(call.Fun) == "time.Now" {
				t.Errorf("%s calls time.Now().%s; use pkg/monotonic", s.path, f.Sel.Name)
			}
			return true
		})
	}
}
