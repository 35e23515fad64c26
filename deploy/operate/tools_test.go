package operate

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The tools that operators would use, at the version that the files were written for. They are built by Go from its module proxy, because
// nothing else can be fetched where these tests run.
const (
	helmModule     = "helm.sh/helm/v3/cmd/helm@v3.22.0"
	validateModule = "sigs.k8s.io/kubectl-validate@v0.0.4" // has the schemas of Kubernetes in it
	promtoolModule = "github.com/prometheus/prometheus/cmd/promtool@v0.316.0"
)

// promtoolTags leave out the discovery of clouds that nobody here uses, which is most of its code.
const promtoolTags = "remove_all_sd,enable_dns_sd"

var built sync.Map // module → func() (string, error)

// tool returns the path of a program, built once for the test run. Go keeps what it compiled in its cache.
func tool(t *testing.T, module string, flags ...string) string {
	t.Helper()
	build, _ := built.LoadOrStore(module, sync.OnceValues(func() (string, error) {
		dir := filepath.Join(scratch, "tools")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		cmd := exec.Command("go", append(append([]string{"install"}, flags...), module)...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOBIN="+dir, "GOWORK=off", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", &toolError{module, string(out), err}
		}
		path, _, _ := strings.Cut(module, "@")
		return filepath.Join(dir, filepath.Base(path)), nil
	}))
	path, err := build.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

type toolError struct {
	module, out string
	err         error
}

// Error implements error.
func (e *toolError) Error() string { return "build " + e.module + ": " + e.err.Error() + "\n" + e.out }

// run runs a program and returns what it wrote; a failure ends the test.
func run(t *testing.T, dir, name string, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, errs.String(), out.String())
	}
	return out.String(), errs.String()
}

// runWith is run with nothing but environ in the environment.
func runWith(t *testing.T, environ []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, environ...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out)
}

// readAt returns the content of a file.
func readAt(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// readText returns the content of a file of this repository.
func readText(t *testing.T, name string) string {
	t.Helper()
	return readAt(t, filepath.Join(root, name))
}
