// Package tools provides the third-party programs that the acceptance tests run: Helm, a validator
// of Kubernetes objects, promtool and generators of API clients, at fixed versions. They take
// minutes to compile, so `go run ./deploy/tools/install` builds them before the tests, once for
// each version, and the tests only ask for their paths. Start reading at All.
package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
)

// Tool is a program built from a Go module or installed from npm.
type Tool struct {
	Name    string
	Version string
	pkg     string   // the Go package, without its version; "" for npm
	flags   []string // for go install
	npm     []string // npm packages with their versions; the program is in the first
}

// All returns every tool. They all come from the Go module proxy or the npm registry, because CI
// reaches nothing else.
func All() []Tool {
	return []Tool{
		{Name: "helm", Version: "v3.22.0", pkg: "helm.sh/helm/v3/cmd/helm"},
		// It contains the schemas of Kubernetes.
		{Name: "kubectl-validate", Version: "v0.0.4", pkg: "sigs.k8s.io/kubectl-validate"},
		// The tags leave out service discovery, which is most of its code.
		{Name: "promtool", Version: "v0.316.0", pkg: "github.com/prometheus/prometheus/cmd/promtool",
			flags: []string{"-tags", "remove_all_sd,enable_dns_sd"}},
		{Name: "oapi-codegen", Version: "v2.8.2", pkg: "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen"},
		{Name: "ogen", Version: "v1.25.0", pkg: "github.com/ogen-go/ogen/cmd/ogen"},
		{Name: "openapi-typescript", Version: "7.13.0", npm: []string{"openapi-typescript@7.13.0", "typescript@5.9.3"}},
	}
}

// TypeScriptCompiler is the name of the compiler installed beside openapi-typescript.
const TypeScriptCompiler = "tsc"

// NotInstalledError reports a missing tool and how to install it.
type NotInstalledError struct{ Tool Tool }

// Error implements error.
func (e *NotInstalledError) Error() string {
	return e.Tool.Name + " " + e.Tool.Version + " is not installed: go run ./deploy/tools/install"
}

// Path returns the path of a tool's program, or a NotInstalledError.
func Path(name string) (string, error) {
	for _, t := range All() {
		if t.Name != name {
			continue
		}
		dir, err := folder()
		if err != nil {
			return "", err
		}
		program := filepath.Join(dir, t.program())
		if _, err := os.Stat(program); err != nil {
			return "", &NotInstalledError{t}
		}
		return program, nil
	}
	return "", fmt.Errorf("tools: no tool is called %s", name)
}

// Install builds each missing tool and reports its progress.
func Install(ctx context.Context, progress io.Writer) error {
	dir, err := folder()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, t := range All() {
		if _, err := os.Stat(filepath.Join(dir, t.program())); err == nil {
			continue
		}
		fmt.Fprintf(progress, "installing %s %s\n", t.Name, t.Version)
		if err := t.install(ctx, dir); err != nil {
			return fmt.Errorf("install %s %s: %w", t.Name, t.Version, err)
		}
	}
	fmt.Fprintln(progress, "installed in", dir)
	return nil
}

// folder returns the folder of the tools: REALMGATE_TOOLS, or a folder in the user's cache.
func folder() (string, error) {
	if dir := os.Getenv("REALMGATE_TOOLS"); dir != "" {
		return filepath.Abs(dir)
	}
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "realmgate-tools"), err
}

// home is the folder of this version of the tool.
func (t Tool) home() string { return t.Name + "-" + t.Version }

// program returns the path of the tool's program, relative to the folder of all tools.
func (t Tool) program() string {
	if t.pkg == "" {
		return filepath.Join(t.home(), "node_modules", ".bin", t.Name)
	}
	return filepath.Join(t.home(), path.Base(t.pkg))
}

// install builds into a temporary folder and renames it, so that a tool exists completely or not at
// all.
func (t Tool) install(ctx context.Context, dir string) error {
	temporary, err := os.MkdirTemp(dir, "."+t.home()+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	cmd := exec.CommandContext(ctx, "npm",
		append([]string{"install", "--no-audit", "--no-fund", "--no-save", "--prefix", "."}, t.npm...)...)
	if t.pkg != "" {
		cmd = exec.CommandContext(ctx, "go", append(append([]string{"install"}, t.flags...), t.pkg+"@"+t.Version)...)
	}
	cmd.Dir = temporary
	cmd.Env = append(os.Environ(), "GOBIN="+temporary, "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out[max(0, len(out)-4000):])
	}
	if err := os.Chmod(temporary, 0o755); err != nil {
		return err
	}
	err = os.Rename(temporary, filepath.Join(dir, t.home()))
	if errors.Is(err, fs.ErrExist) { // another process has installed it meanwhile
		return nil
	}
	return err
}
