// Package permission provides the permission trees of auth tokens and their templates. Start reading
// at Tree.
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

// Tree is a tree whose leaves are booleans. A boolean above a leaf speaks for everything
// below it.
type Tree map[string]any // bool or Tree

// Bounds of a tree, so that no token is a store of its own.
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

// treeWith grants the named paths.
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

// Restrict returns the tree without the known permissions that are not among the allowed ones.
// Where a boolean speaks for a group, it then grants those of the group that are left.
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

// Template is a permission tree with a name.
type Template struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Permissions Tree   `json:"permissions"`
}

// Templates are the trees that permission_template names. resources.vault opens reading and
// writing alike, so read_only is without it.
func Templates() []Template {
	return []Template{
		{"full_access", "Everything that an auth token can be allowed; the vault still needs vault_access.",
			treeOf(auth.KnownPermissions()...)},
		{"external_customer", "See projects and containers, and nothing of the account but its public face.",
			treeOf(auth.PermProjectsRead, auth.PermContainersRead)},
		{"dev_team", "Work with the vault, projects, containers and realms.",
			treeOf(auth.PermReadAccount, auth.PermVault, auth.PermRealms, auth.PermProjectsRead, auth.PermContainersRead,
				auth.PermContainersCreate)},
		{"finance_team", "Read the account and what it has, for accounting.",
			treeOf(auth.PermReadAccount, auth.PermProjectsRead, auth.PermContainersRead)},
		{"read_only", "Read everything but the vault, change nothing.",
			treeOf(auth.PermReadAccount, auth.PermRealms, auth.PermReadTokens, auth.PermProjectsRead,
				auth.PermContainersRead)},
	}
}

// TemplateNamed returns the tree of a template; false when there is none of the name.
func TemplateNamed(name string) (Tree, bool) {
	for _, t := range Templates() {
		if t.Name == name {
			return t.Permissions, true
		}
	}
	return nil, false
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Parse reads a permission tree; problem says what is wrong and at which JSON pointer below the
// tree, "" when nothing is.
func Parse(raw jsontext.Value) (tree Tree, pointer, problem string) {
	if len(raw) > maxBytes {
		return nil, "", fmt.Sprintf("must be at most %d bytes of JSON", maxBytes)
	}
	names := 0
	return parseBranch(jsontext.NewDecoder(bytes.NewReader(raw)), 1, &names)
}

func parseBranch(dec *jsontext.Decoder, depth int, names *int) (tree Tree, pointer, problem string) {
	if dec.PeekKind() != jsontext.KindBeginObject || depth > maxDepth {
		return nil, "", fmt.Sprintf("must be an object of booleans or of such objects, at most %d levels deep", maxDepth)
	}
	_, _ = dec.ReadToken() // the brace just peeked at
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
	_, _ = dec.ReadToken()
	return tree, "", ""
}

// Load reads what the database has, which Parse let in.
func Load(raw []byte) (Tree, error) {
	tree, pointer, problem := Parse(raw)
	if problem != "" {
		return nil, fmt.Errorf("stored permissions%s: %s", pointer, problem)
	}
	return tree, nil
}
