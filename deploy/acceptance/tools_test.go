package acceptance

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/deploy/tools"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// tool returns the path of a program that operators use. It skips the test if the program is not
// installed, except in CI.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := tools.Path(name)
	var missing *tools.NotInstalledError
	if errors.As(err, &missing) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a program and returns its output. A failure ends the test.
func run(t *testing.T, dir, name string, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd := testkit.Command(t, name, args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, errs.String(), out.String())
	}
	return out.String(), errs.String()
}

// runWith is run with only environ as the environment.
func runWith(t *testing.T, environ []string, name string, args ...string) string {
	t.Helper()
	cmd := testkit.Command(t, name, args...)
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
