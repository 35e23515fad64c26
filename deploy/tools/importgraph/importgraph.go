// Package importgraph provides diagrams, in Mermaid, of our packages and their imports for
// CONTRIBUTING.md. Start reading at Update.
package importgraph

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// module is the common prefix of the import paths of all modules.
const module = "github.com/realmgate/realmgate/"

// Markers around the generated part of CONTRIBUTING.md.
const (
	begin = "<!-- generated: go run ./deploy/tools/imports -->\n"
	end   = "<!-- end of the generated part -->\n"
)

// services are the modules that have their own diagram, beside pkg.
var services = []string{"gateway", "users-svc", "vault-svc", "activity-svc"}

// graph maps a package to its imports; paths are without the prefix module.
type graph map[string][]string

// File is the path of the file with the diagrams, relative to the root.
const File = "CONTRIBUTING.md"

// Update returns the content of File under root with new diagrams.
func Update(ctx context.Context, root string) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(root, File))
	if err != nil {
		return nil, err
	}
	before, rest, found := strings.Cut(string(content), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return nil, errors.New(File + " lacks the markers of the generated part")
	}
	all, err := list(ctx, root)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(before + begin)
	for _, s := range append(slices.Clone(services), "pkg") {
		fmt.Fprintf(&b, "\n`%s`:\n\n%s", s, all.below(s).reduced().mermaid(s))
	}
	b.WriteString("\n" + end + after)
	return b.Bytes(), nil
}

// list asks the go command for the imports of our packages, without tests.
func list(ctx context.Context, root string) (graph, error) {
	args := []string{"list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./pkg/..."}
	for _, s := range services {
		args = append(args, "./"+s+"/...")
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, stderr.String())
	}
	g := graph{}
	for line := range strings.Lines(string(out)) {
		var ours []string
		for _, path := range strings.Fields(line) {
			if name, ok := strings.CutPrefix(path, module); ok {
				ours = append(ours, name)
			}
		}
		g[ours[0]] = ours[1:]
	}
	return g, nil
}

// below returns the part of g in a folder.
func (g graph) below(folder string) graph {
	inside := func(name string) bool { return name == folder || strings.HasPrefix(name, folder+"/") }
	part := graph{}
	for name, imports := range g {
		if inside(name) {
			part[name] = slices.DeleteFunc(slices.Clone(imports), func(i string) bool { return !inside(i) })
		}
	}
	return part
}

// reduced returns g without imports that are implied by a longer path.
func (g graph) reduced() graph {
	r := graph{}
	for name, imports := range g {
		r[name] = nil
		for _, i := range imports {
			implied := slices.ContainsFunc(imports,
				func(other string) bool { return other != i && g.reaches(other, i) })
			if !implied {
				r[name] = append(r[name], i)
			}
		}
	}
	return r
}

func (g graph) reaches(from, to string) bool {
	return slices.ContainsFunc(g[from], func(i string) bool { return i == to || g.reaches(i, to) })
}

// mermaid draws g with names relative to folder.
func (g graph) mermaid(folder string) string {
	label := func(name string) string {
		if short, ok := strings.CutPrefix(name, folder+"/"); ok {
			return strings.TrimPrefix(short, "internal/")
		}
		return name
	}
	var b strings.Builder
	b.WriteString("```mermaid\nflowchart LR\n")
	for _, name := range slices.Sorted(maps.Keys(g)) {
		if !slices.ContainsFunc(slices.Collect(maps.Values(g)),
			func(all []string) bool { return slices.Contains(all, name) }) &&
			len(g[name]) == 0 {
			fmt.Fprintf(&b, "  %s\n", label(name))
		}
		for _, i := range slices.Sorted(slices.Values(g[name])) {
			fmt.Fprintf(&b, "  %s --> %s\n", label(name), label(i))
		}
	}
	b.WriteString("```\n")
	return b.String()
}
