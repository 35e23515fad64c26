package acceptance

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/realmgate/realmgate/deploy/tools"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestGeneratedClientsCompile generates clients from gateway/openapi/openapi.yaml and compiles
// them.
func TestGeneratedClientsCompile(t *testing.T) {
	t.Parallel()
	document, err := filepath.Abs(filepath.Join(root, "gateway/openapi/openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("oapi-codegen", func(t *testing.T) {
		t.Parallel()
		program, dir := tool(t, "oapi-codegen"), clientModule(t, "oapi-codegen")
		run(t, dir, program, "-generate", "types,client", "-package", "client", "-o", "client.gen.go", document)
		compile(t, dir)
	})
	t.Run("ogen", func(t *testing.T) {
		t.Parallel()
		program, dir := tool(t, "ogen"), clientModule(t, "ogen")
		run(t, dir, program, "--target", "client", "--package", "client", "--loglevel", "error", document)
		compile(t, dir)
	})
	t.Run("openapi-typescript", func(t *testing.T) {
		t.Parallel()
		program, dir := tool(t, "openapi-typescript"), t.TempDir()
		run(t, dir, program, document, "-o", "api.d.ts")
		run(t, dir, filepath.Join(filepath.Dir(program), tools.TypeScriptCompiler), "--noEmit", "--strict", "api.d.ts")
	})
}

// clientModule returns the folder of a Go module with the dependencies of the generator's output.
func clientModule(t *testing.T, generator string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum"} {
		raw, err := os.ReadFile(filepath.Join("testdata", generator, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(raw))
	}
	return dir
}

// compile builds every package of the module in dir.
func compile(t *testing.T, dir string) {
	t.Helper()
	cmd := testkit.Command(t, "go", "build", "./...")
	cmd.Dir, cmd.Env = dir, append(testkit.BuildEnv(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go build: %v\n%.4000s", err, out)
	}
}
