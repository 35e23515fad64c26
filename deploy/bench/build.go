package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Versions of the programs that are built from Go modules. They are no dependencies of ours: each
// is built in a module of its own.
const (
	caddyModule      = "github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9"
	natsModule       = "github.com/nats-io/nats-server/v2@v2.15.2"
	pocketbaseModule = "github.com/pocketbase/pocketbase@v0.36.8" // the newest version that Go 1.26 builds
	miniredisModule  = "github.com/alicebob/miniredis/v2@v2.40.0"
)

//go:embed scratch
var scratchFiles embed.FS

// toolbox is a folder of programs, and builds them.
type toolbox struct {
	root, bin, scratch string // the repository, the programs, the generated modules
	say                func(format string, v ...any)
}

// product builds the four binaries, and standalone if a group starts it.
func (t toolbox) product(ctx context.Context, standalone bool) error {
	t.say("building the product")
	var packages []string
	if standalone {
		packages = append(packages, "./deploy/standalone")
	}
	for _, name := range []string{"gateway", "users-svc", "vault-svc", "activity-svc"} {
		packages = append(packages, "./"+name+"/cmd/"+name)
	}
	return t.goCommand(ctx, t.root, nil,
		append([]string{"build", "-o", t.bin + string(filepath.Separator)}, packages...)...)
}

// install installs the program of a package into the folder and returns its path.
func (t toolbox) install(ctx context.Context, pkg, program string) (string, error) {
	path := filepath.Join(t.bin, program)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	t.say("building %s", pkg)
	return path, t.goCommand(ctx, t.bin, []string{"GOBIN=" + t.bin, "GOWORK=off", "GOFLAGS="}, "install", pkg)
}

// generate builds the embedded source scratch/<name>.go.txt against one module, outside of the
// repository.
func (t toolbox) generate(ctx context.Context, name, module string) (string, error) {
	path := filepath.Join(t.bin, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	t.say("building %s with %s", name, module)
	source, err := scratchFiles.ReadFile("scratch/" + name + ".go.txt")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(t.scratch, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), source, 0o644); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module bench.invalid/"+name+"\n\ngo 1.26\n"),
		0o644); err != nil {
		return "", err
	}
	environ := []string{"GOWORK=off", "GOFLAGS="}
	for _, args := range [][]string{{"get", module}, {"mod", "tidy"}, {"build", "-o", path, "."}} {
		if err := t.goCommand(ctx, dir, environ, args...); err != nil {
			return "", err
		}
	}
	return path, nil
}

func (t toolbox) goCommand(ctx context.Context, dir string, environ []string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), environ...)
	return describe(cmd, args[0])
}

// describe runs a command and returns its output only as part of an error.
func describe(cmd *exec.Cmd, what string) error {
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	text := strings.TrimSpace(string(out))
	if len(text) > 1500 {
		text = "…" + text[len(text)-1500:]
	}
	return fmt.Errorf("%s %s: %w: %s", filepath.Base(cmd.Path), what, err, text)
}

// debian returns the path of a program from a Debian package. It installs the package if the
// program is missing and the user is allowed to.
func (t toolbox) debian(ctx context.Context, program, pkg string) (string, error) {
	find := func() (string, bool) {
		for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin", "/usr/bin") {
			path := filepath.Join(dir, program)
			if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 && !info.IsDir() {
				return path, true
			}
		}
		return "", false
	}
	if path, ok := find(); ok {
		return path, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return "", fmt.Errorf("%s is not installed (apt-get install -y %s)", program, pkg)
	}
	t.say("installing %s", pkg)
	// RUNLEVEL=1 stops the package from starting its server.
	environ := append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
	install := func() error {
		cmd := exec.CommandContext(ctx, "apt-get", "install", "-y", "-qq", "--no-install-recommends", pkg)
		cmd.Env = environ
		return describe(cmd, "install "+pkg)
	}
	err := install()
	if err != nil { // the package lists may be missing or old
		update := exec.CommandContext(ctx, "apt-get", "update", "-qq")
		err = errors.Join(describe(update, "update"), install())
	}
	if path, ok := find(); ok {
		return path, nil
	}
	return "", errors.Join(fmt.Errorf("%s is not installed", program), err)
}

// repository returns the root of the repository: the folder of go.work at or above dir.
func repository(dir string) (string, error) {
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.work")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("no go.work at or above %s: run the benchmark inside of the repository", dir)
		}
	}
}
