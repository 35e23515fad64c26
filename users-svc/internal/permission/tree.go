// Package permission provides the permission trees of auth tokens, and the named templates of such
// trees. The names of permissions are in package auth. Start reading at Tree.
package permission

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/realmgate/realmgate/pkg/auth"
)

// Tree is a tree of permissions whose leaves are booleans. The dotted path of a permission, such as
// resources.vault, leads to its leaf; a boolean on the way decides for all permissions below it.
type Tree map[string]any // bool or Tree

// Bounds of a tree, so that tokens cannot be used to store other data.
const (
	maxDepth = 8
	maxNames = 500
	maxBytes = 16 << 10
)

// Allows reports whether the tree grants the dotted path.
func (t Tree) Allows(path string) bool {
	name, rest, _ := strings.Cut(path, ".")
	switch v := t[name].(type) {
	case bool:
		return v
	case Tree:
		return rest != "" && v.Allows(rest)
	}
	return false
}

// treeOf returns a tree that grants the paths, which have two names each.
func treeOf(paths ...string) Tree {
	tree := Tree{}
	for _, path := range paths {
		group, name, _ := strings.Cut(path, ".")
		branch, ok := tree[group].(Tree)
		if !ok {
			branch = Tree{}
			tree[group] = branch
		}
		branch[name] = true
	}
	return tree
}

// Restrict returns a copy of the tree that grants only those known permissions that are allowed. A
// boolean that grants a whole group becomes a branch with the group's allowed permissions.
func (t Tree) Restrict(allowed []string) Tree {
	restricted := maps.Clone(t)
	for _, path := range auth.KnownPermissions() {
		if !restricted.Allows(path) || slices.Contains(allowed, path) {
			continue
		}
		group, name, _ := strings.Cut(path, ".")
		branch, ok := restricted[group].(Tree)
		if !ok {
			branch, _ = treeOf(auth.KnownPermissions()...)[group].(Tree)
		}
		branch = maps.Clone(branch)
		delete(branch, name)
		restricted[group] = branch
	}
	return restricted
}

// Template is a named permission tree.
type Template struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Permissions Tree   `json:"permissions"`
}

// Templates returns the trees that the field permission_template names. read_only lacks
// resources.vault, because that permission allows writes too.
func Templates() []Template {
	return []Template{
		{"full_access", "Everything that an auth token can be allowed; the vault still needs vault_access.",
			treeOf(auth.KnownPermissions()...)},
		{"external_customer", "See projects and containers, and nothing of the account but its public face.",
			treeOf(auth.PermProjectsRead, auth.PermContainersRead)},
		{"dev_team", "Work with the vault, projects, containers and realms.",
			treeOf(auth.PermReadAccount, auth.PermVault, auth.PermRealms, auth.PermProjectsRead,
				auth.PermContainersRead, auth.PermContainersCreate)},
		{"finance_team", "Read the account and what it has, for accounting.",
			treeOf(auth.PermReadAccount, auth.PermProjectsRead, auth.PermContainersRead)},
		{"read_only", "Read everything but the vault, change nothing.",
			treeOf(auth.PermReadAccount, auth.PermRealms, auth.PermReadTokens, auth.PermProjectsRead,
				auth.PermContainersRead)},
	}
}

// TemplateNamed returns the tree of the template; false when there is none of that name.
func TemplateNamed(name string) (Tree, bool) {
	for _, t := range Templates() {
		if t.Name == name {
			return t.Permissions, true
		}
	}
	return nil, false
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Parse reads a permission tree from JSON. On a broken rule, problem is a text that can follow the
// field's name and pointer is the JSON pointer (RFC 6901) within the tree; else both are "".
func Parse(raw jsontext.Value) (tree Tree, pointer, problem string) {
	if len(raw) > maxBytes {
		return nil, "", fmt.Sprintf("must be at most %d bytes of JSON", maxBytes)
	}
	names := 0
	return parseBranch(jsontext.NewDecoder(bytes.NewReader(raw)), 1, &names)
}

// parseBranch reads the object at the position of dec. It counts the names of the tree in names.
func parseBranch(dec *jsontext.Decoder, depth int, names *int) (tree Tree, pointer, problem string) {
	if dec.PeekKind() != jsontext.KindBeginObject || depth > maxDepth {
		return nil, "", fmt.Sprintf("must be an object of booleans or of such objects, at most %d levels deep",
			maxDepth)
	}
	_, _ = dec.ReadToken() // the opening brace
	tree = Tree{}
	for dec.PeekKind() != jsontext.KindEndObject {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, "", "must be valid JSON"
		}
		name := token.String()
		if !namePattern.MatchString(name) {
			return nil, "", "names must be 1 to 64 letters, digits, underscores and hyphens"
		}
		if *names++; *names > maxNames {
			return nil, "", fmt.Sprintf("must have at most %d names", maxNames)
		}
		switch dec.PeekKind() {
		case jsontext.KindTrue, jsontext.KindFalse:
			value, _ := dec.ReadToken()
			tree[name] = value.Bool()
		default:
			branch, below, problem := parseBranch(dec, depth+1, names)
			if problem != "" {
				return nil, "/" + name + below, problem
			}
			tree[name] = branch
		}
	}
	_, _ = dec.ReadToken() // the closing brace
	return tree, "", ""
}

// Load reads a stored tree, which Parse accepted when it was written.
func Load(raw []byte) (Tree, error) {
	tree, pointer, problem := Parse(raw)
	if problem != "" {
		return nil, fmt.Errorf("stored permissions%s: %s", pointer, problem)
	}
	return tree, nil
}
